//! Leases on the wire: [`CreateLease`], [`RenewLease`], [`PoolLease`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Code;
use crate::report::envelope::Cost;

/// What a pool is asked for. The key of the request is in the header [`super::IDEMPOTENCY_KEY`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CreateLease {
    /// What is built.
    pub workspace: String,
    /// The provider that the pool is asked for; `null` leaves it to the pool.
    #[serde(default)]
    pub provider: Option<String>,
    /// The tier's name; `null` when only an amount is asked for.
    #[serde(default)]
    pub runner_type: Option<String>,
    /// CPUs.
    pub cpu: u32,
    /// Memory in GB (2^30).
    pub memory_gb: f64,
    /// False when less memory will do where the pool's machine has less: it is a default, and nobody asked for it.
    #[serde(default = "yes")]
    pub memory_is_explicit: bool,
    /// Disk in GB.
    #[serde(default)]
    pub disk_gb: u32,
    /// `arm64` or `amd64`.
    pub arch: String,
    /// The key that opens the runner, in one line: `ssh-ed25519 AAAA…`.
    pub ssh_public_key: String,
    /// For how long the lease is held unless it is renewed, in seconds.
    pub ttl_s: u64,
    /// When it ends whatever is renewed, in seconds from now.
    pub max_ttl_s: u64,
    /// What the runner carries, [`crate::lease::Labels::to_map`]. Those whose meaning the pool has are its own to set.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}

/// Moves the end of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RenewLease {
    /// From now, in seconds.
    pub ttl_s: u64,
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolState {
    /// The runner is being made.
    Pending,
    /// It answers.
    Ready,
    /// It could not be made, or is lost; `reason` says why.
    Failed,
    /// It is verified gone.
    Released,
    /// A word that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A lease of a pool. What is not known yet is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolLease {
    /// The lease: the key of the request that made it.
    pub lease_id: String,
    /// Where it stands.
    pub state: PoolState,
    /// Why it is not ready.
    #[serde(default)]
    pub reason: Option<String>,
    /// Why it failed, for programs: what a request would have been answered with had it been known by then.
    #[serde(default)]
    pub code: Option<Code>,
    /// The runner's host name or address.
    #[serde(default)]
    pub host: Option<String>,
    /// Its SSH port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its login user.
    #[serde(default)]
    pub user: Option<String>,
    /// Its host key as `known_hosts` writes it: `ssh-ed25519 AAAA…`.
    #[serde(default)]
    pub host_key: Option<String>,
    /// The tier that was leased.
    #[serde(default)]
    pub runner_type: Option<String>,
    /// The provider that it was leased from.
    #[serde(default)]
    pub provider: Option<String>,
    /// How the client goes on once it is in: [`crate::lease::Endpoint`] without what is the client's own. A pool of another
    /// make leaves it out: then it is a stock machine.
    #[serde(default)]
    pub endpoint: Option<serde_json::Value>,
    /// When it ends unless it is renewed, RFC 3339 in UTC.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// What it cost so far.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// What the runner carries.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}
