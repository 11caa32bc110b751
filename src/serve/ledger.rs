//! [`Ledger`]: the pool's leases in `pool.sqlite`, so that they outlive its process.
//!
//! One thread has the file. What is asked of it meanwhile goes to the disk together: a lease is on the disk before its
//! provider hears of it, and a hundred of them a second are.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use super::row::{LeaseRow, Stage};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::OwnerId;

/// The file's name below the state directory.
pub(super) const FILE_NAME: &str = "pool.sqlite";

/// `PRAGMA application_id`: says that the file is a pool's ("lnpl").
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"lnpl");

/// The migrations, in order; the number of those applied is the file's `user_version`. Never edit one that shipped.
const MIGRATIONS: &[&str] = &[include_str!("migrations/001_leases.sql")];

/// Most writes that go to the disk together.
const TOGETHER: usize = 512;

/// How long a call waits for who else reads the file: a backup, say.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A write, and who waits for it.
struct Write {
    work: Work,
    done: oneshot::Sender<Result<()>>,
}

enum Work {
    Put(Box<LeaseRow>),
    Forget { ended_before: Timestamp },
}

/// The pool's leases on the disk.
#[derive(Debug)]
pub(super) struct Ledger {
    writes: mpsc::Sender<Write>,
    thread: Option<std::thread::JoinHandle<()>>,
    path: PathBuf,
}

/// What a ledger had when it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) ledger: Ledger,
    /// Every lease that is not ended, and those that ended after a given time.
    pub(super) rows: Vec<LeaseRow>,
    /// Whose the pool's runners are.
    pub(super) owner: OwnerId,
}

impl Ledger {
    /// Opens the file in `state`, and makes it when it is missing. `new_owner` is the owner of a new one.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when it cannot be used, is damaged, another program's, or from a newer version: it is left as it is.
    pub(super) fn open(state: &Path, ended_after: Timestamp, new_owner: &OwnerId) -> Result<Opened> {
        let path = state.join(FILE_NAME);
        crate::private_dir::create_private(state)
            .context(ErrorKind::State, || format!("cannot make `{}`", state.display()))?;
        create_private(&path).context(ErrorKind::State, || format!("cannot make `{}`", path.display()))?;
        let mut connection = Connection::open(&path).map_err(|error| unusable(&path, error))?;
        prepare(&mut connection, &path)?;
        let owner = owner(&connection, new_owner).map_err(|error| unusable(&path, error))?;
        let owner = owner.parse().map_err(|_| damaged(&path, "its owner cannot be read"))?;
        let rows = read(&connection, ended_after).map_err(|error| unusable(&path, error))?;
        let rows = rows
            .iter()
            .map(|text| serde_json::from_str(text).map_err(|error| damaged(&path, &error.to_string())))
            .collect::<Result<_>>()?;
        let (writes, asked) = mpsc::channel();
        let its_path = path.clone();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || serve(&mut connection, &its_path, &asked))
            .context(ErrorKind::State, || "cannot start a thread".to_owned())?;
        Ok(Opened { ledger: Self { writes, thread: Some(thread), path }, rows, owner })
    }

    /// Puts a row, in the place of an older one of the lease. In the order in which this is called; what is returned waits until
    /// it is on the disk.
    pub(super) fn put(&self, row: LeaseRow) -> impl Future<Output = Result<()>> + Send + use<> {
        self.write(Work::Put(Box::new(row)))
    }

    /// Forgets the leases that ended before a time.
    pub(super) fn forget(&self, ended_before: Timestamp) -> impl Future<Output = Result<()>> + Send + use<> {
        self.write(Work::Forget { ended_before })
    }

    fn write(&self, work: Work) -> impl Future<Output = Result<()>> + Send + use<> {
        let (done, is_done) = oneshot::channel();
        let _ = self.writes.send(Write { work, done });
        let path = self.path.clone();
        async move { is_done.await.unwrap_or_else(|_| Err(damaged(&path, "the thread that writes it has ended"))) }
    }
}

