//! [`HeldContainer`]: what this process holds for one lease, from the first side effect to the verified release.

use bollard::Docker;
use bollard::errors::Error as DockerError;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::DockerLocalConfig;
use super::container::{create_body, first_process};
use super::create::{Created, create};
use super::facts::{DaemonFacts, NO_MEMORY_LIMIT};
use super::files::{self, File};
use super::kept_cache::KeptCache;
use super::{DIR, failure, privileges, ready};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, Holder, Isolation, LeaseRequest, Made, MemoryLimit};
use crate::lock_file::LockFile;
use crate::provider::Watch;
use crate::provider::host::budget::{Budget, Reservation};
use crate::provider::host::creating::{self, Creating};
use crate::provider::host::fit::Fit;
use crate::provider::host::key_pair::authorized_keys;
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::host::machine::{self, Machine};
use crate::provider::host::runner_sign::RunnerSign;
use crate::provider::host::runtime_dir::prepare_runtime_dir;
use crate::runner_image;
use crate::runner_image::layout::{memory_limit, paths};

/// What this process holds for one lease. Each field is set before, or at once when, the thing exists, so a release finds
/// it however far the acquisition came.
#[derive(Debug)]
pub(super) struct HeldContainer {
    dir: LeaseDir,
    lock: Option<LockFile>,
    reservation: Option<Reservation>,
    /// The kept cache that the container has.
    cache: Option<KeptCache>,
    /// The request that creates the container: a task of its own, so that it has an end that is known also when nobody
    /// waits for it any more.
    pub(super) creating: Option<Creating<Created>>,
    /// True from just before the request goes out: before that there is nothing to release at the daemon.
    pub(super) asked: bool,
    /// Cancelled by the first release: after it no request that makes something may be sent any more.
    pub(super) releasing: CancellationToken,
    endpoint: Option<Endpoint>,
}

/// A tier cut to the daemon's machine, with the budget it is taken from.
pub(super) struct Cut {
    pub(super) fit: Fit,
    budget: Budget,
}

impl HeldContainer {
    pub(super) fn new(config: &DockerLocalConfig, lease: &LeaseId) -> Self {
        Self {
            dir: LeaseDir::new(&config.runtime_dir, DIR, lease),
            lock: None,
            reservation: None,
            cache: None,
            creating: None,
            asked: false,
            releasing: CancellationToken::new(),
            endpoint: None,
        }
    }

    /// Keeps the lease's share of the memory for as long as the runner is seen by this.
    async fn is_seen_by(&mut self, budget: &Budget, sign: RunnerSign) -> Result<()> {
        match &mut self.reservation {
            Some(share) => budget.outlived_by(share, sign).await,
            None => Ok(()),
        }
    }

    /// Makes the runner.
    pub(super) async fn acquire(
        &mut self,
        config: &DockerLocalConfig,
        docker: &Docker,
        request: &LeaseRequest,
        watch: Watch<'_>,
    ) -> Result<Endpoint> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        let facts = DaemonFacts::read(docker).await?;
        let image = find_image(docker, &config.image).await?;
        let Cut { fit, budget } = cut(config, &facts, request)?;
        prepare_runtime_dir(&config.runtime_dir)?;
        let lease = &request.lease_id;
        if self.reservation.is_none() {
            let reserving = budget.reserve(lease, &request.workspace, fit.memory_bytes, config.queue_timeout, watch);
            self.reservation = Some(reserving.await?);
        }
        if self.lock.is_none() {
            self.lock = self.dir.take_lock().await?;
        }
        if self.lock.is_none() {
            return Err(Error::new(ErrorKind::Provider, format!("lease `{lease}` is held by another process")));
        }
        self.dir.create(&facts.id)?;
        let mut notes = fit.notes.clone();
        notes.push(privileges::isolation_note(facts.cgroup));
        // A request that went out has named its volume.
        if let Some(cache) = config.cache.as_ref().filter(|_| !self.asked && self.cache.is_none()) {
            match KeptCache::take(cache, docker, &facts.id, request).await {
                Ok(cache) => self.cache = Some(cache),
                Err(why) => notes.push(why),
            }
        }

        watch.waiting("Docker to make the runner's container");
        let Created { id, warnings: said } = self.create(config, docker, request, &fit, &facts).await?;
        watch.created(&Made { remote_id: id.clone(), since: SystemClock.now(), price: None }).await;
        self.dir.set_creating(false)?;
        watch.waiting("the runner's container to start");
        // From before its start on: whatever becomes of this process, the container's memory is not given to another.
        self.is_seen_by(&budget, RunnerSign::Dir(self.dir.path().to_owned())).await?;
        self.start(docker, &id, request, facts.limits_memory.then_some(fit.build_bytes)).await?;
        if let Some(process) = process_of(docker, &id).await? {
            self.is_seen_by(&budget, RunnerSign::Process(process)).await?;
        }
        watch.waiting("sshd of the runner's container");
        let (host, port) = ready::wait_for_ssh(docker, &id).await?;

