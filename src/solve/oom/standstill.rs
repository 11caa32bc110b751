//! [`Standstill`]: how a build stood still for want of memory.

/// How a build stood still while memory pressure was near 100 %: that of the lease's own cgroup, or of a machine of its own.
/// Other pressure says nothing of this build. Seconds each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// Its runner answered, and it printed nothing for so long.
    Quiet(u64),
    /// Its runner answered nobody for so long, and runs by its provider's word. A kernel that looks for its last free page
    /// lets nobody else at the processor.
    Silent(u64),
}

impl Standstill {
    /// What speaks for it.
    pub(super) fn evidence(self) -> String {
        match self {
            Self::Quiet(seconds) => format!("no output for {seconds} s while memory pressure was near 100 %"),
            Self::Silent(seconds) => format!(
                "the runner could not be reached for {seconds} s while its provider said that it runs; the last that it said \
                 itself was that memory pressure was near 100 %"
            ),
        }
    }

    /// What was done about it, in words of a build's failure.
    pub fn failure(self) -> String {
        match self {
            Self::Quiet(seconds) => {
                format!("memory pressure was near 100 % and nothing was printed for {seconds} s, so it was ended")
            }
            Self::Silent(seconds) => {
                format!(
                    "memory pressure was near 100 % and the runner answered nobody for {seconds} s, so it was given up"
                )
            }
        }
    }
}
