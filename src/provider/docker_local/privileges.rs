//! What a runner's container may do beyond an ordinary one, each with its reason. Never `--privileged`.
//!
//! Every capability is dropped first, so this list is all there is. The decision and what it means for isolation: ADR 0010.

use bollard::models::DeviceMapping;

use crate::lease::CgroupVersion;

/// A capability's name, and what breaks without it.
type Capability = (&'static str, &'static str);

/// Beyond those of an ordinary container: what a step that breaks out of BuildKit's sandbox would have more than there.
const BEYOND_ORDINARY: &[Capability] = &[
    ("SYS_ADMIN", "BuildKit mounts snapshots, makes each step's namespaces and writes its cgroups"),
    ("NET_ADMIN", "a step with `--network=none` gets a loopback device that is up"),
    ("SYSLOG", "the kernel's log is the proof of which process was killed for memory (cgroup v1)"),
];

/// Those of an ordinary container, by name: build steps have them under BuildKit everywhere, and a runner cannot give what
/// it does not have.
const ORDINARY: &[Capability] = &[
    ("CHOWN", "steps: `chown`, package managers; BuildKit: `COPY --chown`, unpacking layers"),
    ("DAC_OVERRIDE", "steps: root reads and writes what belongs to others"),
    ("FSETID", "steps: setgid bits survive a write"),
    ("FOWNER", "steps: `chmod` of what belongs to others; BuildKit: unpacking layers"),
    ("MKNOD", "BuildKit: /dev of each step, and overlayfs whiteouts"),
    ("NET_RAW", "steps: `ping`"),
    ("SETGID", "steps: `USER`, package managers; sshd: the login"),
    ("SETUID", "steps: `USER`, package managers; sshd: the login"),
    ("SETFCAP", "steps: `setcap`; BuildKit: unpacking layers with file capabilities"),
    ("SETPCAP", "runc: takes capabilities away from each step"),
    ("NET_BIND_SERVICE", "sshd: port 22; steps: tests that serve on a low port"),
    ("SYS_CHROOT", "sshd: its unprivileged part; runc: each step's root"),
    ("KILL", "buildkitd: ends the processes of a cancelled step; steps: the same among users"),
    ("AUDIT_WRITE", "steps: `su`, `useradd`; sshd: the login's record"),
];

/// Beyond those of an ordinary container, where the cgroups are of this version: v2 counts its kills itself.
fn beyond_ordinary(cgroup: CgroupVersion) -> impl Iterator<Item = &'static Capability> {
    BEYOND_ORDINARY.iter().filter(move |(name, _)| cgroup == CgroupVersion::V1 || *name != "SYSLOG")
}

/// All capabilities of a runner's container, by name.
pub(super) fn capabilities(cgroup: CgroupVersion) -> Vec<String> {
    beyond_ordinary(cgroup).chain(ORDINARY).map(|(name, _)| (*name).to_owned()).collect()
}

/// Docker's default profiles forbid what the capabilities above are for: seccomp's has no `keyctl`, with which runc gives
/// each step a key ring of its own, and AppArmor's has no `mount`. BuildKit puts every step under a seccomp profile of its
/// own.
pub(super) fn security_options() -> Vec<String> {
    ["seccomp=unconfined", "apparmor=unconfined"].map(str::to_owned).to_vec()
}

/// The kernel's log, to read only, where memory's end is not told by the cgroup itself.
pub(super) fn devices(cgroup: CgroupVersion) -> Vec<DeviceMapping> {
    let kernel_log = DeviceMapping {
        path_on_host: Some("/dev/kmsg".to_owned()),
        path_in_container: Some("/dev/kmsg".to_owned()),
        cgroup_permissions: Some("r".to_owned()),
    };
    match cgroup {
        CgroupVersion::V1 => vec![kernel_log],
        CgroupVersion::V2 => Vec::new(),
    }
}

/// What every lease says of its isolation.
pub(super) fn isolation_note(cgroup: CgroupVersion) -> String {
    let names: Vec<&str> = beyond_ordinary(cgroup).map(|(name, _)| *name).collect();
    format!(
        "isolation is `container`: the runner shares the kernel of Docker's machine and has {} there; a build step that \
         breaks out of BuildKit's sandbox can own that machine",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_capability_is_named_once_and_has_a_reason() {
        let names = capabilities(CgroupVersion::V1);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(!names.iter().any(|name| name == "ALL"));
        assert!(BEYOND_ORDINARY.iter().chain(ORDINARY).all(|(_, reason)| reason.len() > 10));
        assert!(isolation_note(CgroupVersion::V1).contains("SYS_ADMIN, NET_ADMIN, SYSLOG"));
    }

    #[test]
    fn the_kernels_log_is_read_only_where_nothing_else_tells() {
        assert!(!capabilities(CgroupVersion::V2).iter().any(|name| name == "SYSLOG"));
        assert!(devices(CgroupVersion::V2).is_empty());
        let devices = devices(CgroupVersion::V1);
        assert_eq!(devices.first().and_then(|device| device.cgroup_permissions.as_deref()), Some("r"));
    }
}
