//! [`IncomingFile`] and [`IncomingDirectory`]: a result on its way to its destination.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::solve::unpack::Limits;

/// A single-file result (`oci`, `docker`, `tar`), received beside its destination.
#[derive(Debug)]
pub struct IncomingFile {}

impl IncomingFile {
    /// Reads `reader` to its end into a temporary file beside `dest`. Blocks: call it within `spawn_blocking`.
    ///
    /// # Errors
    /// When the stream breaks, holds more than `max_bytes`, or cannot be written.
    pub fn receive(reader: impl Read, dest: &Path, limits: &Limits) -> Result<Self> {
        let _ = (reader, dest, limits);
        Err(Error::new(ErrorKind::Runner, "not there yet"))
    }

    /// Moves the file to its destination, replacing what was there. Gives its size in bytes.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn commit(self) -> Result<u64> {
        Err(Error::new(ErrorKind::Runner, "not there yet"))
    }
}

/// A directory result (`local`, and `oci` with `tar=false`), unpacked beside its destination.
#[derive(Debug)]
pub struct IncomingDirectory {}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Entries made.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Files and directories that lost a setuid, setgid or sticky bit.
    pub stripped: u64,
}

impl IncomingDirectory {
    /// Unpacks the tar stream `reader` into a fresh directory within or beside `dest`. Blocks: call it within
    /// `spawn_blocking`.
    ///
    /// # Errors
    /// For anything but plain files, directories and links that stay within.
    pub fn receive(reader: impl Read, dest: &Path, limits: &Limits) -> Result<Self> {
        let _ = (reader, dest, limits);
        Err(Error::new(ErrorKind::Runner, "not there yet"))
    }

    /// Moves what was unpacked into the destination: files replace files, directories are merged.
    ///
    /// # Errors
    /// When a directory would have to replace a file or the reverse (nothing was moved then), or a move fails.
    pub fn commit(self) -> Result<Unpacked> {
        Err(Error::new(ErrorKind::Runner, "not there yet"))
    }
}
