//! The lease protocol, the same for every provider: on record before the first request, renewed while it is held,
//! released on every path and verified, and a reaper in a process of its own for when this one is killed.
//!
//! It knows the trait [`crate::provider::ComputeProvider`] and no provider, and nothing of what a runner is used for.

mod by_id;
mod custodian;
mod entry;
mod held;
mod moment;
mod notes;
mod reaper;
mod renewals;
mod retry;
mod sweep;
mod timing;
mod verdict;
#[cfg(test)]
mod verdict_tests;
mod write_queue;

pub use by_id::release;
pub use custodian::Custodian;
pub use held::HeldLease;
use notes::Notes;
pub use reaper::{SUBCOMMAND as REAPER_SUBCOMMAND, reaper_main};
pub use sweep::{Sweep, Swept, sweep};
pub use timing::Timing;
pub use verdict::{SweepContext, Verdict, verdict};