        let mut warnings = fit.warnings.clone();
        warnings.extend(image.warning);
        warnings.extend(facts.limit_warnings());
        warnings.extend(said);
        let memory = if facts.limits_memory {
            memory_limit(lease, facts.cgroup, fit.build_bytes)
        } else {
            MemoryLimit::None { reason: NO_MEMORY_LIMIT.to_owned() }
        };
        let endpoint = Endpoint {
            lease_id: lease.clone(),
            host,
            port,
            user: "root".to_owned(),
            host_key: self.dir.host_public().await?,
            identity_file: self.dir.client_key(),
            session_dir: self.dir.session(),
            paths: paths(),
            isolation: Isolation::Container,
            shared: true,
            rootless: false,
            memory,
            effective_memory_bytes: fit.memory_bytes,
            effective_cpu: fit.cpu,
            cache_cap_bytes: self.cache.as_ref().map(|cache| cache.cap_bytes),
            architecture: image.architecture,
            notes,
            warnings,
        };
        self.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// Creates the container, or finds the one that an earlier request of this lease created.
    async fn create(
        &mut self,
        config: &DockerLocalConfig,
        docker: &Docker,
        request: &LeaseRequest,
        fit: &Fit,
        facts: &DaemonFacts,
    ) -> Result<Created> {
        if self.releasing.is_cancelled() {
            let why = format!("lease `{}` is being released", request.lease_id);
            return Err(Error::new(ErrorKind::Provider, why));
        }
        if self.creating.is_none() {
            self.dir.set_creating(true)?;
            self.asked = true;
            crate::failpoint::reach("container-announced");
            let body = create_body(&config.image, request, fit, facts, self.cache.as_ref());
            let (docker, lease, owner) = (docker.clone(), request.lease_id.clone(), request.owner.clone());
            let releasing = self.releasing.clone();
            self.creating = Some(tokio::spawn(async move { create(&docker, &lease, &owner, &body, &releasing).await }));
        }
        creating::ended(&mut self.creating, &self.dir, "container").await
    }

    /// Puts keys and deadlines into the container and starts it. One that runs already is taken as it is when this machine
    /// has its keys, and gets new ones otherwise.
    async fn start(&self, docker: &Docker, id: &str, request: &LeaseRequest, limit: Option<u64>) -> Result<()> {
        let container = docker
            .inspect_container(id, None)
            .await
            .map_err(|error| failure::fault("say how the runner's container is", &error))?;
        let runs = ready::why_dead(&container).is_none();
        if runs && self.dir.has_keys() {
            return Ok(());
        }
        self.dir.make_keys().await?;
        files::put(docker, id, &self.files(request, limit).await?).await?;
        let started =
            if runs { docker.restart_container(id, None).await } else { docker.start_container(id, None).await };
        started.map_err(|error| not_started(&error))?;
        self.dir.forget_host_private();
        Ok(())
    }

    /// `limit` is what all build steps together may use, where the machine can hold them to it.
    async fn files(&self, request: &LeaseRequest, limit: Option<u64>) -> Result<Vec<File>> {
        let mut files = vec![
            File::private("/etc/ssh/lian_host_ed25519_key", self.dir.host_private().await?),
            File::public("/etc/ssh/lian_host_ed25519_key.pub", format!("{}\n", self.dir.host_public().await?)),
            File::private(
                "/root/.ssh/authorized_keys",
                authorized_keys(&self.dir.client_public().await?, &request.authorized_keys).into_bytes(),
            ),
            File::public("/etc/lian-build/lease", format!("{}\n", request.lease_id)),
            File::public("/etc/lian-build/hard-deadline", files::unix_time(request.hard_deadline)),
            File::public(files::EXPIRES, files::unix_time(expires_at(request, SystemClock.now()))),
        ];
        files.extend(limit.map(|bytes| File::public("/etc/lian-build/build-memory", format!("{bytes}\n"))));
        Ok(files)
    }

    /// Removes what this machine has of the lease, once its container is gone.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` naming what is left.
    pub(super) async fn forget(&mut self, config: &DockerLocalConfig) -> Result<()> {
        self.endpoint = None;
        if self.lock.is_some() {
            // Before the lock goes: what could not be removed must not be called removed by the next attempt.
            self.dir.remove().await?;
        }
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
        lease_dir::remove_parent(&config.runtime_dir, DIR);
        self.reservation = None;
        self.cache = None;
        Ok(())
    }
}

