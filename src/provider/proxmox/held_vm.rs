//! [`HeldVm`]: what this process holds for one lease, from the first side effect to the verified release.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::check::Facts;
use super::client::Client;
use super::cluster::{self, Place};
use super::create::Order;
use super::failure::Failure;
use super::removal::not_ours;
use super::upid::Upid;
use super::vm_config::VmConfig;
use super::{DIR, ProxmoxConfig, guest, settings, task};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{CgroupVersion, Endpoint, Isolation, LeaseRequest, Made};
use crate::lock_file::LockFile;
use crate::provider::Watch;
use crate::provider::host::creating::{self, Creating};
use crate::provider::host::key_pair::authorized_keys;
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::host::runtime_dir::prepare_runtime_dir;
use crate::runner_image::layout::{memory_limit, paths};

/// How long a machine's configuration, and its start, may take.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// How often a step is tried that something else came in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// What this process holds for one lease. Each field is set before, or at once when, the thing exists, so a release finds
/// it however far the acquisition came.
#[derive(Debug)]
pub(super) struct HeldVm {
    pub(super) dir: LeaseDir,
    lock: Option<LockFile>,
    /// The requests that make the machine: a task of their own, so that they have an end that is known also when nobody waits
    /// for it any more.
    pub(super) creating: Option<Creating<Place>>,
    /// True from just before the first request goes out: before that there is nothing to release.
    pub(super) asked: bool,
    /// Cancelled by the first release: after it nothing is begun any more.
    pub(super) releasing: CancellationToken,
    place: Option<Place>,
    endpoint: Option<Endpoint>,
}

/// A machine of the lease, at a step of its making.
struct Machine<'a> {
    client: &'a Client,
    lease: &'a LeaseId,
    place: Place,
}

impl HeldVm {
    pub(super) fn new(config: &ProxmoxConfig, lease: &LeaseId) -> Self {
        Self {
            dir: LeaseDir::new(&config.runtime_dir, DIR, lease),
            lock: None,
            creating: None,
            asked: false,
            releasing: CancellationToken::new(),
            place: None,
            endpoint: None,
        }
    }

    /// Makes the runner.
    pub(super) async fn acquire(
        &mut self,
        config: &ProxmoxConfig,
        client: &Arc<Client>,
        request: &LeaseRequest,
        watch: Watch<'_>,
    ) -> Result<Endpoint> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        let lease = &request.lease_id;
        let facts = Facts::read(client, config, request).await?;
        prepare_runtime_dir(&config.runtime_dir)?;
        if self.lock.is_none() {
            self.lock = self.dir.take_lock().await?;
        }
        if self.lock.is_none() {
            return Err(Error::new(ErrorKind::Provider, format!("lease `{lease}` is held by another process")));
        }
        self.dir.create(&client.fingerprint())?;
        let had_keys = self.dir.client_key().exists();
        self.dir.make_client_key().await?;

        watch.waiting("Proxmox VE to clone the template");
        let place = match self.place.clone() {
            Some(place) => place,
            None => self.create(config, client, request, &facts).await?,
        };
        self.place = Some(place.clone());
        let made = Made { remote_id: settings::remote_id(&place), since: SystemClock.now(), price: None };
        watch.created(&made).await;
        self.dir.set_creating(false)?;

        let machine = Machine { client, lease, place };
        let keys = authorized_keys(&self.dir.client_public().await?, &request.authorized_keys);
        watch.waiting("the machine to be configured and started");
        let configured = machine.set_up(request, &keys, had_keys).await?;
        watch.waiting("the machine to boot");
        let guest = guest::wait(client, &machine.place, settings::mac(&configured).as_deref()).await?;

        let tier = &request.tier;
        let mut notes = facts.notes;
        notes.push(format!("the runner is the machine {}", machine.place.shown()));
        let endpoint = Endpoint {
            lease_id: lease.clone(),
            host: guest.host.to_string(),
            port: guest.port,
            user: "root".to_owned(),
            host_key: guest.host_key,
            identity_file: self.dir.client_key(),
            session_dir: self.dir.session(),
            paths: paths(),
            isolation: Isolation::Vm,
            shared: false,
            rootless: false,
            memory: memory_limit(lease, CgroupVersion::V2, tier.build_memory_bytes()),
            effective_memory_bytes: tier.memory_bytes(),
            effective_cpu: tier.cpu,
            cache_cap_bytes: None,
            architecture: facts.architecture,
            notes,
            warnings: Vec::new(),
        };
        self.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// Clones the template, or finds the machine that an earlier request of this lease made.
    async fn create(
        &mut self,
        config: &ProxmoxConfig,
        client: &Arc<Client>,
        request: &LeaseRequest,
        facts: &Facts,
    ) -> Result<Place> {
        if self.releasing.is_cancelled() {
            let why = format!("lease `{}` is being released", request.lease_id);
            return Err(Error::new(ErrorKind::Provider, why));
        }
        if self.creating.is_none() {
            self.dir.set_creating(true)?;
            self.asked = true;
            crate::failpoint::reach("clone-announced");
            let order = Order {
                client: Arc::clone(client),
                config: config.clone(),
                template: facts.template.place.clone(),
                node: facts.node.clone(),
                labels: request.labels(),
                dir: self.dir.clone(),
                releasing: self.releasing.clone(),
            };
            self.creating = Some(tokio::spawn(order.carry_out()));
        }
        creating::ended(&mut self.creating, &self.dir, "machine").await
    }

