//! Finding machines: by what the cluster lists, and by what their own configuration says, which alone counts. The list may be
//! seconds behind: a new machine is in it at once by its id, and only later by its name.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use serde_json::Value;

use super::VmidRange;
use super::client::Client;
use super::failure::Failure;
use super::vm_config::{TAG, VmConfig};
use crate::ids::LeaseId;

/// How many configurations are read side by side.
const READS_AT_ONCE: usize = 8;

/// A machine, as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) vmid: u32,
    pub(super) node: String,
    /// `None` for a moment after it was made.
    pub(super) name: Option<String>,
    /// `running`, `stopped`, `unknown`.
    pub(super) status: String,
    pub(super) tags: String,
    pub(super) is_template: bool,
    /// A container has an id of the same row of numbers.
    pub(super) is_vm: bool,
}

/// Where a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: String,
    pub(super) vmid: u32,
}

impl Place {
    /// The path of a call about the machine.
    pub(super) fn with<'a>(&'a self, vmid: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
        ["nodes", &self.node, "qemu", vmid].into_iter().chain(rest.iter().copied()).collect()
    }

    /// What messages call it.
    pub(super) fn shown(&self) -> String {
        format!("{} on node `{}`", self.vmid, crate::sanitise::short(&self.node, 80))
    }
}

/// A machine of ours, or one that says so.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) status: String,
    pub(super) config: VmConfig,
}

/// Everything that the token sees.
pub(super) async fn list(client: &Client) -> Result<Vec<Listing>, Failure> {
    let answer = client.get(&["cluster", "resources"], &[("type", "vm")]).await?;
    Ok(answer.as_array().into_iter().flatten().filter_map(listing).collect())
}

fn listing(entry: &Value) -> Option<Listing> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| entry.get(key).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    Some(Listing {
        vmid: u32::try_from(number("vmid")?).ok()?,
        node: text("node")?,
        name: text("name").filter(|name| !name.is_empty()),
        status: text("status").unwrap_or_default(),
        tags: text("tags").unwrap_or_default(),
        is_template: number("template") == Some(1),
        is_vm: text("type").as_deref() == Some("qemu"),
    })
}

/// The ids that somebody has, as far as the token sees.
pub(super) fn taken(listings: &[Listing]) -> BTreeSet<u32> {
    listings.iter().map(|listing| listing.vmid).collect()
}

/// The configuration of a machine; `None` when there is none.
pub(super) async fn config(client: &Client, place: &Place) -> Result<Option<VmConfig>, Failure> {
    match client.get(&place.with(&place.vmid.to_string(), &["config"]), &[("current", "1")]).await {
        Ok(data) => Ok(Some(VmConfig::of(data))),
        Err(failure) if failure.is_missing() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// All machines that are, or say they are, runners of ours.
pub(super) async fn ours(client: &Client, vmids: VmidRange) -> Result<Vec<Found>, Failure> {
    let listings = list(client).await?;
    let maybe = listings.into_iter().filter(|listing| may_be_ours(listing, vmids));
    let reading = maybe.map(|listing| async move {
        let place = Place { node: listing.node, vmid: listing.vmid };
        let config = config(client, &place).await?;
        Ok(config.map(|config| Found { place, status: listing.status, config }))
    });
    let read: Vec<Result<Option<Found>, Failure>> =
        futures_util::stream::iter(reading).buffered(READS_AT_ONCE).collect().await;
    let mut found = Vec::new();
    for one in read {
        match one {
            Ok(Some(one)) if one.config.labels().is_some() => found.push(one),
            // One that this token may not read is not one that it made.
            Ok(_) | Err(Failure::Refused { status: 403, .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}

/// What a search for a lease's machine found.
#[derive(Debug)]
pub(super) enum Search {
    /// It.
    Ours(Box<Found>),
    /// One that has its name and is not it, with the reason.
    Others(Place, String),
    /// None.
    Nothing,
}

/// The machine of a lease: by its name, and by ids under which it may be.
///
/// # Errors
/// When it cannot be asked for.
pub(super) async fn find(
    client: &Client,
    vmids: VmidRange,
    lease: &LeaseId,
    known: &BTreeSet<u32>,
) -> Result<Search, Failure> {
    let mut others = Search::Nothing;
    for listing in list(client).await?.into_iter().filter(|listing| listing.is_vm) {
        let is_named = listing.name.as_deref() == Some(lease.as_str());
        let may_be_named = listing.name.is_none() && vmids.contains(listing.vmid);
        if !(is_named || may_be_named || known.contains(&listing.vmid)) {
            continue;
        }
        let place = Place { node: listing.node, vmid: listing.vmid };
        let config = match config(client, &place).await {
            Ok(Some(config)) => config,
            Ok(None) => continue,
            // Not even to be looked at by us: then it was not made by us.
            Err(Failure::Refused { status: 403, .. }) if !is_named => continue,
            Err(failure) => return Err(failure),
        };
        match config.is_of(lease) {
            Ok(_) => return Ok(Search::Ours(Box::new(Found { place, status: listing.status, config }))),
            Err(why) if config.text("name").as_deref() == Some(lease.as_str()) => others = Search::Others(place, why),
            Err(_) => {}
        }
    }
    Ok(others)
}

fn may_be_ours(listing: &Listing, vmids: VmidRange) -> bool {
    listing.is_vm
        && !listing.is_template
        && (vmids.contains(listing.vmid)
            || listing.name.as_deref().is_some_and(|name| name.parse::<LeaseId>().is_ok())
            || listing.tags.split([';', ',', ' ']).any(|tag| tag == TAG))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listing_is_read_as_far_as_it_goes() {
        let new = listing(&json!({ "type": "qemu", "vmid": 700_000_001, "node": "pve", "status": "unknown" })).unwrap();
        assert!(new.name.is_none() && new.is_vm && !new.is_template);
        assert!(may_be_ours(&new, VmidRange::default()));
        let template = listing(&json!({ "type": "qemu", "vmid": "9000", "node": "pve", "template": 1, "name": "t" }));
        assert!(template.unwrap().is_template);
        assert_eq!(listing(&json!({ "type": "qemu", "node": "pve" })), None);
    }

    #[test]
    fn only_what_may_be_ours_is_looked_at() {
        let of = |entry| may_be_ours(&listing(&entry).unwrap(), "700-799".parse().unwrap());
        assert!(of(json!({ "type": "qemu", "vmid": 700, "node": "n", "name": "web" })));
        assert!(of(json!({ "type": "qemu", "vmid": 100, "node": "n", "name": LeaseId::new().as_str() })));
        assert!(of(json!({ "type": "qemu", "vmid": 100, "node": "n", "name": "x", "tags": "a;lian-build" })));
        assert!(!of(json!({ "type": "qemu", "vmid": 100, "node": "n", "name": "web", "tags": "lian-build-docs" })));
        assert!(!of(json!({ "type": "lxc", "vmid": 700, "node": "n", "name": "web" })));
        assert!(!of(json!({ "type": "qemu", "vmid": 701, "node": "n", "name": "t", "template": 1 })));
    }
}
