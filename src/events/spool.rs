//! [`Spool`]: where messages wait that could not be sent.
//!
//! One file a message in the user's state directory; names sort by time. Whoever sends holds a lock, so two runs never
//! send the same message; a process that dies gives the lock back. Bounded: the oldest messages make room.

use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, ErrorKind, Result};
use crate::events::Message;

/// Most messages that wait.
pub(super) const MAX_FILES: usize = 256;

/// Most bytes that wait.
const MAX_BYTES: u64 = 4 << 20;

/// Largest message that is kept: servers do not take larger ones, unless they are told to.
const MAX_MESSAGE: u64 = 1 << 20;

/// The version of the files' format.
const VERSION: u32 = 1;

/// A file of the spool. It names the server, so that nothing ever reaches another one than it was meant for.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    version: u32,
    server: String,
    message: Message,
}

/// Where messages wait that could not be sent.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    directory: PathBuf,
}

/// The right to send what waits, until dropped.
#[derive(Debug)]
pub(super) struct Claim {
    _lock: File,
    /// The messages for the server that was asked for, oldest first, each with its file.
    pub(super) messages: Vec<(PathBuf, Message)>,
}

impl Spool {
    /// The spool below `state`; touches nothing yet.
    pub(super) fn new(state: &Path) -> Self {
        Self { directory: state.join("spool") }
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps `messages`, in their order, for a later run that reaches `server`.
    pub(super) fn keep(&self, server: &str, messages: &[Message], now: Timestamp) -> Result<()> {
        let cannot_keep = || format!("cannot keep unsent events in `{}`", self.directory.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).context(ErrorKind::State, cannot_keep)?;
        for (position, message) in messages.iter().enumerate() {
            let waiting = Waiting { version: VERSION, server: server.to_owned(), message: message.clone() };
            let text = serde_json::to_vec(&waiting).context(ErrorKind::State, cannot_keep)?;
            if text.len() as u64 > MAX_MESSAGE {
                continue;
            }
            let name = format!("{:015}-{position:03}-{}.json", now.as_millisecond(), message.id);
            let write = || -> std::io::Result<()> {
                // Written under another name first: a reader never sees half a message.
                let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
                file.write_all(&text)?;
                file.persist(self.directory.join(name))?;
                Ok(())
            };
            write().context(ErrorKind::State, cannot_keep)?;
        }
        self.make_room();
        Ok(())
    }

    /// Takes the right to send what waits for `server`; `None` when nothing waits or another run is sending.
    pub(super) fn claim(&self, server: &str) -> Option<Claim> {
        let files = self.files();
        if files.is_empty() {
            return None;
        }
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.directory.join("lock"))
            .ok()?;
        lock.try_lock().ok()?;
        // Listed again under the lock: whoever held it before may have sent some.
        let messages = self
            .files()
            .into_iter()
            .filter_map(|(path, bytes)| {
                let text = (bytes <= MAX_MESSAGE).then(|| std::fs::read(&path).ok())??;
                let waiting: Waiting = serde_json::from_slice(&text).ok()?;
                (waiting.version == VERSION && waiting.server == server).then_some((path, waiting.message))
            })
            .collect();
        Some(Claim { _lock: lock, messages })
    }

    /// The message in `path` was delivered.
    pub(super) fn forget(path: &Path) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::debug!(path = %path.display(), %error, "cannot remove a sent event");
        }
    }

    /// Removes the oldest files until the bounds are kept.
    fn make_room(&self) {
        let files = self.files();
        let mut bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        let mut count = files.len();
        for (path, size) in files {
            if count <= MAX_FILES && bytes <= MAX_BYTES {
                break;
            }
            Self::forget(&path);
            count -= 1;
            bytes = bytes.saturating_sub(size);
        }
    }

    /// Everything in the spool but the lock, oldest first, with sizes. What a killed process left half-written sorts
    /// first, so it is the first to make room.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return Vec::new() };
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let metadata = entry.metadata().ok()?;
                (metadata.is_file() && entry.file_name() != "lock").then(|| (entry.path(), metadata.len()))
            })
            .collect();
        files.sort();
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "nats://a";

    fn message(id: impl std::fmt::Display) -> Message {
        Message {
            subject: "lian-build.w.build.failed".to_owned(),
            id: format!("run{id}.failed"),
            body: "{}".to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn ids(claim: &Claim) -> Vec<&str> {
        claim.messages.iter().map(|(_, message)| message.id.as_str()).collect()
    }

    #[test]
    fn messages_come_back_in_order_and_only_for_their_server() {
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::new(state.path());
        assert!(spool.claim(SERVER).is_none());
        spool.keep(SERVER, &[message("9"), message("8")], at(2)).unwrap();
        spool.keep(SERVER, &[message("7")], at(1)).unwrap();
        spool.keep("nats://b", &[message("6")], at(0)).unwrap();
        let claim = spool.claim(SERVER).unwrap();
        assert_eq!(ids(&claim), ["run7.failed", "run9.failed", "run8.failed"]);
        Spool::forget(&claim.messages[0].0);
        drop(claim);
        assert_eq!(ids(&spool.claim(SERVER).unwrap()), ["run9.failed", "run8.failed"]);
        assert_eq!(ids(&spool.claim("nats://b").unwrap()), ["run6.failed"]);
    }

    #[test]
    fn one_sends_at_a_time() {
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::new(state.path());
        spool.keep(SERVER, &[message("1")], at(0)).unwrap();
        let first = spool.claim(SERVER);
        assert!(first.is_some());
        assert!(spool.claim(SERVER).is_none());
        drop(first);
        assert!(spool.claim(SERVER).is_some());
    }

    #[test]
    fn the_oldest_make_room() {
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::new(state.path());
        let messages: Vec<_> = (0..MAX_FILES + 10).map(message).collect();
        spool.keep(SERVER, &messages, at(0)).unwrap();
        let claim = spool.claim(SERVER).unwrap();
        assert_eq!((claim.messages.len(), &claim.messages[0].1), (MAX_FILES, &message(10)));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::new(state.path());
        let large = |id, bytes| Message { body: "x".repeat(bytes), ..message(id) };
        spool.keep(SERVER, &[large(1, 2 << 20)], at(0)).unwrap();
        assert!(spool.claim(SERVER).is_none(), "no server takes it");
        let messages: Vec<_> = (0..6).map(|id| large(id, 900 << 10)).collect();
        spool.keep(SERVER, &messages, at(0)).unwrap();
        assert_eq!(ids(&spool.claim(SERVER).unwrap()), ["run2.failed", "run3.failed", "run4.failed", "run5.failed"]);
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::new(state.path());
        spool.keep(SERVER, &[message("1")], at(0)).unwrap();
        std::fs::write(spool.directory().join("000000000000001-x.json"), b"\xff{").unwrap();
        std::fs::write(spool.directory().join("000000000000002-x.json"), br#"{"version":2,"server":"nats://a"}"#)
            .unwrap();
        std::fs::create_dir(spool.directory().join("000000000000003-x.json")).unwrap();
        assert_eq!(ids(&spool.claim(SERVER).unwrap()), ["run1.failed"]);
    }

    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = tempfile::tempdir().unwrap();
        let spool = Spool::new(state.path());
        spool.keep(SERVER, &[message("1")], at(0)).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(spool.directory()), 0o700);
        assert_eq!(mode(&spool.claim(SERVER).unwrap().messages[0].0), 0o600);
    }
}
