//! `lian-build`: a build machine of the right size exists for exactly as long as the build.
//!
//! ```text
//! inputs ──► plan ──► lease ──► sync ──► solve ──► record ──► release
//! (Nickel,   (pure:   (provider, (rsync   (buildctl (P95       (always,
//!  context,   size +   ssh        over     over ssh, store)     verified)
//!  history)   reasons) endpoint)  ssh)     OOM?)
//!                        ▲                  │
//!                        └── next tier, once┘          events and report listen; run/ alone knows the order
//! ```
//!
//! The modules stand in the order of the flow; a stage's output type is the next stage's input.

pub mod inputs;
pub mod plan;

pub mod lease;
pub mod pool_api;
pub mod provider;

pub mod custody;

pub mod remote;
pub mod sync;

pub mod registry;
pub mod solve;

pub mod record;

pub mod events;
pub mod report;

pub mod serve;

pub mod check;
pub mod init;
pub mod run;
pub mod schema_files;

pub mod cli;

pub mod clock;
pub mod dirs;
pub mod env_vars;
pub mod error;
pub mod exit;
mod failpoint;
pub mod ids;
mod lock_file;
pub mod nearest;
pub mod new_files;
pub mod own_machine;
mod private_dir;
pub mod process;
pub mod runner_image;
pub mod sanitise;
pub mod secret_bytes;
pub mod units;
