//! [`Journal`]: the leases this user has on record. A lease is written, durably, before its first request goes out.
//!
//! One file a lease, beside a lock that its holder keeps: `leases/<lease>.json` and `leases/<lease>.lock` in the state
//! directory. The journal is a hint for whoever cleans up: labels and name are read again before anything is destroyed.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Holder, LeaseRecord, LeaseState, RECORD_VERSION};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lock_file::LockFile;
use crate::private_dir::create_private;

/// How long another process may look at a lock that we want.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// How long other builds may take to be let in.
const ADMISSION_LIMIT: Duration = Duration::from_secs(30);

/// The pause until that is tried again.
const ADMISSION_STEP: Duration = Duration::from_millis(10);

/// Says whether one more lease may be begun beside those on record.
pub type Admit = Arc<dyn Fn(&[LeaseId]) -> Result<()> + Send + Sync>;

/// The pause until a new lock that a sweep looks at is tried again.
const LOOK_STEP: Duration = Duration::from_millis(5);

/// The leases this user has on record.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
}

/// A record that was read, and whether a living process holds it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The record.
    pub record: LeaseRecord,
    /// True while a living process, its holder or its reaper, has it locked.
    pub held: bool,
}

/// A file of the journal that cannot be read, and why.
pub type Unreadable = (PathBuf, String);

/// A lease on record that this process holds.
#[derive(Debug)]
pub struct JournalEntry {
    path: PathBuf,
    record: LeaseRecord,
    lock: LockFile,
}

impl Journal {
    /// The journal in this state directory. Makes nothing.
    pub fn new(state_dir: &Path) -> Self {
        Self::in_dir(state_dir.join("leases"))
    }

    /// The journal in this directory, as [`Journal::dir`] names it.
    pub(crate) fn in_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a new lease on record. When this returns, the intent has reached the disk.
    ///
    /// # Errors
    /// [`ErrorKind::State`]: then nothing may be leased.
    pub fn begin(&self, record: LeaseRecord) -> Result<JournalEntry> {
        let cannot = || format!("the lease cannot be put on record in `{}`, so nothing is leased", self.dir.display());
        let made = create_private(&self.dir).and_then(|()| {
            let lock = take_new(&self.path(&record.labels.lease_id, "lock"))?
                .ok_or_else(|| std::io::Error::other("another process has a lease of this name"))?;
            let entry = JournalEntry { path: self.path(&record.labels.lease_id, "json"), record, lock };
            match entry.write() {
                Ok(()) => Ok(entry),
                Err(error) => {
                    // Half a record is nobody's.
                    let _ = std::fs::remove_file(entry.path.with_extension("new"));
                    entry.remove();
                    Err(error)
                }
            }
        });
        made.context(ErrorKind::State, cannot).map_err(|error| {
            error.hint("without it a runner could be lost: set XDG_STATE_HOME to a writable directory")
        })
    }

    /// As [`Journal::begin`], unless `admit` refuses when it sees the leases that are on record already. Of several processes
    /// one at a time is answered, so that no two are let in where there is room for one. Blocks until it is this one's turn.
    ///
    /// # Errors
    /// [`ErrorKind::State`], and what `admit` says.
    pub fn begin_if(&self, record: LeaseRecord, admit: &Admit) -> Result<JournalEntry> {
        create_private(&self.dir).context(ErrorKind::State, || format!("cannot make `{}`", self.dir.display()))?;
        let gate = self.take_admission()?;
        let (records, unreadable) = self.read()?;
        if let Some((path, why)) = unreadable.first() {
            // It may be a lease: what cannot be counted is not passed over.
            return Err(Error::new(ErrorKind::State, format!("`{}` cannot be counted: {why}", path.display())));
        }
        let held: Vec<LeaseId> = records.into_iter().map(|recorded| recorded.record.labels.lease_id).collect();
        admit(&held)?;
        let entry = self.begin(record);
        drop(gate);
        entry
    }

    /// Waits for its turn to be let in.
    fn take_admission(&self) -> Result<LockFile> {
        let path = self.dir.join("admission.lock");
        let mut left = ADMISSION_LIMIT;
        loop {
            match LockFile::try_take(&path)? {
                Some(lock) => return Ok(lock),
                None if left.is_zero() => {
                    let message = format!("`{}` stays locked by another build", path.display());
                    return Err(Error::new(ErrorKind::State, message));
                }
                None => {
                    std::thread::sleep(ADMISSION_STEP);
                    left = left.saturating_sub(ADMISSION_STEP);
                }
            }
        }
    }

