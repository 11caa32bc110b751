//! [`LeaseRow`]: one lease as the pool keeps it, from the request for it on until long after its end.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::wanted::Wanted;
use crate::ids::{ActorId, LeaseId};
use crate::lease::{Endpoint, HourlyPrice, LeaseRequest, Made, OwnerId};
use crate::pool_api::{Code, PoolLease, PoolState};
use crate::report::envelope::Cost;

/// Where a lease of the pool stands.
///
/// ```text
/// pending ──► ready ──► ending ──► ended
///    └───────────────────►┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The runner is being made.
    Pending,
    /// It answers.
    Ready,
    /// It is being destroyed.
    Ending,
    /// It is verified gone, or never was.
    Ended,
}

/// Why a lease came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people.
    pub reason: String,
}

/// A runner that its provider has confirmed to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRow {
    remote_id: String,
    since: Timestamp,
    price: Option<HourlyPrice>,
}

impl From<&Made> for MadeRow {
    fn from(made: &Made) -> Self {
        Self { remote_id: made.remote_id.clone(), since: made.since, price: made.price.clone() }
    }
}

/// One lease as the pool keeps it. Holds no secret: the key in it is a public one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The lease, and the runner's name.
    pub lease_id: LeaseId,
    /// Whose it is.
    pub token_id: String,
    /// The same as a name: caches that are kept by actor are each token's own.
    pub actor_id: ActorId,
    /// What the same request has again, hexadecimal.
    pub digest: String,
    /// What was asked for.
    pub wanted: Wanted,
    /// The provider that it is, or was last, asked of.
    pub provider: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when it is held unless it is renewed.
    pub expires_at: Timestamp,
    /// Until when at the most.
    pub hard_deadline: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// How the runner is reached, once it is.
    pub endpoint: Option<Endpoint>,
    /// What the provider confirmed.
    pub made: Option<MadeRow>,
    /// Why it ends or ended, in words.
    pub reason: Option<String>,
    /// Set when it came to nothing.
    pub failure: Option<Failure>,
    /// When it was verified gone.
    pub ended_at: Option<Timestamp>,
}

impl LeaseRow {
    /// When it ends unless something happens.
    pub fn ends_at(&self) -> Timestamp {
        self.expires_at.min(self.hard_deadline)
    }

    /// Moves the end to `seconds` from now, as far as the hard deadline lets it.
    pub fn renew(&mut self, now: Timestamp, seconds: u64) {
        self.expires_at = later(now, seconds).min(self.hard_deadline);
    }

    /// Seconds of it within the time between `from` and `to`; one that is held counts until it ends by itself.
    pub fn seconds_within(&self, from: Timestamp, to: Timestamp) -> u64 {
        let end = self.ended_at.unwrap_or_else(|| self.ends_at()).min(to);
        let begin = self.created_at.max(from);
        u64::try_from(end.duration_since(begin).as_secs()).unwrap_or(0)
    }

    /// What the provider is asked for. `owner` is the pool's own.
    pub fn request(&self, owner: &OwnerId) -> LeaseRequest {
        LeaseRequest {
            lease_id: self.lease_id.clone(),
            run_id: self.wanted.run_id,
            workspace: self.wanted.workspace.clone(),
            actor_id: self.actor_id.clone(),
            tier: self.wanted.tier.clone(),
            architecture: self.wanted.architecture.clone(),
            memory_is_explicit: self.wanted.memory_is_explicit,
            attempt: self.wanted.attempt,
            owner: owner.clone(),
            created_at: self.created_at,
            expires_at: self.ends_at(),
            hard_deadline: self.hard_deadline,
            // The lease outlives the pool's process: that one is dead proves nothing.
            holder: None,
            may_be_kept: false,
            authorized_keys: vec![self.wanted.ssh_public_key.clone()],
        }
    }

    /// What it has cost until now, or did cost.
    pub fn cost(&self, now: Timestamp) -> Option<Cost> {
        let made = self.made.as_ref()?;
        Some(made.price.as_ref()?.between(made.since, self.ended_at.unwrap_or(now)))
    }

    /// The lease as it is answered.
    pub fn answer(&self, now: Timestamp) -> PoolLease {
        let is_failed = self.failure.is_some() || self.stage == Stage::Ending;
        let state = match self.stage {
            _ if is_failed => PoolState::Failed,
            Stage::Pending => PoolState::Pending,
            Stage::Ready => PoolState::Ready,
            Stage::Ending | Stage::Ended => PoolState::Released,
        };
        let endpoint = self.endpoint.as_ref().filter(|_| state == PoolState::Ready);
        let failure = self.failure.as_ref();
        PoolLease {
            lease_id: self.lease_id.to_string(),
            state,
            code: failure.map(|failure| failure.code),
            reason: failure.map(|failure| failure.reason.clone()).or_else(|| self.reason.clone()),
            host: endpoint.map(|endpoint| endpoint.host.clone()),
            port: endpoint.map(|endpoint| endpoint.port),
            user: endpoint.map(|endpoint| endpoint.user.clone()),
            host_key: endpoint.map(|endpoint| endpoint.host_key.clone()),
            runner_type: Some(self.wanted.tier.name.clone()),
            provider: Some(self.provider.clone()),
            endpoint: endpoint.and_then(for_callers),
            expires_at: Some(self.ends_at().to_string()),
            cost: self.cost(now),
            labels: self.wanted.labels.clone(),
        }
    }
}

/// A time so many seconds later.
pub(super) fn later(now: Timestamp, seconds: u64) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.checked_add(seconds).unwrap_or(Timestamp::MAX)
}

/// The endpoint without the pool's own paths.
fn for_callers(endpoint: &Endpoint) -> Option<serde_json::Value> {
    let mut value = serde_json::to_value(endpoint).ok()?;
    let fields = value.as_object_mut()?;
    for own in ["identity_file", "session_dir"] {
        fields.remove(own);
    }
    Some(value)
}
