//! [`Patience`]: how long an attempt puts up with what, in one place.

use std::time::Duration;

use crate::failpoint;

/// How long an attempt puts up with what. A debug build can be told to have less of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// How long a lost connection is sought again. A router that restarts takes a minute; beyond that a new runner costs
    /// less than the wait. That the runner itself is gone is known sooner: see `watch_every`.
    pub(super) reconnect: Duration,
    /// How often the provider is asked whether the runner lives.
    pub(super) watch_every: Duration,
    /// How long a provider may take to answer that. One that does not has said nothing.
    pub(super) watch_limit: Duration,
    /// How long memory pressure must be near 100 % without a byte of output before the build counts as stalled. The
    /// pressure is itself the average of a minute, so it is four minutes after the first sign; a swap storm that a build
    /// survives is over by then.
    pub(super) stalled: Duration,
}

impl Patience {
    /// What users get.
    pub(super) fn get() -> Self {
        Self {
            reconnect: failpoint::seconds("reconnect", Duration::from_secs(90)),
            watch_every: Duration::from_secs(2),
            watch_limit: Duration::from_secs(10),
            stalled: failpoint::seconds("stalled", Duration::from_secs(180)),
        }
    }
}
