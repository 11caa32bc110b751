//! Labels for tests.

use jiff::Timestamp;

use crate::ids::{LeaseId, RunId};
use crate::lease::{Labels, OwnerId};

/// The labels of a lease.
pub(super) fn labels(lease: &LeaseId) -> Labels {
    let at = |second| Timestamp::from_second(second).unwrap();
    Labels {
        owner: OwnerId::derive("x"),
        lease_id: lease.clone(),
        run_id: RunId::new(),
        workspace: "shop".parse().unwrap(),
        tier: "cax21".to_owned(),
        attempt: 1,
        created_at: at(1_000),
        expires_at: at(2_000),
        hard_deadline: at(3_000),
        holder: None,
        may_be_kept: false,
    }
}
