//! [`DockerLocalProvider`]: leases of containers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::DockerLocalConfig;
use super::container::labels_of;
use super::daemon::Daemon;
use super::facts::DaemonFacts;
use super::files::{self, File};
use super::held_container::{HeldContainer, cut, find_image};
use super::{DIR, failure, ready, removal, volumes};
use crate::env_vars;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, HolderState, Isolation, Labels, LeaseRequest, MANAGED_LABEL};
use crate::lock_file::LockFile;
use crate::provider::host::budget;
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::host::machine::{architecture, fingerprint};
use crate::provider::local::tools;
use crate::provider::{Capabilities, ComputeProvider, Listed, Liveness, Released, RunnerStatus, Scope, Watch};

/// How long a container is looked for whose request a killed process sent without getting an answer.
const LATE_LIMIT: Duration = Duration::from_secs(10);
const LATE_PAUSE: Duration = Duration::from_millis(200);

/// How many containers are read side by side for a list, and how long one may take.
const READS_AT_ONCE: usize = 16;
const READ_LIMIT: Duration = Duration::from_secs(1);

/// Leases containers of one Docker daemon.
#[derive(Debug)]
pub struct DockerLocalProvider {
    config: DockerLocalConfig,
    daemon: Daemon,
    held: std::sync::Mutex<HashMap<LeaseId, Arc<Mutex<HeldContainer>>>>,
}

impl DockerLocalProvider {
    /// A provider with this configuration. Asks nothing of the daemon yet.
    pub fn new(config: DockerLocalConfig) -> Self {
        Self { daemon: Daemon::new(&config.host), config, held: std::sync::Mutex::default() }
    }

    /// Whether a daemon answers, within a moment.
    ///
    /// # Errors
    /// With why not.
    pub async fn answers(&self, limit: Duration) -> Result<()> {
        self.daemon.answers(limit).await
    }

    fn held(&self, lease: &LeaseId) -> Option<Arc<Mutex<HeldContainer>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(lease).cloned()
    }

    fn dir(&self, lease: &LeaseId) -> LeaseDir {
        LeaseDir::new(&self.config.runtime_dir, DIR, lease)
    }

    /// Removes what this machine has of a lease that this process did not make.
    async fn forget(&self, lease: &LeaseId) -> Result<()> {
        let dir = self.dir(lease);
        dir.remove().await?;
        if dir.lock().exists()
            && let Some(lock) = LockFile::try_take(&dir.lock())?
        {
            lock.remove();
        }
        lease_dir::remove_parent(&self.config.runtime_dir, DIR);
        budget::tidy(&self.config.runtime_dir);
        Ok(())
    }

    /// That a daemon does not have the container proves nothing about a lease of another one that had this address.
    async fn is_of_this_daemon(&self, docker: &Docker, lease: &LeaseId) -> Result<()> {
        let Some(daemon) = self.dir(lease).backend() else { return Ok(()) };
        if daemon.is_empty() || daemon == DaemonFacts::read(docker).await.map_err(unconfirmed)?.id {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ReleaseUnconfirmed,
            format!("lease `{lease}` was made by another Docker daemon than the one at `{}`", self.daemon.shown()),
        )
        .hint(format!("start that daemon again, or set {} to where it listens", env_vars::DOCKER_HOST)))
    }

    /// A request whose sender was killed may be carried out after we looked.
    async fn remove_late(&self, docker: &Docker, lease: &LeaseId) -> Result<bool> {
        let dir = self.dir(lease);
        loop {
            // In this order: what comes later than this is found.
            let is_late = dir.creating_for().is_none_or(|asked| asked > LATE_LIMIT);
            if removal::remove(docker, lease).await? {
                return Ok(true);
            }
            if is_late {
                return Ok(false);
            }
            tokio::time::sleep(LATE_PAUSE).await;
        }
    }

    /// Removes the directories of leases whose container and process are gone.
    async fn sweep_dirs(&self, docker: &Docker) -> Result<()> {
        let facts = DaemonFacts::read(docker).await?;
        for (lease, lock) in lease_dir::unheld(&self.config.runtime_dir, DIR, &facts.id)? {
            let dir = self.dir(&lease);
            if dir.creating_for().is_some() {
                self.remove_late(docker, &lease).await?;
            }
            if removal::find(docker, &lease).await?.is_none() {
                volumes::remove(docker, &lease).await?;
                dir.remove().await?;
                lock.remove();
            }
        }
        lease_dir::remove_parent(&self.config.runtime_dir, DIR);
        budget::tidy(&self.config.runtime_dir);
        volumes::remove_orphans(docker).await
    }

    async fn listed(&self, docker: &Docker, container: ContainerSummary) -> Listed {
        let name = container.names.iter().flatten().next().map_or("", |name| name.trim_start_matches('/')).to_owned();
        let lease_id: Option<LeaseId> = name.parse().ok();
        let labels = match Labels::from_map(&labels_of(container.labels.as_ref())) {
            None => Err("it has no label of lian-build".to_owned()),
            Some(Ok(labels)) if lease_id.as_ref() != Some(&labels.lease_id) => {
                Err(format!("its name is not the lease `{}` of its labels", labels.lease_id))
            }
            Some(labels) => labels,
        };
        // Labels cannot change: what was renewed stands in the container.
        let renewed_until = match (&labels, &container.id) {
            (Ok(_), Some(id)) => {
                tokio::time::timeout(READ_LIMIT, files::renewed_until(docker, id)).await.unwrap_or_default()
            }
            _ => None,
        };
        let holder = labels.as_ref().ok().and_then(|labels| labels.holder.as_ref());
        Listed {
            name,
            lease_id,
            holder: holder.map_or(HolderState::Unknown, crate::lease::Holder::state),
            labels,
            status: status(container.state),
            renewed_until,
            cost: None,
        }
    }
}

