//! [`Timing`]: the protocol's durations, in one place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The protocol's durations. Tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// How far ahead the soft deadline is set.
    pub time_to_live: Duration,
    /// How often it is moved while the lease is held.
    pub renew_every: Duration,
    /// How often it is looked whether the machine was suspended or its clock was set: then it is moved at once.
    pub compare_every: Duration,
    /// How much clocks may differ: nothing is destroyed for a deadline before it is this long past.
    pub grace: Duration,
    /// Beyond the time budget: booting, queueing and fetching results. The hard deadline is that far away.
    pub hard_margin: Duration,
    /// How long a release may take, with its retries, before it counts as unconfirmed.
    pub release_limit: Duration,
    /// How long the sweep at the start of a build may take.
    pub sweep_limit: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        Self {
            time_to_live: minutes(20),
            renew_every: minutes(5),
            compare_every: Duration::from_secs(10),
            grace: minutes(5),
            hard_margin: minutes(60),
            release_limit: minutes(2),
            sweep_limit: Duration::from_secs(2),
        }
    }
}
