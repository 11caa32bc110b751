//! What a clone is set to before it starts: the tier, and what cloud-init makes of it.

use super::cluster::Place;
use super::vm_config::{TAG, VmConfig};
use crate::ids::LeaseId;
use crate::plan::Tier;

const MIB: u64 = 1 << 20;

/// The parameters of the configuration.
pub(super) fn config(lease: &LeaseId, tier: &Tier, keys: &str, digest: Option<&str>) -> Vec<(&'static str, String)> {
    let memory = tier.memory_bytes().div_ceil(MIB).max(16);
    let mut form = vec![
        ("cores", tier.cpu.to_string()),
        ("sockets", "1".to_owned()),
        ("memory", memory.to_string()),
        // The tier's memory is there from the start, and nobody takes any of it back.
        ("balloon", "0".to_owned()),
        ("ciuser", "root".to_owned()),
        ("sshkeys", encode_keys(keys)),
        ("ipconfig0", "ip=dhcp".to_owned()),
        // An upgrade at each boot would take a build's time.
        ("ciupgrade", "0".to_owned()),
        ("agent", "1".to_owned()),
        ("onboot", "0".to_owned()),
        ("protection", "0".to_owned()),
        ("tags", format!("{TAG};{lease}")),
    ];
    // What was changed since it was read is refused: the id may be somebody else's by now.
    form.extend(digest.map(|digest| ("digest", digest.to_owned())));
    form
}

/// Public keys as the parameter `sshkeys` takes them: percent-encoded, besides the encoding of the form.
fn encode_keys(keys: &str) -> String {
    let mut text = String::with_capacity(keys.len() * 2);
    for byte in keys.trim().bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The disk that the machine boots from, and its size in GB where that is less than `wanted`; `None` when nothing has to grow,
/// or no disk can be told.
pub(super) fn disk_to_grow(config: &VmConfig, wanted_gb: u32) -> Option<String> {
    let order = config.text("boot").unwrap_or_default();
    let order = order.split(',').find_map(|part| part.strip_prefix("order=")).unwrap_or_default().to_owned();
    let legacy = config.text("bootdisk");
    let names =
        order.split(';').map(str::to_owned).chain(legacy).chain(["scsi0", "virtio0", "sata0"].map(str::to_owned));
    let is_disk = |value: &String| !value.contains("media=cdrom") && !value.contains("cloudinit");
    let (name, value) = names
        .filter(|name| name.ends_with(|c: char| c.is_ascii_digit()) && !name.starts_with("net"))
        .find_map(|name| config.text(&name).filter(is_disk).map(|value| (name, value)))?;
    let size = value.split(',').find_map(|part| part.strip_prefix("size="))?;
    (size_bytes(size)? < u64::from(wanted_gb) << 30).then_some(name)
}

/// `3G`, `2252M`, `528K`, or bytes.
fn size_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The hardware address of the machine's first network card, in lower case.
pub(super) fn mac(config: &VmConfig) -> Option<String> {
    let net = config.text("net0")?;
    let address = net.split(',').find_map(|part| part.split_once('=').map(|(_, value)| value).filter(|v| is_mac(v)))?;
    Some(address.to_ascii_lowercase())
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The id that the provider calls a machine by.
pub(super) fn remote_id(place: &Place) -> String {
    format!("{}/{}", place.node, place.vmid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_encoded_twice() {
        let encoded = encode_keys("ssh-ed25519 AAAA+/b=\nssh-rsa B c@d\n");
        assert_eq!(encoded, "ssh-ed25519%20AAAA%2B%2Fb%3D%0Assh-rsa%20B%20c%40d");
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("sshkeys", &encoded).finish();
        assert!(form.starts_with("sshkeys=ssh-ed25519%2520AAAA%252B"), "{form}");
    }

    #[test]
    fn the_tier_is_what_the_machine_has() {
        let tier = Tier { name: "cax11".to_owned(), cpu: 2, memory_gb: 4.0, disk_gb: 40 };
        let lease = LeaseId::new();
        let form = config(&lease, &tier, "ssh-ed25519 AAAA", Some("d1"));
        let get = |key: &str| form.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
        assert_eq!((get("cores"), get("memory"), get("ciupgrade")), (Some("2"), Some("4096"), Some("0")));
        assert_eq!((get("tags"), get("digest")), (Some(format!("lian-build;{lease}").as_str()), Some("d1")));
    }

    #[test]
    fn the_boot_disk_grows_to_the_tiers_and_never_shrinks() {
        let config = |value| VmConfig::of(json!(value));
        let debian = json!({ "boot": "order=ide2;scsi0;net0", "ide2": "local:cloudinit,media=cdrom", "net0": "virtio=…",
            "scsi0": "local-lvm:base-9000-disk-0/vm-7-disk-0,discard=on,size=3G" });
        assert_eq!(disk_to_grow(&config(debian.clone()), 40).as_deref(), Some("scsi0"));
        assert_eq!(disk_to_grow(&config(debian), 3), None);
        let old = json!({ "bootdisk": "virtio0", "virtio0": "local:7/disk.qcow2,size=2252M" });
        assert_eq!(disk_to_grow(&config(old), 3).as_deref(), Some("virtio0"));
        assert_eq!(disk_to_grow(&config(json!({ "scsi0": "local:7/disk.qcow2" })), 3), None);
    }

    #[test]
    fn the_first_cards_address_is_known() {
        let config = VmConfig::of(json!({ "net0": "virtio=BC:24:11:2A:0B:01,bridge=vmbr0,firewall=1" }));
        assert_eq!(mac(&config).as_deref(), Some("bc:24:11:2a:0b:01"));
        assert_eq!(mac(&VmConfig::of(json!({ "net0": "virtio,bridge=vmbr0" }))), None);
    }
}
