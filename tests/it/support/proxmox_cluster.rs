//! [`ProxmoxCluster`]: a simulated Proxmox VE cluster with a provider for it, and a view from outside.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use lian_build::env_vars::Environment;
use lian_build::ids::LeaseId;
use lian_build::inputs::directives::ProxmoxOptions;
use lian_build::lease::LeaseRequest;
use lian_build::provider::proxmox::{ProxmoxConfig, ProxmoxProvider};
use lian_simulators::audit::Entry;
use lian_simulators::backend::{Backend, NullBackend};
use lian_simulators::clock::Clock;
use lian_simulators::core::Core;
use lian_simulators::proxmox::{Options, Proxmox, Vm};
use tempfile::TempDir;

use super::{LabelMap, environment, install_tls, request};

/// A simulated cluster, and a user of it with a runtime directory.
pub(crate) struct ProxmoxCluster {
    pub(crate) sim: Proxmox,
    /// Short: sockets are below it.
    pub(crate) dir: TempDir,
}

impl ProxmoxCluster {
    /// One whose machines are nothing but state.
    pub(crate) async fn new() -> Self {
        Self::start(Arc::new(NullBackend::default()), Options::default()).await
    }

    pub(crate) async fn start(backend: Arc<dyn Backend>, options: Options) -> Self {
        install_tls();
        let sim = Proxmox::start(Core::new(Clock::real(), backend), options).await.unwrap();
        let dir = tempfile::Builder::new().prefix("lbp").tempdir_in("/tmp").unwrap();
        Self { sim, dir }
    }

    /// What a user sets, with `more` of it or in its place.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = [
            ("PROXMOX_VE_ENDPOINT", self.sim.origin()),
            ("PROXMOX_VE_API_TOKEN", self.sim.token()),
            ("PROXMOX_VE_FINGERPRINT", self.sim.identity.fingerprint.clone()),
            ("PROXMOX_VE_TEMPLATE", self.sim.template().to_string()),
            ("PROXMOX_VE_POOL", "builds".to_owned()),
            ("PATH", environment().text("PATH").unwrap_or_default().to_owned()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
    }

    pub(crate) fn config(&self, more: &[(&str, &str)]) -> ProxmoxConfig {
        let environment = Environment::from_pairs(self.variables(more));
        let config = ProxmoxConfig::from_environment(&environment, &ProxmoxOptions::default()).unwrap();
        ProxmoxConfig { runtime_dir: self.runtime_dir(), ..config }
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join("r")
    }

    pub(crate) fn provider(&self) -> ProxmoxProvider {
        ProxmoxProvider::new(self.config(&[]))
    }

    pub(crate) fn request(&self) -> LeaseRequest {
        request("project", 1.0, Timestamp::now())
    }

    /// Every machine but the template.
    pub(crate) fn machines(&self) -> Vec<Vm> {
        self.sim.vms().into_iter().filter(|vm| vm.get("template").is_none()).collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.machines().iter().filter_map(|vm| Some(vm.get("name")?.to_owned())).collect();
        names.sort();
        names
    }

    /// The labels in a machine's description.
    pub(crate) fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        let vm = self.sim.named(lease.as_str())?;
        vm.get("description")?.lines().find_map(|line| serde_json::from_str(line).ok())
    }

    /// All that there is of a lease: in the cluster, and on this machine.
    pub(crate) fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let of_lease = |vm: &Vm| format!("{:?}", vm.config).contains(lease.as_str());
        let mut traces: Vec<String> = self
            .machines()
            .iter()
            .filter(|vm| of_lease(vm))
            .map(|vm| format!("machine {} on {}: {:?}, on: {}", vm.vmid, vm.node, vm.config, vm.is_on))
            .collect();
        for entry in walkdir::WalkDir::new(self.dir.path()).into_iter().flatten() {
            if entry.path().to_string_lossy().contains(lease.as_str()) {
                traces.push(entry.path().display().to_string());
            }
        }
        traces
    }

    /// The calls with this method, and a path that ends so.
    pub(crate) fn calls(&self, method: &str, end: &str) -> Vec<Entry> {
        let mut entries = self.sim.core.audit.entries();
        entries.retain(|entry| entry.method == method && entry.path.ends_with(end));
        entries
    }
}
