//! [`LeaseRecord`]: one lease as the journal keeps it. Holds no secret.

use serde::{Deserialize, Serialize};

use super::{Holder, Labels, LeaseRequest, LeaseState};

/// The version of the record's format.
pub const RECORD_VERSION: u32 = 1;

/// One lease as the journal keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// The provider's name.
    pub provider: String,
    /// A fingerprint of which backend, and with which credential, it was leased from: another one's "not found" proves
    /// nothing.
    pub backend: String,
    /// What the runner carries too, but for the soft deadline: here it is the one that was set last.
    #[serde(flatten)]
    pub labels: Labels,
    /// The process that releases it when its holder dies.
    pub reaper: Option<Holder>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: LeaseState,
}

impl LeaseRecord {
    /// The record of a lease before its first request. `backend` is the provider's fingerprint of it.
    pub fn of(request: &LeaseRequest, provider: &str, backend: String, reaper: Option<Holder>) -> Self {
        Self {
            version: RECORD_VERSION,
            provider: provider.to_owned(),
            backend,
            labels: request.labels(),
            reaper,
            state: LeaseState::Intent,
        }
    }
}
