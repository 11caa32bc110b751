//! [`IncomingFile`]: a single-file result (`oci`, `docker`, `tar`) on its way to its destination.

use std::fs::{File, Permissions};
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::Result;
use crate::solve::unpack::{Limits, TEMPORARY_PREFIX, broken, refused, unwritable};

const BUFFER: usize = 128 << 10;

/// A file that is complete, beside its destination. Dropping it deletes it.
#[derive(Debug)]
pub struct IncomingFile {
    file: NamedTempFile,
    dest: PathBuf,
    bytes: u64,
}

impl IncomingFile {
    /// Reads `reader` to its end into a temporary file in the directory of `dest`. Blocks: call it within
    /// `spawn_blocking`. The stream's end says nothing about its being whole: commit only once `buildctl` has ended well.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Runner`] when the stream breaks, [`crate::error::ErrorKind::Build`] when it holds more
    /// than the limits allow, [`crate::error::ErrorKind::State`] when it cannot be written.
    pub fn receive(mut reader: impl Read, dest: &Path, limits: &Limits) -> Result<Self> {
        let directory = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A file that is replaced keeps its mode, as it does where buildctl writes into it; a new one gets the umask's.
        let mode = dest.metadata().map_or(0o666, |old| old.permissions().mode() & 0o777);
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory)
            .map_err(|error| unwritable(directory, error))?;
        let mut buffer = vec![0; BUFFER];
        let mut bytes = 0;
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken("broke off").because(error)),
            };
            bytes += count as u64;
            if bytes > limits.bytes {
                return Err(refused(format!("the result is larger than the limit of {} bytes", limits.bytes)));
            }
            file.write_all(buffer.get(..count).unwrap_or_default()).map_err(|error| unwritable(dest, error))?;
        }
        Ok(Self { file, dest: dest.to_owned(), bytes })
    }

    /// Moves the file to its destination in one step, replacing what was there. Gives its size in bytes.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when it cannot be moved; what was there is still there then.
    pub fn commit(self) -> Result<u64> {
        let Self { file, dest, bytes } = self;
        let failed = |error| unwritable(&dest, error);
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&dest).map_err(|error| failed(error.error))?;
        // The rename itself must survive a power cut, where the file system can promise that.
        if let Some(Ok(directory)) = dest.parent().map(File::open) {
            let _ = directory.sync_all();
        }
        Ok(bytes)
    }
}
