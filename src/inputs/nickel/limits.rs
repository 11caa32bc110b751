//! [`Limits`]: what one evaluation may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The largest file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;
/// The most files that the documents of one evaluation may consist of, imports included.
pub(super) const MAX_FILES: usize = 64;
/// The largest request, in bytes: a few paths.
pub(super) const MAX_REQUEST: u64 = 1 << 20;
/// The largest answer, in bytes.
pub(super) const MAX_ANSWER: u64 = 8 << 20;
/// The stack that evaluation runs on: the parser's trees are walked recursively.
pub(super) const STACK: usize = 128 << 20;
/// Address space of the child besides what evaluation may use: the program itself, the stack, the allocator's arenas.
pub(super) const OVERHEAD: u64 = STACK as u64 + (256 << 20);

/// What one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory, in MB (2^20 bytes).
    pub memory_mb: u64,
    /// Seconds of CPU time.
    pub cpu_seconds: u64,
    /// Time on the clock, also when the machine is busy.
    pub wall: Duration,
}

impl Default for Limits {
    /// Thousands of times what a spec needs (about 15 ms), and little enough not to be in anybody's way.
    fn default() -> Self {
        Self { memory_mb: 512, cpu_seconds: 5, wall: Duration::from_secs(30) }
    }
}
