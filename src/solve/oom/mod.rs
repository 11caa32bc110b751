//! Was it memory? What the runner's kernel says before and after a solve, and the verdict over it.
//!
//! [`Probe`] makes the command line of a small script that reads the evidence on the runner, [`parse`] reads its
//! output, [`mod@judge`] compares two readings. Nothing here runs a process, decides about a retry, or believes what a build
//! step printed: `Killed`, `OOM` and an exit code of 137 prove nothing where the kernel can be asked.

mod counters;
mod final_message;
mod judge;
mod judgement;
mod kernel_log;
mod probe;
#[cfg(test)]
mod recorded_tests;
mod stall;
mod standstill;

pub use counters::{CgroupV1, CgroupV2, Counters, Daemon, DiskSpace, parse};
pub use final_message::NoRetry;
pub use judge::{FailureFacts, RunnerFacts, judge};
pub use judgement::{Judgement, Verdict};
pub use kernel_log::{KernelLog, Kill};
pub use probe::{Probe, SCRIPT};
pub use stall::Stall;
pub use standstill::Standstill;
