//! [`Proxmox`]: a cluster that listens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::access::{Acl, FULL_ROLE};
use super::api::Api;
use super::state::{Node, State};
use super::vm::Vm;
use crate::core::Core;
use crate::error::Result;
use crate::serve::{Listening, serve};
use crate::tls::Identity;

/// The template's id.
const TEMPLATE: u32 = 9000;

/// What a cluster is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 for a free one.
    pub address: SocketAddr,
    /// Its nodes, each with its architecture as `uname -m` says it.
    pub nodes: Vec<(String, String)>,
    /// The one token, `USER@REALM!TOKENID`, and its secret.
    pub token: (String, String),
    /// What the token may do.
    pub acl: Acl,
    /// How long a task takes.
    pub task_time: Duration,
    /// How long a guest boots until its agent answers.
    pub boot_time: Duration,
    /// How long a new machine has no name in the cluster's list.
    pub names_lag: Duration,
    /// Whether it is a release whose refusals have nothing but a reason phrase.
    pub old_errors: bool,
}

impl Default for Options {
    fn default() -> Self {
        let nodes = vec![("pve1".to_owned(), std::env::consts::ARCH.to_owned())];
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            nodes,
            token: ("build@pve!ci".to_owned(), "7c1b44f0-3f4b-4d86-9b1c-5a1d6e0f9c11".to_owned()),
            acl: Acl::default()
                .with("/pool/builds", FULL_ROLE)
                .with(&format!("/vms/{TEMPLATE}"), &["VM.Clone", "VM.Audit"])
                .with("/storage/local-lvm", &["Datastore.AllocateSpace"])
                .with("/nodes", &["Sys.Audit"]),
            task_time: Duration::from_millis(60),
            boot_time: Duration::from_millis(100),
            names_lag: Duration::from_millis(300),
            old_errors: false,
        }
    }
}

/// A cluster that listens. It has a pool `builds`, a storage `local-lvm` and a template 9000, `debian-12-runner`.
#[derive(Debug)]
pub struct Proxmox {
    /// What every simulator has.
    pub core: Core,
    /// Its certificate.
    pub identity: Identity,
    listening: Listening,
    token: (String, String),
    pub(super) shared: Arc<Shared>,
}

/// What the calls work with.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: Core,
    pub(super) options: Options,
    pub(super) state: Mutex<State>,
    /// Held by the task that a machine is being changed by.
    turns: Mutex<BTreeMap<u32, Arc<tokio::sync::Mutex<()>>>>,
}

impl Shared {
    /// The lock of a machine's tasks.
    pub(super) fn turn(&self, vmid: u32) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(vmid).or_default())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxmox {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no certificate, or the address cannot be listened on.
    pub async fn start(core: Core, options: Options) -> Result<Self> {
        let identity = Identity::self_signed(&[options.address.ip()])?;
        let (address, token) = (options.address, options.token.clone());
        let state = State {
            nodes: options
                .nodes
                .iter()
                .map(|(name, machine)| Node {
                    name: name.clone(),
                    machine: machine.clone(),
                    cpus: 16,
                    memory: 64 << 30,
                })
                .collect(),
            pools: BTreeSet::from(["builds".to_owned()]),
            storages: BTreeSet::from(["local-lvm".to_owned()]),
            tokens: BTreeMap::from([token.clone()]),
            acl: options.acl.clone(),
            ..State::default()
        };
        let shared =
            Arc::new(Shared { core: core.clone(), options, state: Mutex::new(state), turns: Mutex::default() });
        let api = Api(Arc::clone(&shared));
        let listening = serve(core.clone(), Arc::new(api.clone()), api.router(), address, Some(&identity)).await?;
        let sim = Self { core, identity, listening, token, shared };
        let node = sim.shared.state().nodes.first().map(|node| node.name.clone()).unwrap_or_default();
        sim.plant(
            TEMPLATE,
            &node,
            &[
                ("name", "debian-12-runner"),
                ("template", "1"),
                ("protection", "1"),
                ("tags", "debian"),
                ("agent", "1"),
                ("boot", "order=scsi0"),
                ("scsi0", "local-lvm:base-9000-disk-0,size=3G"),
                ("ide2", "local-lvm:vm-9000-cloudinit,media=cdrom"),
                ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
                ("cores", "1"),
                ("memory", "512"),
            ],
        );
        Ok(sim)
    }

    /// Scheme, address and port.
    pub fn origin(&self) -> String {
        self.listening.origin()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The token as an environment has it.
    pub fn token(&self) -> String {
        format!("{}={}", self.token.0, self.token.1)
    }

    /// The template's id.
    pub fn template(&self) -> u32 {
        TEMPLATE
    }

    /// All machines, the template too.
    pub fn vms(&self) -> Vec<Vm> {
        self.shared.state().vms.values().cloned().collect()
    }

    /// The machine of this name.
    pub fn named(&self, name: &str) -> Option<Vm> {
        self.shared.state().vms.values().find(|vm| vm.get("name") == Some(name)).cloned()
    }

    /// Puts somebody's machine there, stopped.
    pub fn plant(&self, vmid: u32, node: &str, config: &[(&str, &str)]) {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut state = self.shared.state();
        state.made += 1;
        let vm = Vm {
            vmid,
            node: node.to_owned(),
            config,
            pool: None,
            is_on: false,
            // Long enough ago to have a name in every list.
            created: jiff::Timestamp::UNIX_EPOCH,
            up_from: None,
            address: None,
            generation: state.made,
        };
        state.vms.insert(vmid, vm);
    }

    /// Changes a machine behind everybody's back; an empty value takes a setting away.
    pub fn set(&self, vmid: u32, key: &str, value: &str) {
        if let Some(vm) = self.shared.state().vms.get_mut(&vmid) {
            if value.is_empty() {
                vm.config.remove(key)
            } else {
                vm.config.insert(key.to_owned(), value.to_owned())
            };
        }
    }

    /// Puts a machine into a pool.
    pub fn set_pool(&self, vmid: u32, pool: &str) {
        if let Some(vm) = self.shared.state().vms.get_mut(&vmid) {
            vm.pool = Some(pool.to_owned());
        }
    }

    /// Takes a machine away behind everybody's back.
    pub fn uproot(&self, vmid: u32) {
        self.shared.state().vms.remove(&vmid);
    }

    /// Shows a machine that was put there as one that runs: nothing stands behind it.
    pub fn show_running(&self, vmid: u32) {
        if let Some(vm) = self.shared.state().vms.get_mut(&vmid) {
            vm.is_on = true;
        }
    }

    /// The tasks that have not ended, by their UPIDs.
    pub fn running_tasks(&self) -> Vec<String> {
        self.shared.state().tasks.running()
    }

    /// Takes a machine's power away behind everybody's back. What stands for it goes on a moment longer.
    pub fn power_off(&self, vmid: u32) {
        let machine = self.shared.state().vms.get_mut(&vmid).map(|vm| {
            vm.is_on = false;
            vm.machine_id()
        });
        if let Some(machine) = machine {
            let backend = Arc::clone(&self.core.backend);
            tokio::spawn(async move { backend.stop(&machine).await });
        }
    }

    /// Changes what the token may do.
    pub fn set_acl(&self, acl: Acl) {
        self.shared.state().acl = acl;
    }
}
