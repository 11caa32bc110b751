//! [`request`]: a request for a lease, as a build makes it.

use jiff::{SignedDuration, Timestamp};
use lian_build::ids::{LeaseId, RunId};
use lian_build::lease::{Holder, LeaseRequest, OwnerId};

use super::tier;

/// A request of this process for a new lease of a project.
pub(crate) fn request(owner: &str, memory_gb: f64, now: Timestamp) -> LeaseRequest {
    LeaseRequest {
        lease_id: LeaseId::new(),
        run_id: RunId::new(),
        workspace: "test".parse().unwrap(),
        actor_id: "tester".parse().unwrap(),
        tier: tier(memory_gb),
        architecture: match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "amd64",
        }
        .to_owned(),
        memory_is_explicit: true,
        attempt: 1,
        owner: OwnerId::derive(owner),
        created_at: now,
        expires_at: now + SignedDuration::from_mins(20),
        hard_deadline: now + SignedDuration::from_hours(2),
        holder: Holder::current(),
        may_be_kept: false,
        authorized_keys: Vec::new(),
    }
}
