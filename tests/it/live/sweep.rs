//! [`sweep`]: removes what live runs have left in the account, and nothing else.

use std::time::Duration;

use lian_build::lease::OwnerId;
use reqwest::Method;

use super::account::{Account, code, labels};

/// Whose the servers of live runs are, in every account: a later run finds what an earlier one left.
pub(super) const OWNER: &str = "lian-build's live tests";

/// The label of what a run plants that must not look like a lease of its own.
pub(super) const PLANTED: &str = "lian-live";

/// What a sweep did.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// One line for each thing that is gone.
    pub(super) removed: Vec<String>,
    /// One line for each thing that stayed.
    pub(super) left: Vec<String>,
}

/// The value of both labels.
pub(super) fn owner() -> OwnerId {
    OwnerId::derive(OWNER)
}

/// Removes every server and firewall that has a label of live runs with their owner, and looks until each is gone. The labels
/// are read again just before. Servers go first: a firewall that is in use stays.
pub(super) fn sweep(account: &Account, limit: Duration) -> Swept {
    let mut swept = Swept::default();
    let owner = owner();
    for kind in ["servers", "firewalls"] {
        for label in ["lian-owner", PLANTED] {
            for found in account.list(kind, &format!("label_selector={label}=={owner}")) {
                let (id, name) = (found["id"].as_u64().unwrap(), found["name"].as_str().unwrap_or_default());
                let line = format!("{kind} {name} ({id}, created {})", found["created"].as_str().unwrap_or("?"));
                match remove(account, kind, id, (label, owner.as_str()), limit) {
                    Ok(()) => swept.removed.push(line),
                    Err(why) => swept.left.push(format!("{line}: {why}")),
                }
            }
        }
    }
    swept
}

/// Deletes it until it is not found any more.
fn remove(account: &Account, kind: &str, id: u64, label: (&str, &str), limit: Duration) -> Result<(), String> {
    let mut waited = Duration::ZERO;
    loop {
        let Some(found) = account.find(kind, id) else { return Ok(()) };
        if labels(&found).get(label.0).map(String::as_str) != Some(label.1) {
            return Err("it is not ours any more".to_owned());
        }
        let (status, answer) = account.send(&Method::DELETE, &format!("/{kind}/{id}"), None);
        if waited >= limit {
            return Err(format!(
                "it is still there after {} s, and its deletion says {status} {}",
                limit.as_secs(),
                code(&answer)
            ));
        }
        std::thread::sleep(account.pause);
        waited += account.pause;
    }
}
