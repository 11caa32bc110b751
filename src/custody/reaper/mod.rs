//! The reaper: a process of its own that releases what a build had leased when the build is killed.
//!
//! It is this very program (`lian-build __reap`) in a session of its own. A socket joins it to the build: messages come
//! through it as lines of JSON, and its end means that the build is gone, however it went. What the reaper needs to release
//! a runner, a credential it may be, comes through the socket too, never through arguments, the environment or a file.

mod client;
mod leases;
mod link;
mod process;
mod wire;

pub(super) use link::ReaperLink;
pub use process::reaper_main;

/// The hidden first argument with which the reaper is started: `lian-build __reap`.
pub const SUBCOMMAND: &str = "__reap";
