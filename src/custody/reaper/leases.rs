//! [`Leases`]: what a reaper is answerable for, and when each of it is due. Pure.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::ids::LeaseId;

/// Why a lease is released by its reaper, as the journal says it.
const ORPHANED: &str = "the process that leased it is gone";
const OVERDUE: &str = "its hard deadline has passed";
const KEPT_LONG_ENOUGH: &str = "the time it was kept for is over";
const ASKED: &str = "the reaper was asked to";

/// What a reaper is answerable for, and when each of it is due. Times are of the monotonic clock: a wall clock that jumps
/// releases nothing.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<LeaseId, Due>);

#[derive(Debug)]
struct Due {
    at: Instant,
    reason: &'static str,
    kept: bool,
}

impl Leases {
    /// Its holder lives and releases it, before `overdue` at the latest.
    pub(super) fn hold(&mut self, lease: LeaseId, overdue: Instant) {
        self.0.insert(lease, Due { at: overdue, reason: OVERDUE, kept: false });
    }

    /// It is kept until then, whether its holder lives or not.
    pub(super) fn keep(&mut self, lease: LeaseId, until: Instant) {
        self.0.insert(lease, Due { at: until, reason: KEPT_LONG_ENOUGH, kept: true });
    }

    /// It is gone.
    pub(super) fn forget(&mut self, lease: &LeaseId) {
        self.0.remove(lease);
    }

    /// The holder of all that is not kept is gone.
    pub(super) fn orphan(&mut self, now: Instant) {
        self.make_due(now, ORPHANED, |due| !due.kept);
    }

    /// What is kept is not wanted any more.
    pub(super) fn end_keeping(&mut self, now: Instant) {
        self.make_due(now, ASKED, |due| due.kept);
    }

    fn make_due(&mut self, now: Instant, reason: &'static str, which: impl Fn(&Due) -> bool) {
        for due in self.0.values_mut().filter(|due| which(due)) {
            due.at = now.min(due.at);
            due.reason = reason;
        }
    }

    /// What is kept.
    pub(super) fn kept(&self) -> Vec<LeaseId> {
        self.0.iter().filter(|(_, due)| due.kept).map(|(lease, _)| lease.clone()).collect()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().map(|due| due.at).min()
    }

    /// Takes out what is due, with the reason.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(LeaseId, &'static str)> {
        let (due, later) = std::mem::take(&mut self.0).into_iter().partition(|(_, due)| due.at <= now);
        self.0 = later;
        let due: BTreeMap<LeaseId, Due> = due;
        due.into_iter().map(|(lease, due)| (lease, due.reason)).collect()
    }

    /// True when there is nothing to be answerable for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn due(leases: &mut Leases, now: Instant) -> Vec<&'static str> {
        leases.take_due(now).into_iter().map(|(_, reason)| reason).collect()
    }

    #[test]
    fn what_is_held_goes_with_its_holder_and_what_is_kept_stays() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut leases = Leases::default();
        let kept = LeaseId::new();
        leases.hold(LeaseId::new(), now + hour);
        leases.hold(kept.clone(), now + hour);
        leases.keep(kept.clone(), now + hour / 2);
        assert_eq!(leases.kept(), [kept]);
        assert_eq!(due(&mut leases, now), [""; 0]);
        leases.orphan(now);
        assert_eq!(due(&mut leases, now), [ORPHANED]);
        assert_eq!(leases.next(), Some(now + hour / 2));
        assert_eq!(due(&mut leases, now + hour / 2), [KEPT_LONG_ENOUGH]);
        assert!(leases.is_empty());
    }

    #[test]
    fn a_signal_ends_the_keeping_only() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut leases = Leases::default();
        let released = LeaseId::new();
        leases.hold(LeaseId::new(), now + hour);
        leases.keep(LeaseId::new(), now + hour);
        leases.hold(released.clone(), now + hour);
        leases.forget(&released);
        leases.end_keeping(now);
        assert_eq!(due(&mut leases, now), [ASKED]);
        assert_eq!(due(&mut leases, now + hour), [OVERDUE]);
        assert!(leases.is_empty());
    }
}