#[async_trait]
impl ComputeProvider for DockerLocalProvider {
    fn name(&self) -> &'static str {
        "docker_local"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            architectures: vec![architecture().to_owned()],
            isolation: Isolation::Container,
            // As far as anybody can say before it was asked: it may be a virtual one.
            shared_machine: Some("Docker's machine"),
            scope: Scope::Credential,
            can_keep: true,
        }
    }

    fn backend(&self) -> String {
        format!("{}@{}", self.daemon.shown(), fingerprint())
    }

    async fn check(&self, request: &LeaseRequest) -> Result<()> {
        tools::check_ssh_client(&self.config.program_dirs)?;
        let docker = self.daemon.client().await?;
        let facts = DaemonFacts::read(docker).await?;
        find_image(docker, &self.config.image).await?;
        cut(&self.config, &facts, request).map(drop)
    }

    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let held = {
            let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Mutex::new(HeldContainer::new(&self.config, &request.lease_id)));
            Arc::clone(all.entry(request.lease_id.clone()).or_insert_with(new))
        };
        let work = async {
            let mut held = held.lock().await;
            let docker = self.daemon.client().await?;
            held.acquire(&self.config, docker, request, watch).await
        };
        cancel.run_until_cancelled(work).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Provider, format!("lease `{}` was cancelled", request.lease_id)))
        })
    }

    async fn renew(&self, lease_id: &LeaseId, expires_at: Timestamp) -> Result<()> {
        let docker = self.daemon.client().await?;
        files::put(docker, lease_id.as_str(), &[File::public(files::EXPIRES, files::unix_time(expires_at))]).await
    }

    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness> {
        let docker = self.daemon.client().await?;
        match docker.inspect_container(lease_id.as_str(), None).await {
            Ok(container) => Ok(ready::why_dead(&container)
                .map_or(Liveness::Alive, |why| Liveness::Dead(format!("its container {why}")))),
            Err(error) if failure::is_not_found(&error) => Ok(Liveness::Dead("its container is gone".to_owned())),
            Err(error) => Err(failure::fault("say how the runner's container is", &error)),
        }
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        let held = self.held(lease_id);
        let mut held = match &held {
            Some(held) => Some(held.lock().await),
            None => None,
        };
        if let Some(held) = &held {
            held.releasing.cancel();
        }
        let mut destroyed = false;
        // Before the request went out, not even a daemon is needed.
        if held.as_ref().is_none_or(|held| held.asked) {
            let docker = self.daemon.client().await.map_err(unconfirmed)?;
            destroyed = removal::remove(docker, lease_id).await?;
            if let Some(held) = held.as_mut()
                && let Some(creating) = &mut held.creating
            {
                // Carried out now, refused or timed out: it has an end, and after it the name is looked for again. It stays
                // known until then: this attempt may be dropped, and the next one has to wait for it as well.
                let _ = creating.await;
                held.creating = None;
                destroyed |= removal::remove(docker, lease_id).await?;
            }
            if !destroyed && held.is_none() {
                self.is_of_this_daemon(docker, lease_id).await?;
            }
            if !destroyed && self.dir(lease_id).creating_for().is_some() {
                destroyed = self.remove_late(docker, lease_id).await?;
            }
            // Only now that no request is under way: a daemon that was killed in the middle, or somebody's `docker rm`, leaves
            // the volume alone behind.
            destroyed |= volumes::remove(docker, lease_id).await?;
        }
        match &mut held {
            Some(held) => held.forget(&self.config).await?,
            None => self.forget(lease_id).await?,
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(lease_id);
        Ok(if destroyed { Released::Destroyed } else { Released::AlreadyGone })
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let docker = self.daemon.client_if_any().await?;
        let filters = HashMap::from([("label", vec![format!("{MANAGED_LABEL}=1")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = docker
            .list_containers(Some(options))
            .await
            .map_err(|error| failure::fault("list its containers", &error))?;
        // Side by side, and each for a moment only: one container that cannot be read must not use up the sweep's time.
        let reading = containers.into_iter().map(|container| self.listed(docker, container));
        Ok(futures_util::stream::iter(reading).buffered(READS_AT_ONCE).collect().await)
    }

    async fn tidy(&self) -> Result<()> {
        self.sweep_dirs(self.daemon.client().await?).await
    }
}

fn status(state: Option<ContainerSummaryStateEnum>) -> RunnerStatus {
    match state {
        Some(ContainerSummaryStateEnum::CREATED | ContainerSummaryStateEnum::RESTARTING) => RunnerStatus::Starting,
        Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED) => RunnerStatus::Running,
        Some(
            ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD | ContainerSummaryStateEnum::REMOVING,
        ) => RunnerStatus::Stopped,
        _ => RunnerStatus::Unknown,
    }
}

/// The daemon is not there to say that the container is gone.
fn unconfirmed(error: Error) -> Error {
    let said = Error::new(ErrorKind::ReleaseUnconfirmed, error.message());
    error.hints().iter().fold(said, |said, hint| said.hint(hint.clone()))
}