    /// Everything on record, and what of it cannot be read: the file and why.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when the directory is there and cannot be read.
    pub fn read(&self) -> Result<(Vec<Recorded>, Vec<Unreadable>)> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            entries => entries.context(ErrorKind::State, || format!("cannot read `{}`", self.dir.display()))?,
        };
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("json".as_ref()))
        {
            match read_record(&path) {
                Ok(Some(record)) => {
                    records.push(Recorded { held: LockFile::is_held(&path.with_extension("lock")), record });
                }
                // Released in this moment.
                Ok(None) => {}
                Err(why) => unreadable.push((path, why)),
            }
        }
        records.sort_by(|a, b| a.record.labels.lease_id.cmp(&b.record.labels.lease_id));
        Ok((records, unreadable))
    }

    /// Takes over a lease whose holder is gone; `None` when it is held, or not on record.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when the record cannot be read or locked.
    pub async fn adopt(&self, lease_id: &LeaseId) -> Result<Option<JournalEntry>> {
        let path = self.path(lease_id, "json");
        if !path.exists() {
            return Ok(None);
        }
        let Some(lock) = LockFile::take_within(&self.path(lease_id, "lock"), LOCK_LIMIT).await? else {
            return Ok(None);
        };
        match read_record(&path) {
            Ok(Some(record)) => Ok(Some(JournalEntry { path, record, lock })),
            Ok(None) => {
                lock.remove();
                Ok(None)
            }
            Err(why) => Err(Error::new(ErrorKind::State, format!("`{}` cannot be used: {why}", path.display()))),
        }
    }

    /// Removes locks and half-written files that a process left which was killed before its record had a name. Its lock
    /// says that it is dead, so how old they are does not matter.
    pub fn tidy(&self) {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let is_side_file = path.extension().is_some_and(|extension| extension == "lock" || extension == "new");
            let record = path.with_extension("json");
            if !is_side_file || record.exists() {
                continue;
            }
            if let Ok(Some(lock)) = LockFile::try_take(&path.with_extension("lock")) {
                // It may have got its name before we had the lock; then it is a lease, and its lock stays.
                if !record.exists() {
                    let _ = std::fs::remove_file(path.with_extension("new"));
                    lock.remove();
                }
            }
        }
    }

    fn path(&self, lease_id: &LeaseId, extension: &str) -> PathBuf {
        self.dir.join(lease_id.as_str()).with_extension(extension)
    }
}

impl JournalEntry {
    /// The record as it stands.
    pub fn record(&self) -> &LeaseRecord {
        &self.record
    }

    /// Goes on to `state`, durably. In memory it goes on also when the disk fails: what is done must not be forgotten
    /// because it cannot be written down.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when the step does not exist or cannot be written.
    pub fn step(&mut self, state: LeaseState) -> Result<()> {
        self.record
            .state
            .step(state)
            .context(ErrorKind::State, || format!("lease `{}`", self.record.labels.lease_id))?;
        self.save()
    }

    /// Moves the soft deadline.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when it cannot be written.
    pub fn renew(&mut self, expires_at: Timestamp) -> Result<()> {
        self.record.labels.expires_at = expires_at;
        self.save()
    }

    /// Names the process that releases the lease when this one dies.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when it cannot be written.
    pub fn set_reaper(&mut self, reaper: Option<Holder>) -> Result<()> {
        self.record.reaper = reaper;
        self.save()
    }

    /// Takes the lease off the record, after its verified release.
    pub fn remove(self) {
        // Gone already is as good; one that stays is a sweep's to remove, which finds nothing to release.
        let _ = std::fs::remove_file(&self.path);
        self.lock.remove();
    }

    fn save(&self) -> Result<()> {
        self.write().context(ErrorKind::State, || format!("cannot write `{}`", self.path.display()))
    }

    /// A new file beside the old one, flushed, put in its place, and its directory flushed.
    fn write(&self) -> std::io::Result<()> {
        let text = serde_json::to_vec(&self.record)?;
        let new = self.path.with_extension("new");
        // Left by a process that died here: the lock says it is ours now.
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        File::open(dir)?.sync_all()
    }
}

/// Locks the file of a lease that is new. A sweep may look at it just now.
fn take_new(path: &Path) -> std::io::Result<Option<LockFile>> {
    let mut left = LOCK_LIMIT;
    loop {
        match LockFile::try_open(path)? {
            None if !left.is_zero() => {
                std::thread::sleep(LOOK_STEP);
                left = left.saturating_sub(LOOK_STEP);
            }
            taken => return Ok(taken),
        }
    }
}

fn read_record(path: &Path) -> Result<Option<LeaseRecord>, String> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| error.to_string())?,
    };
    let record: LeaseRecord = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if record.version == RECORD_VERSION {
        Ok(Some(record))
    } else {
        Err(format!("its version is {}, this program knows {RECORD_VERSION}", record.version))
    }
}
