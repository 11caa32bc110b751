//! [`MemoryProvider`]: runners that are nothing but entries of a map, which outlives every pool that leases from it. For tests,
//! and for the measurement of what a pool itself costs: no user can reach it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use lian_build::error::{Error, ErrorKind, Result};
use lian_build::ids::LeaseId;
use lian_build::lease::{Endpoint, HourlyPrice, Isolation, Labels, LeaseRequest, Made, MemoryLimit, RunnerPaths};
use lian_build::provider::{Capabilities, ComputeProvider, Listed, Liveness, Released, RunnerStatus, Scope, Watch};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A public key whose private half nobody has.
pub(crate) const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

/// One runner.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) authorized_keys: Vec<String>,
    pub(crate) renewed_until: Option<Timestamp>,
    /// It is there, and does not run any more.
    pub(crate) is_off: bool,
}

/// The runners that there are, and what else happens on demand.
#[derive(Debug)]
pub(crate) struct Machines {
    runners: Mutex<BTreeMap<String, Runner>>,
    /// How often a runner was made, under which name.
    made: Mutex<Vec<String>>,
    settings: Mutex<Settings>,
    /// Closed, nothing that is made becomes ready.
    gate: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How many runners there may be.
    pub(crate) room: usize,
    /// How often a release fails before it goes through.
    pub(crate) releases_fail: u32,
    /// Whether what is made breaks before it is ready.
    pub(crate) breaks: bool,
    /// What a fault says; `None` for none.
    pub(crate) fault: Option<String>,
    /// The address of its runners.
    pub(crate) host: String,
    pub(crate) isolation: Isolation,
}

impl Machines {
    pub(crate) fn new() -> Arc<Self> {
        let settings = Settings {
            room: usize::MAX,
            releases_fail: 0,
            breaks: false,
            fault: None,
            host: "127.0.0.1".to_owned(),
            isolation: Isolation::Vm,
        };
        Arc::new(Self {
            runners: Mutex::default(),
            made: Mutex::default(),
            settings: Mutex::new(settings),
            gate: watch::channel(true).0,
        })
    }

    /// The names of the runners that there are.
    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.runners).keys().cloned().collect()
    }

    /// One of them.
    pub(crate) fn runner(&self, name: &str) -> Option<Runner> {
        lock(&self.runners).get(name).cloned()
    }

    /// Takes a runner's power away.
    pub(crate) fn switch_off(&self, name: &str) {
        lock(&self.runners).get_mut(name).unwrap().is_off = true;
    }

    /// The names under which runners were made, in their order.
    pub(crate) fn made(&self) -> Vec<String> {
        lock(&self.made).clone()
    }

    /// Changes what happens.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.settings));
    }

    /// Lets what is made become ready, or holds it back.
    pub(crate) fn open_gate(&self, is_open: bool) {
        self.gate.send_replace(is_open);
    }
}

/// A provider of these machines, as any process can open one.
#[derive(Debug, Clone)]
pub(crate) struct MemoryProvider(pub(crate) Arc<Machines>);

#[async_trait]
impl ComputeProvider for MemoryProvider {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            architectures: vec!["arm64".to_owned()],
            isolation: lock(&self.0.settings).isolation,
            shared_machine: None,
            scope: Scope::Credential,
            can_keep: true,
        }
    }

    fn backend(&self) -> String {
        "memory".to_owned()
    }

    async fn check(&self, _request: &LeaseRequest) -> Result<()> {
        let room = lock(&self.0.settings).room;
        if lock(&self.0.runners).len() < room {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NoCapacity, "there is no room"))
    }

    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let settings = lock(&self.0.settings).clone();
        if let Some(fault) = settings.fault {
            return Err(Error::new(ErrorKind::Provider, fault));
        }
        let name = request.lease_id.to_string();
        {
            let mut runners = lock(&self.0.runners);
            if runners.len() >= settings.room {
                return Err(Error::new(ErrorKind::NoCapacity, "there is no room"));
            }
            let runner = Runner {
                labels: request.labels().to_map(),
                authorized_keys: request.authorized_keys.iter().map(ToString::to_string).collect(),
                renewed_until: None,
                is_off: false,
            };
            if runners.insert(name.clone(), runner).is_some() {
                return Err(Error::new(ErrorKind::Provider, format!("`{name}` was made twice")));
            }
        }
        lock(&self.0.made).push(name.clone());
        let made = Made { remote_id: name, since: request.created_at, price: HourlyPrice::parse("0.01", "EUR") };
        watch.created(&made).await;
        if settings.breaks {
            return Err(Error::new(ErrorKind::Provider, "it broke"));
        }
        let mut gate = self.0.gate.subscribe();
        let opened = cancel.run_until_cancelled(gate.wait_for(|is_open| *is_open)).await;
        match opened {
            Some(Ok(_)) => Ok(endpoint(&request.lease_id, settings.host)),
            _ => Err(Error::new(ErrorKind::Provider, "it was cancelled")),
        }
    }

    async fn renew(&self, lease_id: &LeaseId, expires_at: Timestamp) -> Result<()> {
        match lock(&self.0.runners).get_mut(lease_id.as_str()) {
            Some(runner) => {
                runner.renewed_until = Some(expires_at);
                Ok(())
            }
            None => Err(Error::new(ErrorKind::Provider, "there is no such runner")),
        }
    }

    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness> {
        Ok(match lock(&self.0.runners).get(lease_id.as_str()) {
            Some(runner) if runner.is_off => Liveness::Dead("it is switched off".to_owned()),
            Some(_) => Liveness::Alive,
            None => Liveness::Dead("there is no such runner".to_owned()),
        })
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        {
            let mut settings = lock(&self.0.settings);
            if settings.releases_fail > 0 {
                settings.releases_fail -= 1;
                return Err(Error::new(ErrorKind::ReleaseUnconfirmed, "it is still there"));
            }
        }
        let was_there = lock(&self.0.runners).remove(lease_id.as_str()).is_some();
        Ok(if was_there { Released::Destroyed } else { Released::AlreadyGone })
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let listed = |(name, runner): (&String, &Runner)| {
            let labels = Labels::from_map(&runner.labels)?;
            Some(Listed {
                name: name.clone(),
                lease_id: name.parse().ok(),
                labels,
                status: RunnerStatus::Running,
                holder: lian_build::lease::HolderState::Unknown,
                renewed_until: runner.renewed_until,
                cost: None,
            })
        };
        Ok(lock(&self.0.runners).iter().filter_map(listed).collect())
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn endpoint(lease_id: &LeaseId, host: String) -> Endpoint {
    let path = |name: &str| format!("/nowhere/{name}");
    Endpoint {
        lease_id: lease_id.clone(),
        host,
        port: 22,
        user: "root".to_owned(),
        host_key: PUBLIC_KEY.to_owned(),
        identity_file: "/nowhere/key-of-the-pool".into(),
        session_dir: "/nowhere/session-of-the-pool".into(),
        paths: RunnerPaths {
            context: path("context"),
            extra_contexts: path("extra"),
            run: path("run"),
            buildkit_root: path("buildkit"),
            output: path("output"),
            secrets: path("secrets"),
            bin: path("bin"),
        },
        isolation: Isolation::Vm,
        shared: false,
        rootless: false,
        memory: MemoryLimit::None { reason: "it is in memory".to_owned() },
        effective_memory_bytes: 1 << 30,
        effective_cpu: 1,
        cache_cap_bytes: None,
        architecture: "arm64".to_owned(),
        notes: Vec::new(),
        warnings: Vec::new(),
    }
}
