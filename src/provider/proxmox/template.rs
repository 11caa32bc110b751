//! [`Template`]: the machine that runners are cloned from.

use super::client::Client;
use super::cluster::{self, Listing, Place};
use super::vm_config::VmConfig;
use crate::env_vars;
use crate::error::{Error, ErrorKind, Result};
use crate::sanitise;

/// The machine that runners are cloned from.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) place: Place,
    pub(super) config: VmConfig,
}

impl Template {
    /// The template with this id or name.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when there is none, or it is none that a runner can be cloned from.
    pub(super) async fn find(client: &Client, wanted: &str) -> Result<Self> {
        let listings = cluster::list(client).await.map_err(|failure| failure.into_error("list its machines"))?;
        let listing = pick(&listings, wanted)?;
        let place = Place { node: listing.node.clone(), vmid: listing.vmid };
        let config = cluster::config(client, &place)
            .await
            .map_err(|failure| failure.into_error(&format!("show the template `{}`", sanitise::line(wanted))))?
            .ok_or_else(|| unusable(wanted, "it went away in this moment"))?;
        if !config.is_on("template") {
            return Err(unusable(wanted, "it is an ordinary machine")
                .hint(format!("`qm template {}` makes it one", place.vmid)));
        }
        if !config.entries().any(|(_, value)| value.contains("cloudinit")) {
            return Err(unusable(
                wanted,
                "it has no cloud-init drive, so a clone gets neither its key nor its address",
            )
            .hint(format!("`qm set {} --ide2 STORAGE:cloudinit` adds one", place.vmid)));
        }
        Ok(Self { place, config })
    }

    /// The storage that its first disk is on.
    pub(super) fn storage(&self) -> Option<String> {
        ["scsi0", "virtio0", "sata0", "ide0"].into_iter().find_map(|disk| {
            let value = self.config.text(disk)?;
            value.split_once(':').map(|(storage, _)| storage.to_owned())
        })
    }

    /// The architecture that it is made for, as OCI names it; `None` for its node's own.
    pub(super) fn architecture(&self) -> Option<&'static str> {
        match self.config.text("arch")?.as_str() {
            "aarch64" => Some("arm64"),
            "x86_64" => Some("amd64"),
            _ => None,
        }
    }
}

fn pick<'a>(listings: &'a [Listing], wanted: &str) -> Result<&'a Listing> {
    let vms = || listings.iter().filter(|listing| listing.is_vm);
    let vmid: Option<u32> = wanted.parse().ok();
    if let Some(listing) = vmid.and_then(|vmid| vms().find(|listing| listing.vmid == vmid)) {
        return Ok(listing);
    }
    let named: Vec<&Listing> =
        vms().filter(|listing| listing.is_template && listing.name.as_deref() == Some(wanted)).collect();
    match named.as_slice() {
        [one] => Ok(one),
        [] => Err(unusable(wanted, "there is none that this token may see").hint(format!(
            "{} takes its id or its name; the token needs VM.Audit and VM.Clone on it",
            env_vars::PROXMOX_VE_TEMPLATE
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(|listing| listing.vmid.to_string()).collect();
            Err(unusable(wanted, &format!("several have this name: {}", ids.join(", "))).hint("name it by its id"))
        }
    }
}

fn unusable(wanted: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("the template `{}` of Proxmox VE cannot be used: {why}", sanitise::short(wanted, 100)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(vmid: u32, name: &str, is_template: bool) -> Listing {
        Listing {
            vmid,
            node: "pve".to_owned(),
            name: Some(name.to_owned()),
            status: "stopped".to_owned(),
            tags: String::new(),
            is_template,
            is_vm: true,
        }
    }

    #[test]
    fn a_template_is_named_by_its_id_or_by_a_name_that_is_its_own() {
        let all = [
            listing(9000, "debian", true),
            listing(9001, "runner", true),
            listing(9002, "runner", true),
            listing(101, "web", false),
        ];
        assert_eq!(pick(&all, "9001").unwrap().vmid, 9001);
        assert_eq!(pick(&all, "debian").unwrap().vmid, 9000);
        for (wanted, why) in [("runner", "9001, 9002"), ("web", "there is none"), ("9009", "there is none")] {
            let error = pick(&all, wanted).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && error.message().contains(why), "{error}");
        }
    }

    #[test]
    fn its_architecture_is_said_or_its_nodes() {
        let of = |config| Template { place: Place { node: String::new(), vmid: 1 }, config: VmConfig::of(config) };
        assert_eq!(of(serde_json::json!({ "arch": "aarch64" })).architecture(), Some("arm64"));
        let plain = of(serde_json::json!({ "scsi0": "local-lvm:base-1-disk-0,size=3G" }));
        assert_eq!((plain.architecture(), plain.storage().as_deref()), (None, Some("local-lvm")));
    }
}
