//! [`SqliteStore`]: history in `history.sqlite` of the user's state directory.
//!
//! Several builds of one machine write at the same time: WAL, a busy timeout, and one short transaction a call. A file
//! that is damaged, not ours or from a newer version is refused and never written to, moved or replaced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::{Actor, Workspace};
use crate::record::advice::WINDOW;
use crate::record::{Advice, AttemptRecord, Metrics, StateStore, sqlite_reader};
use crate::report::envelope::{Cost, Outcome};

/// The file's name below the state directory.
const FILE_NAME: &str = "history.sqlite";

/// How long a call waits for another process's transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// `PRAGMA application_id`: says that the file is ours ("lian").
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"lian");

/// The migrations, in order; the number of those applied is the file's `user_version`. Never edit one that shipped.
const MIGRATIONS: &[&str] = &[include_str!("migrations/001_attempts.sql"), include_str!("migrations/002_costs.sql")];

/// History in a SQLite file. Cheap to make: the file is opened, and made when missing, by the first call.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
}

impl SqliteStore {
    /// The store in `state`, the user's state directory; touches nothing yet.
    pub fn new(state: &Path) -> Self {
        Self { path: state.join(FILE_NAME) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads without writing anything: looking at history must leave no trace, also where nothing can be written.
    async fn read(
        &self,
        workspace: Option<&Workspace>,
        platform: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AttemptRecord>> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let (path, workspace, platform) = (self.path.clone(), workspace.cloned(), platform.map(str::to_owned));
        tokio::task::spawn_blocking(move || {
            sqlite_reader::read(&path, |connection| {
                let version = version(connection, &path)?;
                // An empty or old file has to be brought to our version first, and that is a write.
                let migrated = if version == MIGRATIONS.len() { None } else { Some(open(&path)?) };
                let connection = migrated.as_ref().unwrap_or(connection);
                select(connection, workspace.as_ref(), platform.as_deref(), limit)
                    .map_err(|error| unusable(&path, error))
            })
        })
        .await
        .context(ErrorKind::State, || "the history could not be used".to_owned())?
    }

    /// Runs `work` on an open connection, where blocking is allowed.
    async fn with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || {
            let mut connection = open(&path)?;
            work(&mut connection).map_err(|error| unusable(&path, error))
        })
        .await
        .context(ErrorKind::State, || "the history could not be used".to_owned())?
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn record(&self, attempt: AttemptRecord) -> Result<()> {
        let (run, workspace) = (attempt.run_id, attempt.workspace.clone());
        if self.with_connection(move |connection| insert(connection, &attempt)).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::OverPolicy, format!("the run `{run}` is on record, and not as one of `{workspace}`")))
    }

    async fn advice(&self, workspace: &Workspace, platform: &str) -> Result<Advice> {
        Ok(Advice::from_history(&self.read(Some(workspace), Some(platform), WINDOW).await?))
    }

    async fn history(&self, workspace: Option<&Workspace>, limit: u32) -> Result<Vec<AttemptRecord>> {
        self.read(workspace, None, limit).await
    }
}

/// Opens the file, makes it with mode 0600 when it is missing, and brings it to the newest version.
fn open(path: &Path) -> Result<Connection> {
    create_private(path)?;
    let mut connection = Connection::open(path).map_err(|error| unusable(path, error))?;
    prepare(&mut connection).map_err(|error| unusable(path, error))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Makes the file ourselves: SQLite would give it the process's default mode, and its `-wal` and `-shm` take the
/// mode of the file.
fn create_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if path.exists() {
        return Ok(());
    }
    let cannot_make = || format!("cannot make the history `{}`", path.display());
    if let Some(directory) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .context(ErrorKind::State, cannot_make)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).context(ErrorKind::State, cannot_make),
    }
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Applies what is missing, each migration with its number in one transaction.
fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let newest = MIGRATIONS.len();
    if version(connection, path)? == newest {
        return Ok(());
    }
    // Before the first table: WAL survives in the file, so it is asked for once. Readers then never block a writer.
    ask_for_wal(connection).map_err(|error| unusable(path, error))?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| unusable(path, error))?;
    // Another process may have done it while this one waited for the lock.
    let applied = version(&transaction, path)?;
    for migration in MIGRATIONS.iter().skip(applied) {
        transaction.execute_batch(migration).map_err(|error| unusable(path, error))?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .and_then(|()| transaction.pragma_update(None, "user_version", i64::try_from(newest).unwrap_or(i64::MAX)))
        .and_then(|()| transaction.commit())
        .map_err(|error| unusable(path, error))
}

/// Changing the mode is the one statement for which SQLite's own timeout does not wait, so this does.
fn ask_for_wal(connection: &Connection) -> rusqlite::Result<()> {
    const STEP: Duration = Duration::from_millis(5);
    let mut left = BUSY_TIMEOUT;
    loop {
        let asked = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match asked {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && !left.is_zero() => {
                std::thread::sleep(STEP);
                left = left.saturating_sub(STEP);
            }
            other => return other.map(drop),
        }
    }
}

