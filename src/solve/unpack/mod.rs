//! Takes results from the runner: a build step may own the runner, so every byte is hostile input.
//!
//! Both kinds of result arrive beside their destination first and are moved there by `commit`, once `buildctl` has ended
//! well: a failed attempt never touches what was there.

mod incoming;
mod limits;

pub use incoming::{IncomingDirectory, IncomingFile, Unpacked};
pub use limits::Limits;
