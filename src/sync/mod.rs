//! Moves a context to the runner, over the SSH connection that is already there.
//!
//! Sends exactly the entries the walk found. Results never come back this way: what a runner says is input.

mod file_list;
mod progress;
mod remote_shell;
mod rsync;

pub use file_list::{FileList, file_list};
pub use progress::{Statistics, Transferred};
pub use remote_shell::RemoteShell;
pub use rsync::{SyncRequest, sync};