/// The container's first process, where that is to be seen from here.
async fn process_of(docker: &Docker, id: &str) -> Result<Option<Holder>> {
    let container = docker
        .inspect_container(id, None)
        .await
        .map_err(|error| failure::fault("say how the runner's container is", &error))?;
    Ok(first_process(&container))
}

/// The soft deadline at the start: a lease that waited long for memory must not be over before it stands.
fn expires_at(request: &LeaseRequest, now: Timestamp) -> Timestamp {
    let ahead = request.expires_at.duration_since(request.created_at);
    let from_now = now.checked_add(ahead).unwrap_or(request.expires_at);
    from_now.max(request.expires_at).min(request.hard_deadline)
}

/// Cuts the tier to the daemon's machine. Builds with `local` use the same memory where that machine is this one.
///
/// # Errors
/// `NoCapacity` when the memory is more than the machine has and was asked for.
pub(super) fn cut(config: &DockerLocalConfig, facts: &DaemonFacts, request: &LeaseRequest) -> Result<Cut> {
    let mut machine = facts.machine;
    if facts.is_this_machine {
        // This process may be held to less, and then the others are, too.
        machine.memory_bytes = Machine::read(&config.cgroup_root)?.memory_bytes.min(machine.memory_bytes);
    }
    let total = config.memory_budget_bytes.unwrap_or_else(|| machine.budget_bytes());
    let fit = Fit::new(&request.tier, &machine, total, request.memory_is_explicit)?;
    let budget = if facts.is_this_machine {
        Budget::new(&config.runtime_dir, total)
    } else {
        Budget::of_daemon(&config.runtime_dir, &facts.id, total)
    };
    Ok(Cut { fit, budget })
}

/// The runner image.
pub(super) struct Image {
    /// As OCI names it.
    architecture: String,
    /// What is odd about it.
    warning: Option<String>,
}

/// Looks for the runner image.
///
/// # Errors
/// `NoCapacity` when there is no such image, with what makes it.
pub(super) async fn find_image(docker: &Docker, image: &str) -> Result<Image> {
    match docker.inspect_image(image).await {
        Ok(found) => {
            let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
            let warning = (!runner_image::is_of_this_recipe(&labels)).then(|| {
                format!(
                    "the runner image `{image}` was made from another recipe than this version's, so its limits and \
                     deadlines may not hold: `lian-build runners image --load` makes it anew"
                )
            });
            let architecture = found.architecture.unwrap_or_default();
            check_architecture(image, &architecture, machine::architecture())?;
            Ok(Image { architecture, warning })
        }
        Err(error) if failure::is_not_found(&error) => {
            let error = Error::new(ErrorKind::NoCapacity, format!("Docker has no runner image `{image}`"));
            Err(if image == runner_image::name() {
                error.hint("`lian-build runners image --load` makes it, without any registry")
            } else {
                error.hint(format!(
                    "`docker pull` it, or unset {} and make the default one with `lian-build runners image --load`",
                    crate::env_vars::BUILDKIT_RUNNER_IMAGE
                ))
            })
        }
        Err(error) => Err(failure::fault("say whether it has the runner image", &error)),
    }
}

/// What is built is of the runner's architecture, and the plan says that it is this machine's.
fn check_architecture(image: &str, its: &str, wanted: &str) -> Result<()> {
    if its == wanted {
        return Ok(());
    }
    let its = crate::sanitise::line(its);
    Err(Error::new(
        ErrorKind::NoCapacity,
        format!("the runner image `{image}` is `{its}`, and `{wanted}` is built for"),
    )
    .hint("`lian-build runners image --load` makes it for this machine"))
}

fn not_started(error: &DockerError) -> Error {
    failure::fault("start the runner's container", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_vars::Environment;

    #[test]
    fn an_image_of_another_architecture_is_no_runner() {
        check_architecture("i", "arm64", "arm64").unwrap();
        for other in ["amd64", ""] {
            assert_eq!(check_architecture("i", other, "arm64").unwrap_err().kind(), ErrorKind::NoCapacity);
        }
    }

    #[tokio::test]
    async fn what_could_not_be_removed_is_not_called_removed_by_the_next_attempt() {
        let base = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let config = DockerLocalConfig::from_environment(&Environment::default());
        let config = DockerLocalConfig { runtime_dir: base.path().join("r"), ..config };
        let mut held = HeldContainer::new(&config, &LeaseId::new());
        held.lock = held.dir.take_lock().await.unwrap();
        // Something that cannot be removed as a directory.
        let path = held.dir.lock().with_extension("");
        std::fs::write(&path, "").unwrap();
        for _ in 0..2 {
            assert_eq!(held.forget(&config).await.unwrap_err().kind(), ErrorKind::ReleaseUnconfirmed);
        }
        std::fs::remove_file(&path).unwrap();
        held.forget(&config).await.unwrap();
        assert!(!config.runtime_dir.join("docker").exists());
    }
}
