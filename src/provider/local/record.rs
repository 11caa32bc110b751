//! [`Record`]: what a lease leaves on disk about itself, so that a sweep can clean up after a killed process.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cgroup::LeaseCgroup;
use super::lease_dirs::LeaseDirs;
use crate::error::{Context as _, ErrorKind, Result};
use crate::ids::LeaseId;

/// What a lease leaves on disk about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The format: 1.
    pub(super) version: u32,
    /// The lease's data directory; the cache directory may be another one when the sweep comes.
    pub(super) data: PathBuf,
    /// Its cgroup.
    pub(super) cgroup: Option<LeaseCgroup>,
    /// What a list shows of it.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

impl Record {
    /// Written before what it names is made.
    pub(super) fn write(&self, dirs: &LeaseDirs) -> Result<()> {
        let place = || format!("cannot write `{}`", dirs.record().display());
        let text = serde_json::to_string(self).context(ErrorKind::State, place)?;
        std::fs::write(dirs.record(), text).context(ErrorKind::State, place)
    }

    /// The record at `path`; `None` when there is none that can be understood.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (record.version == 1).then_some(record)
    }

    /// True when all it names is what this provider makes for `lease`: a sweep removes and kills what a record names.
    pub(super) fn is_of(&self, lease: &LeaseId, cgroup_root: &Path) -> bool {
        let data = &self.data;
        let is_data_dir = data.is_absolute()
            && data.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
            && data.ends_with(Path::new("leases").join(lease.as_str()));
        is_data_dir && self.cgroup.as_ref().is_none_or(|cgroup| cgroup.is_of(lease, cgroup_root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: &str = "lb-00000000000000000000000000000001";

    fn is_trusted(data: &str, cgroup: &str) -> bool {
        let text = format!(r#"{{"version":1,"data":"{data}","cgroup":{cgroup}}}"#);
        let record: Record = serde_json::from_str(&text).unwrap();
        record.is_of(&LEASE.parse().unwrap(), Path::new("/sys/fs/cgroup"))
    }

    fn cgroup(root: &str, parent: &str, lease: &str) -> String {
        format!(r#"{{"version":"v1","root":"{root}","parent":"{parent}","lease":"{lease}"}}"#)
    }

    #[test]
    fn only_what_the_provider_makes_is_taken_from_a_record() {
        let data = format!("/home/u/.cache/lian/leases/{LEASE}");
        let ours = cgroup("/sys/fs/cgroup", "a/lian-build", LEASE);
        assert!(is_trusted(&data, &ours) && is_trusted(&data, "null"));
        for odd in
            ["/etc", "/leases/..", &format!("leases/{LEASE}"), &format!("/a/../leases/{LEASE}"), &format!("/{LEASE}")]
        {
            assert!(!is_trusted(odd, "null"), "{odd}");
        }
        for odd in [
            cgroup("/tmp/x", "lian-build", LEASE),
            cgroup("/sys/fs/cgroup", "system.slice", LEASE),
            cgroup("/sys/fs/cgroup", "../lian-build", LEASE),
            cgroup("/sys/fs/cgroup", "/tmp/lian-build", LEASE),
            cgroup("/sys/fs/cgroup", "lian-build", "lb-00000000000000000000000000000002"),
        ] {
            assert!(!is_trusted(&data, &odd), "{odd}");
        }
    }
}
