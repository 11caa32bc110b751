//! Moves a context to the runner, over the SSH connection that is already there.
//!
//! Sends what the walk found, and nothing that is ignored. Where nothing of a directory is left out, rsync looks into it
//! itself (see [`FileList::recursive`]), so a file that is made there after the walk is sent too. Results never come back
//! this way: what a runner says is input.

mod file_list;
mod progress;
mod rsync;

pub use file_list::{FileList, file_list};
pub use progress::{Statistics, Transferred};
pub use rsync::{SyncRequest, sync};