    /// Removes what this machine has of the lease, once its runner is gone.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` naming what is left.
    pub(super) async fn forget(&mut self, config: &ProxmoxConfig) -> Result<()> {
        (self.endpoint, self.place) = (None, None);
        if self.lock.is_some() {
            self.dir.remove().await?;
        }
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
        lease_dir::remove_parent(&config.runtime_dir, DIR);
        Ok(())
    }
}

/// The ids that this machine remembers of a lease. They may be somebody else's.
pub(super) fn known(dir: &LeaseDir) -> BTreeSet<u32> {
    dir.remote_ids().iter().filter_map(|id| id.parse().ok()).collect()
}

impl Machine<'_> {
    /// Gives the machine its size and its keys, and starts it. One that runs already is taken as it is when this machine has
    /// its key.
    async fn set_up(&self, request: &LeaseRequest, keys: &str, had_keys: bool) -> Result<VmConfig> {
        let vmid = self.place.vmid.to_string();
        let status = self.client.get(&self.place.with(&vmid, &["status", "current"]), &[]).await;
        let runs =
            status.is_ok_and(|status| status.get("status").and_then(serde_json::Value::as_str) == Some("running"));
        if runs {
            let config = self.verified().await?;
            return if had_keys {
                Ok(config)
            } else {
                let why = format!("the machine {} runs, and the key that opens it is not here", self.place.shown());
                Err(Error::new(ErrorKind::Provider, why))
            };
        }
        self.again(&Step::Configure { request, keys }).await?;
        self.again(&Step::Grow { gb: request.tier.disk_gb }).await?;
        let started = self.again(&Step::Start).await;
        // Its node's memory is used up by others.
        let has_no_room = |error: &Error| {
            let message = error.message();
            message.contains("Cannot allocate memory") || message.contains("vcpus allowed")
        };
        match started {
            Err(error) if has_no_room(&error) => Err(error.of_kind(ErrorKind::NoCapacity)),
            started => started,
        }?;
        self.verified().await
    }

    /// The machine's configuration, when it is still the lease's.
    async fn verified(&self) -> Result<VmConfig> {
        let read = cluster::config(self.client, &self.place).await;
        let config = read.map_err(|failure| failure.into_error("show the machine's configuration"))?;
        let config = config.ok_or_else(|| not_ours(self.lease, &self.place, "it is gone"))?;
        config.is_of(self.lease).map_err(|why| not_ours(self.lease, &self.place, &why))?;
        Ok(config)
    }

    /// Does a step, after reading again whose the machine is; again when something came in between, or no answer did.
    async fn again(&self, step: &Step<'_>) -> Result<()> {
        let mut tries = 0;
        loop {
            let config = self.verified().await?;
            let Err(failure) = self.once(step, &config).await else { return Ok(()) };
            tries += 1;
            if tries >= TRIES || !(failure.is_outdated() || failure.is_busy() || failure.is_passing()) {
                return Err(failure.into_error(step.words()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(&self, step: &Step<'_>, config: &VmConfig) -> Result<(), Failure> {
        let vmid = self.place.vmid.to_string();
        let answer = match step {
            Step::Configure { request, keys } => {
                let form = settings::config(self.lease, &request.tier, keys, config.text("digest").as_deref());
                let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
                self.client.post(&self.place.with(&vmid, &["config"]), &form).await?
            }
            Step::Grow { gb } => {
                let Some(disk) = settings::disk_to_grow(config, *gb) else { return Ok(()) };
                let size = format!("{gb}G");
                let form = [("disk", disk.as_str()), ("size", size.as_str())];
                self.client.put(&self.place.with(&vmid, &["resize"]), &form).await?
            }
            Step::Start => match self.client.post(&self.place.with(&vmid, &["status", "start"]), &[]).await {
                // By a request of ours whose answer was lost.
                Err(failure) if failure.words().contains("already running") => return Ok(()),
                answer => answer?,
            },
        };
        match task::wait(self.client, Upid::of(&answer)?, STEP_LIMIT).await {
            Err(failure) if failure.words().contains("already running") => Ok(()),
            ended => ended,
        }
    }
}

/// A step of a machine's making.
enum Step<'a> {
    Configure { request: &'a LeaseRequest, keys: &'a str },
    Grow { gb: u32 },
    Start,
}

impl Step<'_> {
    const fn words(&self) -> &'static str {
        match self {
            Self::Configure { .. } => "configure the machine",
            Self::Grow { .. } => "make the machine's disk larger",
            Self::Start => "start the machine",
        }
    }
}
