//! [`Acl`]: what a token may do, and where.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Refused;

/// Everything that a runner needs: what docs/proxmox.md of `lian-build` gives its role.
pub const FULL_ROLE: &[&str] = &[
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Disk",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
    "VM.PowerMgmt",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
];

/// What a token may do, and where: privileges by path, which hold below it, too.
#[derive(Debug, Clone, Default)]
pub struct Acl(BTreeMap<String, BTreeSet<String>>);

impl Acl {
    /// Gives privileges at a path: `/vms/9000`, `/pool/builds`, `/storage/local-lvm`.
    #[must_use]
    pub fn with(mut self, path: &str, privileges: &[&str]) -> Self {
        self.0.entry(path.to_owned()).or_default().extend(privileges.iter().map(|&name| name.to_owned()));
        self
    }

    /// Takes one away again, everywhere.
    #[must_use]
    pub fn without(mut self, privilege: &str) -> Self {
        for privileges in self.0.values_mut() {
            privileges.remove(privilege);
        }
        self
    }

    /// What holds at a path: what was given there, or else at the nearest path above.
    pub(super) fn at(&self, path: &str) -> BTreeSet<String> {
        let mut path = path;
        loop {
            if let Some(found) = self.0.get(path) {
                return found.clone();
            }
            match path.rsplit_once('/') {
                Some(("", _)) => return self.0.get("/").cloned().unwrap_or_default(),
                Some((above, _)) => path = above,
                None => return BTreeSet::new(),
            }
        }
    }

    /// Whether it holds for a machine: by itself, or by its pool.
    pub(super) fn has_on_vm(&self, vmid: u32, pool: Option<&str>, privilege: &str) -> bool {
        self.at(&format!("/vms/{vmid}")).contains(privilege)
            || pool.is_some_and(|pool| self.at(&format!("/pool/{pool}")).contains(privilege))
    }

    /// That it holds for a machine.
    pub(super) fn need_on_vm(&self, vmid: u32, pool: Option<&str>, privilege: &str) -> Result<(), Refused> {
        if self.has_on_vm(vmid, pool, privilege) {
            Ok(())
        } else {
            Err(Refused::forbidden(&format!("/vms/{vmid}"), privilege))
        }
    }

    /// That it holds at a path.
    pub(super) fn need(&self, path: &str, privilege: &str) -> Result<(), Refused> {
        if self.at(path).contains(privilege) { Ok(()) } else { Err(Refused::forbidden(path, privilege)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_holds_below_and_a_pool_counts_for_its_machines() {
        let acl = Acl::default().with("/pool/builds", &["VM.Audit"]).with("/vms/9000", &["VM.Clone"]);
        assert!(acl.has_on_vm(7, Some("builds"), "VM.Audit") && !acl.has_on_vm(7, None, "VM.Audit"));
        assert!(acl.need("/vms/9000", "VM.Clone").is_ok() && acl.need("/vms/9001", "VM.Clone").is_err());
        let all = Acl::default().with("/", &["VM.Clone"]);
        assert!(all.need("/vms/9001", "VM.Clone").is_ok());
        assert!(all.without("VM.Clone").need("/vms/9001", "VM.Clone").is_err());
    }
}