/// The file's version, when it is ours and not from a newer program.
fn version(connection: &Connection, path: &Path) -> Result<usize> {
    let newest = MIGRATIONS.len();
    let (version, application, tables) = marks(connection).map_err(|error| unusable(path, error))?;
    if application != APPLICATION_ID && (tables != 0 || version != 0) {
        return Err(Error::new(ErrorKind::State, format!("`{}` is a database of something else", path.display()))
            .hint("move it away, or choose another state directory"));
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > newest {
        return Err(Error::new(
            ErrorKind::State,
            format!("the history `{}` has version {version}, and this program knows {newest}", path.display()),
        )
        .hint("use the newer lian-build that wrote it, or choose another state directory"));
    }
    Ok(version)
}

/// Version, application and number of tables, all of one moment: another process may be making the file right now.
fn marks(connection: &Connection) -> rusqlite::Result<(i32, i32, i64)> {
    let read = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    // A savepoint, because this is also called within a transaction.
    connection.execute_batch("SAVEPOINT marks")?;
    let version = read("user_version")?;
    let application = read("application_id")?;
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    connection.execute_batch("RELEASE marks")?;
    Ok((version, application, tables))
}

/// Adds an attempt, or replaces it; false where the same run is another workspace's, whose history nobody else changes.
fn insert(connection: &mut Connection, attempt: &AttemptRecord) -> rusqlite::Result<bool> {
    let (metrics, cost) = (attempt.metrics.as_ref(), attempt.cost.as_ref());
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_foreign = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM attempts WHERE run_id = ?1 AND workspace <> ?2)",
        params![attempt.run_id.to_string(), attempt.workspace.as_str()],
        |row| row.get(0),
    )?;
    if is_foreign {
        return Ok(false);
    }
    transaction.execute(
        "INSERT OR REPLACE INTO attempts (run_id, attempt, workspace, platform, build_kind, actor, runner_type, cpu,
             memory_gb, outcome, cpu_p95, mem_p95, mem_peak, seconds, at, cost_amount, cost_currency,
             billed_hours, used_seconds)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        params![
            attempt.run_id.to_string(),
            attempt.attempt,
            attempt.workspace.as_str(),
            attempt.platform,
            attempt.build_kind,
            attempt.actor.as_str(),
            attempt.runner_type,
            attempt.cpu,
            attempt.memory_gb,
            attempt.outcome.as_str(),
            metrics.map(|metrics| metrics.cpu_p95),
            metrics.map(|metrics| metrics.mem_p95),
            metrics.map(|metrics| metrics.mem_peak),
            attempt.seconds,
            format!("{:.6}", attempt.at),
            cost.map(|cost| cost.amount.as_str()),
            cost.map(|cost| cost.currency.as_str()),
            cost.map(|cost| cost.billed_hours),
            cost.map(|cost| i64::try_from(cost.used_seconds).unwrap_or(i64::MAX)),
        ],
    )?;
    transaction.commit()?;
    Ok(true)
}

fn select(
    connection: &Connection,
    workspace: Option<&Workspace>,
    platform: Option<&str>,
    limit: u32,
) -> rusqlite::Result<Vec<AttemptRecord>> {
    let mut statement = connection.prepare(
        "SELECT run_id, attempt, workspace, platform, build_kind, actor, runner_type, cpu, memory_gb, outcome,
                cpu_p95, mem_p95, mem_peak, seconds, at, cost_amount, cost_currency, billed_hours, used_seconds
         FROM attempts
         WHERE (?1 IS NULL OR workspace = ?1) AND (?2 IS NULL OR platform = ?2)
         ORDER BY at DESC, run_id DESC, attempt DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![workspace.map(Workspace::as_str), platform, limit], read_row)?;
    rows.collect()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    let metrics = match (row.get("cpu_p95")?, row.get("mem_p95")?, row.get("mem_peak")?) {
        (Some(cpu_p95), Some(mem_p95), Some(mem_peak)) => Some(Metrics { cpu_p95, mem_p95, mem_peak }),
        _ => None,
    };
    let cost = match (row.get("cost_amount")?, row.get("cost_currency")?) {
        (Some(amount), Some(currency)) => Some(Cost {
            amount,
            currency,
            billed_hours: row.get::<_, Option<u32>>("billed_hours")?.unwrap_or_default(),
            used_seconds: row
                .get::<_, Option<i64>>("used_seconds")?
                .and_then(|n| n.try_into().ok())
                .unwrap_or_default(),
        }),
        _ => None,
    };
    Ok(AttemptRecord {
        run_id: word(row, "run_id", |text| text.parse().ok())?,
        workspace: word(row, "workspace", |text| text.parse().ok())?,
        platform: row.get("platform")?,
        build_kind: row.get("build_kind")?,
        actor: word(row, "actor", Actor::from_word)?,
        attempt: row.get("attempt")?,
        runner_type: row.get("runner_type")?,
        cpu: row.get("cpu")?,
        memory_gb: row.get("memory_gb")?,
        outcome: word(row, "outcome", Outcome::from_word)?,
        metrics,
        cost,
        seconds: row.get("seconds")?,
        at: word(row, "at", |text| text.parse().ok())?,
    })
}

/// Reads a text column into a checked type.
fn word<T>(row: &Row<'_>, column: &str, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    read(&text).ok_or_else(|| {
        let cause = format!("`{text}` is no {column}");
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, cause.into())
    })
}

/// What a failed call means to the user.
pub(super) fn unusable(path: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let path = path.display();
    let (message, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            (format!("the history `{path}` is damaged"), "move it away to start a new one; it is left as it is")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            (format!("the history `{path}` cannot be opened"), "check who owns it and its directory")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (format!("the history `{path}` stayed locked for {} s", BUSY_TIMEOUT.as_secs()), "try again")
        }
        Some(ErrorCode::DiskFull) => (format!("the disk of the history `{path}` is full"), "make room"),
        _ => (format!("the history `{path}` cannot be used"), "move it away to start a new one; it is left as it is"),
    };
    Error::new(ErrorKind::State, message).because(error).hint(hint)
}
