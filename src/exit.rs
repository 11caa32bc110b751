//! The exit codes. They are part of the interface: scripts branch on them.

use crate::error::{ErrorKind, Signal};

/// Built, or already up to date.
pub const SUCCESS: u8 = 0;
/// The build itself failed.
pub const BUILD: u8 = 1;
/// Bad usage, spec, directives or catalog, or a missing Dockerfile.
pub const USAGE: u8 = 2;
/// Out of memory, also after the one retry.
pub const OUT_OF_MEMORY: u8 = 3;
/// No capacity, over a policy cap, or larger than any tier.
pub const NO_CAPACITY: u8 = 4;
/// A provider, network, runner or state-directory fault.
pub const INFRASTRUCTURE: u8 = 5;
/// The time budget is used up.
pub const TIME_BUDGET: u8 = 6;
/// A release could not be confirmed. Beats every other code.
pub const RELEASE_UNCONFIRMED: u8 = 7;
/// A secret or a registry login was refused or is missing.
pub const CREDENTIALS: u8 = 8;

/// The exit code of a kind of error.
pub const fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage | ErrorKind::Spec => USAGE,
        ErrorKind::Build => BUILD,
        ErrorKind::OutOfMemory => OUT_OF_MEMORY,
        ErrorKind::NoCapacity | ErrorKind::OverPolicy => NO_CAPACITY,
        ErrorKind::Provider | ErrorKind::Network | ErrorKind::Runner | ErrorKind::State => INFRASTRUCTURE,
        ErrorKind::TimeBudget => TIME_BUDGET,
        ErrorKind::ReleaseUnconfirmed => RELEASE_UNCONFIRMED,
        ErrorKind::Credentials => CREDENTIALS,
        ErrorKind::Cancelled(signal) => signal_code(signal),
    }
}

/// 128 + the signal's number, after the release.
pub const fn signal_code(signal: Signal) -> u8 {
    128 + signal.number()
}
