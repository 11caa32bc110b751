//! The one seam through which child processes are started.

mod bounded;
mod cmd;

pub use cmd::{Cmd, Output, exit_code};
