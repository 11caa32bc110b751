//! The files and the command line of a guest.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::{Machine, Seed};
use crate::error::{Error, Result};

const METADATA: &str = include_str!("metadata.sh");
const HELD: &str = include_str!("held.sh");

/// The network that a guest is in: large enough for the metadata address, and not link-local itself. With it the address is one
/// that QEMU answers for, so that this machine's own metadata service, if it has one, is not what a guest reaches.
const NETWORK: &str = "net=169.252.0.0/14,host=169.252.0.2,dns=169.252.0.3,dhcpstart=169.252.0.15";

/// A busy test machine starves the guest, whose kernel must not take that for a broken timer; one that panics is off. What
/// guards against a real processor's leaks costs an emulated one much, which has none.
const KERNEL: &str = "net.ifnames=0 no_timer_check panic=-1 mitigations=off";

/// The guest's only network card.
const MAC: &str = "52:54:00:4c:69:61";

#[expect(clippy::disallowed_methods, reason = "the seam for processes is the product's, which this is not")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Makes the directory of a guest, with a disk in it that starts as the image's.
pub(super) fn create_disk(image: &Path, dir: &Path) -> Result<()> {
    std::fs::create_dir(dir)?;
    std::fs::create_dir(dir.join("meta"))?;
    std::fs::write(dir.join("metadata.sh"), METADATA)?;
    let made = command("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(image.join("disk.qcow2"))
        .arg(dir.join("disk.qcow2"))
        .stdin(Stdio::null())
        .status()?;
    if made.success() { Ok(()) } else { Err(Error::new("qemu-img made no disk")) }
}

/// What the metadata address serves, at the paths that Hetzner has for it.
pub(super) fn write_metadata(dir: &Path, machine: &Machine, seed: &Seed) -> Result<()> {
    let meta = dir.join("meta");
    let keys = serde_json::to_string(&seed.ssh_keys).map_err(|error| Error::new(error.to_string()))?;
    let mut text = format!("instance-id: {}\nhostname: {}\npublic-keys: {keys}\n", number(&machine.id)?, machine.name);
    for (name, value) in &seed.meta_data {
        let value = serde_json::to_string(value).map_err(|error| Error::new(error.to_string()))?;
        let _ = writeln!(text, "{name}: {value}");
    }
    text.push_str("vendor_data: ''\nnetwork-config:\n  version: 1\n  config:\n");
    let _ = writeln!(
        text,
        "  - {{type: physical, name: eth0, mac_address: '{MAC}', subnets: [{{ipv4: true, type: dhcp}}]}}"
    );
    std::fs::write(meta.join("_hetzner_v1_metadata"), text)?;
    std::fs::write(meta.join("_hetzner_v1_metadata_instance-id"), &machine.id)?;
    std::fs::write(meta.join("_hetzner_v1_userdata"), &seed.user_data)?;
    Ok(())
}

/// cloud-init compares the firmware's serial number with the id, as numbers.
fn number(id: &str) -> Result<u64> {
    id.parse().map_err(|_| Error::new(format!("`{id}` is no id of a server at Hetzner")))
}

/// What a machine of each architecture is, as QEMU's arguments: program, machine, processor, firmware.
fn machine_of(architecture: &str) -> Result<&'static str> {
    match architecture {
        // Its fast copying of bytes is emulated byte by byte: without it the kernel clears memory twice as fast.
        "amd64" => Ok("qemu-system-x86_64 -M q35 -cpu max,erms=off,fsrm=off"),
        // The firmware is what shows the maker's name to the kernel; without hashes of pointers it is twice as fast.
        "arm64" => {
            Ok("qemu-system-aarch64 -M virt -cpu max,pauth-impdef=on -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd")
        }
        other => Err(Error::new(format!("no machine is known for the architecture `{other}`"))),
    }
}

/// Starts it. It runs until it switches itself off or the child's input is closed.
pub(super) fn start(image: &Path, dir: &Path, machine: &Machine, address: Ipv4Addr) -> Result<Child> {
    let architecture = std::fs::read_to_string(image.join("architecture"))?;
    let console = if architecture.trim() == "arm64" { "ttyAMA0" } else { "ttyS0" };
    let file = |dir: &Path, name: &str| dir.join(name).display().to_string();
    let answer = format!("/bin/bash {} {}", file(dir, "metadata.sh"), file(dir, "meta"));
    let mut words: Vec<String> = machine_of(architecture.trim())?.split(' ').map(str::to_owned).collect();
    words.extend(
        "-nodefaults -no-user-config -no-reboot -nographic -accel tcg,thread=multi".split(' ').map(str::to_owned),
    );
    for (option, value) in [
        ("-smp", machine.cpus.clamp(1, 2).to_string()),
        ("-m", (machine.memory_bytes >> 21).to_string()),
        ("-kernel", file(image, "kernel")),
        ("-initrd", file(image, "initrd")),
        ("-append", format!("root=LABEL=root rw console={console} {KERNEL}")),
        ("-serial", format!("file:{}", file(dir, "console"))),
        ("-drive", format!("file={},if=virtio,cache=unsafe,discard=unmap", file(dir, "disk.qcow2"))),
        ("-device", "virtio-rng-pci".to_owned()),
        ("-smbios", format!("type=1,manufacturer=Hetzner,product=vServer,serial={}", machine.id)),
        (
            "-netdev",
            format!("user,id=net,{NETWORK},hostfwd=tcp:{address}:22-:22,guestfwd=tcp:169.254.169.254:80-cmd:{answer}"),
        ),
        ("-device", format!("virtio-net-pci,netdev=net,mac={MAC}")),
    ] {
        words.extend([option.to_owned(), value]);
    }
    let child = command("/bin/bash")
        .args(["-c", HELD, "held.sh"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("log"))?)
        .spawn()?;
    Ok(child)
}