impl Drop for Ledger {
    /// Waits until all that was asked is on the disk.
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel();
        self.writes = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries out writes until nobody can ask any more.
fn serve(connection: &mut Connection, path: &Path, asked: &mpsc::Receiver<Write>) {
    while let Ok(first) = asked.recv() {
        let mut writes = vec![first];
        while writes.len() < TOGETHER
            && let Ok(next) = asked.try_recv()
        {
            writes.push(next);
        }
        let (works, waiting): (Vec<Work>, Vec<_>) = writes.into_iter().map(|write| (write.work, write.done)).unzip();
        let written = carry_out(connection, &works).map_err(|error| unusable(path, error));
        if let Err(error) = &written {
            tracing::error!(%error, "the ledger");
        }
        for done in waiting {
            let result = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(Error::new(error.kind(), error.message())),
            };
            // Who waited for it may be gone.
            let _ = done.send(result);
        }
    }
}

fn carry_out(connection: &mut Connection, works: &[Work]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut put = transaction.prepare_cached(
            "INSERT OR REPLACE INTO leases (lease_id, token_id, stage, ended_at, row) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut forget = transaction.prepare_cached("DELETE FROM leases WHERE ended_at < ?1")?;
        for work in works {
            match work {
                Work::Put(row) => {
                    let text = serde_json::to_string(row)
                        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                    let ended_at = row.ended_at.map(Timestamp::as_second);
                    put.execute(params![row.lease_id.as_str(), row.token_id, stage(row.stage), ended_at, text])?;
                }
                Work::Forget { ended_before } => {
                    forget.execute([ended_before.as_second()])?;
                }
            }
        }
    }
    transaction.commit()
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Pending => "pending",
        Stage::Ready => "ready",
        Stage::Ending => "ending",
        Stage::Ended => "ended",
    }
}

/// Made by us: SQLite would give it the process's default mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Brings the file to our version. This process is the only one that has it: the pool's lock says so.
fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
    let unusable = |error| unusable(path, error);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(unusable)?;
    let pragma = |connection: &Connection, name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = pragma(connection, "application_id").map_err(unusable)?;
    let version = pragma(connection, "user_version").map_err(unusable)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(unusable)?;
    if application != APPLICATION_ID && (tables != 0 || version != 0) {
        return Err(damaged(path, "it is a database of something else"));
    }
    let applied = usize::try_from(version).unwrap_or(usize::MAX);
    if applied > MIGRATIONS.len() {
        let why = format!("its version is {version}, and this program knows {}", MIGRATIONS.len());
        return Err(damaged(path, &why));
    }
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))
        // With WAL the default would lose the last leases when the machine loses its power.
        .and_then(|_| connection.pragma_update(None, "synchronous", "FULL"))
        .map_err(unusable)?;
    let transaction = connection.transaction().map_err(unusable)?;
    for migration in MIGRATIONS.iter().skip(applied) {
        transaction.execute_batch(migration).map_err(unusable)?;
    }
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .and_then(|()| transaction.pragma_update(None, "user_version", newest))
        .and_then(|()| transaction.commit())
        .map_err(unusable)
}

/// The owner that stands there, or the one that is new.
fn owner(connection: &Connection, new: &OwnerId) -> rusqlite::Result<String> {
    let known = connection
        .query_row("SELECT value FROM pool WHERE name = 'owner'", [], |row| row.get::<_, String>(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    connection.execute("INSERT INTO pool (name, value) VALUES ('owner', ?1)", [new.as_str()])?;
    Ok(new.to_string())
}

fn read(connection: &Connection, ended_after: Timestamp) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT row FROM leases WHERE ended_at IS NULL OR ended_at >= ?1 ORDER BY lease_id")?;
    let rows = statement.query_map([ended_after.as_second()], |row| row.get(0))?;
    rows.collect()
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::State, format!("the pool's leases `{}` cannot be used: {why}", path.display()))
        .hint("it is left as it is: without it nobody knows whose the runners are, but they end at their deadlines")
}

fn unusable(path: &Path, error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::State, format!("the pool's leases `{}` cannot be used", path.display())).because(error)
}
