//! [`Standing`]: where a lease stands and whose it is, read with as little trust as a release can do with.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ids::LeaseId;
use crate::lease::Labels;
use crate::pool_api::PoolState;

/// Where a lease stands and whose it is. Nothing else of the answer matters for a release, so nothing else can be in its way.
#[derive(Debug, Deserialize)]
pub(super) struct Standing {
    lease_id: String,
    pub(super) state: PoolState,
    #[serde(default)]
    pub(super) reason: Value,
    #[serde(default)]
    labels: Value,
}

impl Standing {
    /// True when there is nothing any more.
    pub(super) fn is_gone(&self) -> bool {
        self.state == PoolState::Released
    }

    /// Why it does not run, where the pool says so.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_str().filter(|text| !text.is_empty())
    }

    /// Whether the lease of this name is ours to release. Pools of another make may not repeat labels: then the name is ours
    /// where we have asked for it from here, for nobody else knows it.
    ///
    /// # Errors
    /// With why not.
    pub(super) fn check_owner(&self, lease: &LeaseId, asked_from_here: bool) -> Result<(), String> {
        if self.lease_id != lease.as_str() {
            return Err(format!("the pool answered with the lease `{}`", self.lease_id));
        }
        let labels = labels(&self.labels);
        match Labels::from_map(&labels) {
            Some(Ok(found)) if found.lease_id == *lease => Ok(()),
            Some(Ok(found)) => Err(format!("its labels are those of the lease `{}`", found.lease_id)),
            Some(Err(why)) => Err(why),
            None if labels.is_empty() && asked_from_here => Ok(()),
            None => Err("it has no label of lian-build".to_owned()),
        }
    }
}

/// Labels as they were written; what is no text is left out, and then missing.
pub(super) fn labels(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn standing(lease_id: &str, labels: Value) -> Standing {
        let text = json!({ "lease_id": lease_id, "state": "ready", "labels": labels, "port": 70_000, "host": ["x"] });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn what_is_not_ours_is_told() {
        let lease = LeaseId::new();
        let other = LeaseId::new();
        let check = |id: &LeaseId, labels: Value, here| standing(id.as_str(), labels).check_owner(&lease, here);
        assert!(check(&other, json!({}), true).unwrap_err().contains(other.as_str()));
        assert!(check(&lease, json!({}), false).is_err(), "nobody here asked for it");
        assert!(check(&lease, json!(null), true).is_ok(), "a pool that repeats no labels");
        for labels in [json!({ "team": "x" }), json!({ "lian-managed": "1" })] {
            assert!(check(&lease, labels, true).is_err(), "it is somebody else's by what it says");
        }
    }
}
