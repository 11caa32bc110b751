//! [`read`]: looks into a SQLite file without leaving a trace.
//!
//! A plain read-only connection to a file in WAL mode makes `-wal` and `-shm` files, and fails where it cannot. While
//! nobody has the file open those are not there and not needed: then it is read as one that does not change.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OpenFlags};
use url::Url;

use super::sqlite::{BUSY_TIMEOUT, unusable};
use crate::error::Result;

/// Runs `work` on a connection that writes nothing. It runs a second time when a writer came in between, so it must
/// only read.
pub(super) fn read<T>(path: &Path, work: impl Fn(&Connection) -> Result<T>) -> Result<T> {
    if let Some(before) = unchanging(path) {
        let result = open(path, "immutable=1").and_then(|connection| work(&connection));
        // What was read while somebody wrote is worth nothing.
        if unchanging(path) == Some(before) {
            return result;
        }
    }
    work(&open(path, "mode=ro")?)
}

/// Length and time of change of a file that nobody has open; `None` while somebody has.
fn unchanging(path: &Path) -> Option<(u64, SystemTime)> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if PathBuf::from(log).exists() {
        return None;
    }
    let metadata = path.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

fn open(path: &Path, how: &str) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match Url::from_file_path(path) {
        Ok(mut url) => {
            url.set_query(Some(how));
            Connection::open_with_flags(url.as_str(), flags)
        }
        // A relative path has no address; none of our directories is one.
        Err(()) => Connection::open_with_flags(path, flags),
    };
    let connection = opened.map_err(|error| unusable(path, error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| unusable(path, error))?;
    Ok(connection)
}
