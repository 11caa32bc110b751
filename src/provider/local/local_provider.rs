//! [`LocalProvider`]: leases of this machine.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::LocalConfig;
use super::buildkit_root;
use super::config::is_root;
use super::fit::Fit;
use super::held_lease::HeldLease;
use super::lease_dirs::{LeaseDirs, data_parent};
use super::lock_file::LockFile;
use super::machine::{Machine, architecture};
use super::remains::Remains;
use super::rootless;
use super::tools::{self, Tools};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, Isolation, LeaseRequest};
use crate::provider::{Capabilities, ComputeProvider, Listed, Released, Waiting};

/// Leases runners on this machine: an `sshd` of our own in namespaces of its own.
#[derive(Debug)]
pub struct LocalProvider {
    config: LocalConfig,
    held: std::sync::Mutex<HashMap<LeaseId, Arc<Mutex<HeldLease>>>>,
}

impl LocalProvider {
    /// A provider with this configuration.
    pub fn new(config: LocalConfig) -> Self {
        Self { config, held: std::sync::Mutex::default() }
    }

    /// Removes what leases left behind whose process died, and yields their ids. Called at the start of each run;
    /// touches only our own.
    ///
    /// # Errors
    /// [`ErrorKind::ReleaseUnconfirmed`] when something cannot be removed.
    pub async fn sweep_abandoned(&self) -> Result<Vec<LeaseId>> {
        let (mut swept, mut failed) = (Vec::new(), None);
        for lease in self.known() {
            match self.remove_abandoned(&lease).await {
                Ok(true) => swept.push(lease),
                Ok(false) => {}
                // The others are not its hostages.
                Err(error) => failed = Some(error),
            }
        }
        if !swept.is_empty() {
            buildkit_root::clean_unused(&self.config)?;
        }
        failed.map_or(Ok(swept), Err)
    }

    /// The leases that have left a trace in our directories.
    fn known(&self) -> BTreeSet<LeaseId> {
        let runtime = lease_names(&self.config.runtime_dir);
        runtime.into_iter().chain(lease_names(&data_parent(&self.config))).collect()
    }

    fn is_held(&self, lease: &LeaseId) -> bool {
        LeaseDirs::new(&self.config, lease).locks().iter().any(|path| LockFile::is_held(path))
    }

    /// Removes a lease that no living process holds; false when one does.
    async fn remove_abandoned(&self, lease: &LeaseId) -> Result<bool> {
        let dirs = LeaseDirs::new(&self.config, lease);
        let mut locks = Vec::new();
        for path in dirs.locks() {
            // Its directory may be missing, then nothing of the lease is there.
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match LockFile::try_take(&path)? {
                Some(lock) => locks.push(lock),
                None => return Ok(false),
            }
        }
        let rootlesskit = tools::find(&self.config.program_dirs, "rootlesskit").filter(|_| !is_root());
        Remains::of_abandoned(lease, dirs, rootlesskit).remove().await?;
        locks.into_iter().for_each(LockFile::remove);
        Ok(true)
    }

    fn held(&self, lease: &LeaseId) -> Option<Arc<Mutex<HeldLease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(lease).cloned()
    }

    fn find_tools(&self) -> Result<Tools> {
        let tools = Tools::find(&self.config.program_dirs, !is_root())?;
        if !is_root() {
            rootless::check()?;
        }
        Ok(tools)
    }
}

#[async_trait]
impl ComputeProvider for LocalProvider {
    fn name(&self) -> &'static str {
        "local"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            architectures: vec![architecture().to_owned()],
            isolation: Isolation::None,
            enforces_memory: is_root(),
            shared_machine: true,
        }
    }

    async fn check(&self, request: &LeaseRequest) -> Result<()> {
        self.find_tools()?;
        let machine = Machine::read(&self.config.cgroup_root)?;
        let total = self.config.memory_budget_bytes.unwrap_or_else(|| machine.budget_bytes());
        Fit::new(&request.tier, &machine, total, request.memory_is_explicit).map(drop)
    }

    async fn acquire(
        &self,
        request: &LeaseRequest,
        waiting: Waiting<'_>,
        cancel: &CancellationToken,
    ) -> Result<Endpoint> {
        let tools = self.find_tools()?;
        let lease = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Mutex::new(HeldLease::new(&self.config, &request.lease_id)));
            Arc::clone(held.entry(request.lease_id.clone()).or_insert_with(new))
        };
        let mut lease = lease.lock_owned().await;
        if let Some(endpoint) = &lease.endpoint {
            return Ok(endpoint.clone());
        }
        let work = lease.acquire(&self.config, &tools, request, waiting);
        let error = match cancel.run_until_cancelled(work).await {
            Some(Ok(endpoint)) => return Ok(endpoint),
            Some(Err(error)) => error,
            None => Error::new(ErrorKind::Provider, format!("lease `{}` was cancelled", request.lease_id)),
        };
        drop(lease);
        // What was begun goes at once; when it does not, that is what matters most.
        self.release(&request.lease_id).await?;
        Err(error)
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        if let Some(lease) = self.held(lease_id) {
            lease.lock().await.release().await?;
            self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(lease_id);
            return Ok(Released::Destroyed);
        }
        if !self.known().contains(lease_id) {
            return Ok(Released::AlreadyGone);
        }
        if self.remove_abandoned(lease_id).await? {
            return Ok(Released::Destroyed);
        }
        Err(Error::new(ErrorKind::Provider, format!("lease `{lease_id}` is held by another process of this machine"))
            .hint("end that build; its runner goes with it"))
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let leases = self.known().into_iter();
        Ok(leases.map(|lease_id| Listed { held: self.is_held(&lease_id), lease_id }).collect())
    }
}

/// The leases that a directory has an entry of, be it only a lock.
fn lease_names(dir: &Path) -> Vec<LeaseId> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str()?;
            name.strip_suffix(".lock").unwrap_or(name).parse().ok()
        })
        .collect()
}
