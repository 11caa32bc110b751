//! [`Record`]: what a lease leaves on disk about itself, so that a sweep can clean up after a killed process.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cgroup::LeaseCgroup;
use super::lease_dirs::LeaseDirs;
use crate::error::{Context as _, ErrorKind, Result};

/// What a lease leaves on disk about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The format: 1.
    pub(super) version: u32,
    /// The lease's data directory; the cache directory may be another one when the sweep comes.
    pub(super) data: PathBuf,
    /// Its cgroup.
    pub(super) cgroup: Option<LeaseCgroup>,
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
}
