//! Takes results from the runner. A build step may own the runner, so every byte is hostile input.
//!
//! Both kinds of result arrive beside their destination first and are moved there by `commit`, once `buildctl` has ended
//! well: a failed attempt never touches what was there. What a directory result may hold is decided in [`IncomingDirectory`].

mod archive;
mod entry_path;
mod incoming_directory;
mod incoming_file;
mod limits;
mod pax;
mod tree;

pub use incoming_directory::{IncomingDirectory, Unpacked};
pub use incoming_file::IncomingFile;
pub use limits::Limits;

use crate::error::{Error, ErrorKind};

/// The name of what is received begins like this until it is committed.
const TEMPORARY_PREFIX: &str = ".lian-build-";

/// The error of a result that we do not take: the build made it, so it is the build's.
fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Build, why)
}

/// The error of a destination that cannot be written.
fn unwritable(path: &std::path::Path, error: impl Into<std::io::Error>) -> Error {
    Error::new(ErrorKind::State, format!("cannot write `{}`", path.display())).because(error.into())
}

/// The error of a stream that broke off.
fn broken(why: &str) -> Error {
    Error::new(ErrorKind::Runner, format!("the result's stream {why}"))
}
