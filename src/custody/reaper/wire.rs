//! What a build and its reaper say to each other: one JSON document a line, each answered by one.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::Timing;
use crate::ids::LeaseId;
use crate::lease::Holder;
use crate::provider::ProviderConfig;

/// What a build says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub(super) enum ToReaper {
    /// The first one: where runners are released. May hold a credential.
    Guard {
        /// How the provider is opened.
        provider: Box<ProviderConfig>,
        /// Where the journal is.
        journal: PathBuf,
        /// The protocol's durations.
        timing: Timing,
    },
    /// A runner will be asked for under this name.
    Hold {
        /// The lease.
        lease_id: LeaseId,
        /// When it must be gone, whatever happens.
        hard_deadline: Timestamp,
    },
    /// It is verified gone.
    Released {
        /// The lease.
        lease_id: LeaseId,
    },
    /// It stays until then, also when the build has ended.
    Keep {
        /// The lease.
        lease_id: LeaseId,
        /// Until when.
        until: Timestamp,
    },
}

/// What the reaper answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum FromReaper {
    /// To [`ToReaper::Guard`]: it stands in a session of its own and can open the provider.
    Ready {
        /// The reaper's own process.
        holder: Option<Holder>,
    },
    /// To everything else: noted.
    Done,
    /// It cannot do that.
    Refused {
        /// Why, in words.
        why: String,
    },
}

/// A message as a line. It may hold a credential, so it is wiped.
pub(super) fn to_line(message: &impl Serialize) -> serde_json::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut line = zeroize::Zeroizing::new(serde_json::to_vec(message)?);
    line.push(b'\n');
    Ok(line)
}
