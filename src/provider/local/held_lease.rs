//! [`HeldLease`]: what this process holds for one lease, from the first side effect to the verified release.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LocalConfig;
use super::buildkit_root::BuildkitRoot;
use super::cgroup::LeaseCgroup;
use super::keys;
use super::lease_dirs::{LeaseDirs, data_parent};
use super::record::Record;
use super::remains::Remains;
use super::runner::Runner;
use super::tools::{Launcher, Tools};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, Isolation, LeaseRequest, Made, MemoryLimit, RunnerPaths};
use crate::lock_file::LockFile;
use crate::provider::Watch;
use crate::provider::host::budget::{Budget, Reservation};
use crate::provider::host::fit::Fit;
use crate::provider::host::machine::{Machine, architecture};
use crate::provider::host::runtime_dir::{make_private, prepare_runtime_dir};

/// How long a lock of our own may be looked at by others when we want it.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// What this process holds for one lease. Each field is set before, or at once when, the thing exists, so a release
/// finds it however far the acquisition came.
#[derive(Debug)]
pub(super) struct HeldLease {
    dirs: LeaseDirs,
    locks: Vec<LockFile>,
    reservation: Option<Reservation>,
    cgroup: Option<LeaseCgroup>,
    root: Option<BuildkitRoot>,
    runner: Option<Runner>,
    rootlesskit: Option<PathBuf>,
    /// Set once the runner answers.
    pub(super) endpoint: Option<Endpoint>,
}

impl HeldLease {
    pub(super) fn new(config: &LocalConfig, lease: &LeaseId) -> Self {
        Self {
            dirs: LeaseDirs::new(config, lease),
            locks: Vec::new(),
            reservation: None,
            cgroup: None,
            root: None,
            runner: None,
            rootlesskit: None,
            endpoint: None,
        }
    }

    /// Makes the runner.
    pub(super) async fn acquire(
        &mut self,
        config: &LocalConfig,
        tools: &Tools,
        request: &LeaseRequest,
        watch: Watch<'_>,
    ) -> Result<Endpoint> {
        let machine = Machine::read(&config.cgroup_root)?;
        let total = config.memory_budget_bytes.unwrap_or_else(|| machine.budget_bytes());
        let fit = Fit::new(&request.tier, &machine, total, request.memory_is_explicit)?;
        prepare_runtime_dir(&config.runtime_dir)?;
        make_private(&data_parent(config))?;

        let budget = Budget::new(&config.runtime_dir, total);
        let (lease, limit) = (&request.lease_id, config.queue_timeout);
        self.reservation = Some(budget.reserve(lease, &request.workspace, fit.memory_bytes, limit, watch).await?);

        watch.waiting("a runner on this machine to start");
        for path in self.dirs.locks() {
            let lock = LockFile::take_within(&path, LOCK_LIMIT).await?.ok_or_else(|| {
                Error::new(ErrorKind::Provider, format!("lease `{lease}` is held by another process"))
            })?;
            self.locks.push(lock);
        }
        self.dirs.create()?;
        let (mut notes, mut warnings) = (fit.notes.clone(), fit.warnings.clone());
        notes.push("isolation is `none`: a build step that owns the runner owns this machine".to_owned());
        let rootless = tools.launcher.is_rootless();
        if let Launcher::Rootlesskit(path) = &tools.launcher {
            self.rootlesskit = Some(path.clone());
        }
        let memory = self.limit_memory(config, request, &fit, rootless).await?;
        // The record says whose it is, and a sweep finds it by its name.
        watch.created(&Made { remote_id: lease.to_string(), since: SystemClock.now(), price: None }).await;
        if let MemoryLimit::None { reason } = &memory {
            warnings.push(format!("the memory limit is not enforced: {reason}"));
        }
        let rootlesskit = self.rootlesskit.as_deref();
        let root = BuildkitRoot::take(config, &self.dirs, &request.workspace, &request.actor_id, rootlesskit).await?;
        notes.extend(root.note.clone());
        warnings.extend(root.warning.clone());
        let (buildkit_root, is_kept) = (root.path.clone(), root.is_kept());
        self.root = Some(root);
        fill_bin(tools, &self.dirs)?;
        let host_key = keys::make(tools, &self.dirs, &request.authorized_keys).await?;
        let to_join = self.cgroup.as_ref().map(LeaseCgroup::to_join).unwrap_or_default();
        Runner::start(tools, &self.dirs, &to_join, &mut self.runner).await?;
        if secrets_may_swap(&self.dirs) {
            warnings.push("this kernel may swap out the secrets' tmpfs, and this machine has swap".to_owned());
        }
        let endpoint = Endpoint {
            lease_id: lease.clone(),
            host: "127.0.0.1".to_owned(),
            port: self.runner.as_ref().map_or(0, |runner| runner.port),
            user: "root".to_owned(),
            host_key: host_key.0,
            identity_file: self.dirs.client_key(),
            session_dir: self.dirs.session(),
            paths: self.runner_paths(&buildkit_root)?,
            isolation: Isolation::None,
            shared: true,
            rootless,
            memory,
            effective_memory_bytes: fit.memory_bytes,
            effective_cpu: fit.cpu,
            cache_cap_bytes: is_kept.then_some(config.cache_cap_bytes),
            architecture: architecture().to_owned(),
            notes,
            warnings,
        };
        self.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// Makes the lease's cgroup, after the record that names it. What was made of one that failed goes at once, unless the
    /// kernel keeps it: then it goes with the release.
    async fn limit_memory(
        &mut self,
        config: &LocalConfig,
        request: &LeaseRequest,
        fit: &Fit,
        rootless: bool,
    ) -> Result<MemoryLimit> {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let planned = if rootless {
            Err("rootless BuildKit puts its steps into no cgroup of their own".to_owned())
        } else {
            LeaseCgroup::plan(&config.cgroup_root, &own, &request.lease_id)
        };
        self.cgroup = planned.as_ref().ok().cloned();
        let (data, cgroup) = (self.dirs.data.clone(), self.cgroup.clone());
        Record { version: 1, data, cgroup, labels: request.labels().to_map() }.write(&self.dirs)?;
        let cgroup = match planned {
            Ok(cgroup) => cgroup,
            Err(reason) => return Ok(MemoryLimit::None { reason }),
        };
        match cgroup.create(fit.memory_bytes, fit.build_bytes) {
            Ok(()) => Ok(cgroup.memory_limit(fit.build_bytes)),
            Err(error) => {
                cgroup.remove().await?;
                self.cgroup = None;
                Ok(MemoryLimit::None { reason: error.message() })
            }
        }
    }

    fn runner_paths(&self, buildkit_root: &Path) -> Result<RunnerPaths> {
        let dirs = &self.dirs;
        Ok(RunnerPaths {
            context: text(&dirs.context())?,
            extra_contexts: text(&dirs.extra_contexts())?,
            run: text(&dirs.run())?,
            buildkit_root: text(buildkit_root)?,
            output: text(&dirs.output())?,
            secrets: text(&dirs.secrets())?,
            bin: text(&dirs.bin())?,
        })
    }

    fn remains(&self) -> Remains {
        Remains { dirs: self.dirs.clone(), cgroup: self.cgroup.clone(), rootlesskit: self.rootlesskit.clone() }
    }

    /// False once the runner's processes have ended.
    pub(super) fn is_alive(&mut self) -> bool {
        self.runner.as_mut().is_some_and(Runner::is_alive)
    }

    /// Ends the runner and verifies that nothing is left. Safe to repeat after a failure.
    pub(super) async fn release(&mut self) -> Result<()> {
        self.endpoint = None;
        let ended = match &mut self.runner {
            Some(runner) => runner.end().await,
            None => Ok(()),
        };
        // Locks are ours from before the first directory on: without them there is nothing to remove.
        if self.locks.is_empty() {
            ended?;
        } else {
            self.remains().remove_after(ended).await?;
        }
        self.runner = None;
        if let Some(root) = self.root.take().filter(BuildkitRoot::is_kept) {
            // The next build that takes this cache tries again, and warns when it fails too.
            if let Err(error) = super::buildkit_root::clean(&root.path, self.rootlesskit.as_deref()).await {
                tracing::warn!(%error, "a step's files are left in a kept cache");
            }
        }
        self.locks.drain(..).for_each(LockFile::remove);
        self.reservation = None;
        Ok(())
    }
}

impl Drop for HeldLease {
    /// The last line of defence, for a panic on the way to the release. It blocks: what is left then stays left.
    fn drop(&mut self) {
        if self.locks.is_empty() {
            return;
        }
        self.runner = None;
        let (remains, locks) = (self.remains(), std::mem::take(&mut self.locks));
        // A thread with a runtime of its own: ours may be unwinding or gone.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context(ErrorKind::ReleaseUnconfirmed, || "cannot start a runtime".to_owned())?;
            runtime.block_on(remains.remove())?;
            locks.into_iter().for_each(LockFile::remove);
            Ok::<(), Error>(())
        })
        .join();
        if !matches!(removed, Ok(Ok(()))) {
            tracing::error!(?removed, "a local runner may be left; the next run removes it");
        }
    }
}

/// The runner's own programs by their plain names, before the machine's in its `PATH`.
fn fill_bin(tools: &Tools, dirs: &LeaseDirs) -> Result<()> {
    let bin = dirs.bin();
    let place = || format!("cannot fill `{}`", bin.display());
    for (name, target) in [("buildctl", &tools.buildctl), ("buildkitd", &tools.buildkitd)] {
        std::os::unix::fs::symlink(target, bin.join(name)).context(ErrorKind::State, place)?;
    }
    // The runtime's state would otherwise be in /run/runc, shared with the machine and left behind.
    let words = [text(&tools.oci_runtime)?, "--root".to_owned(), text(&dirs.run().join("oci"))?];
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", crate::remote::shell_line(&words));
    let wrapper = bin.join("runc");
    std::fs::write(&wrapper, script).context(ErrorKind::State, place)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&wrapper, mode).context(ErrorKind::State, place)
}

fn secrets_may_swap(dirs: &LeaseDirs) -> bool {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    dirs.runtime.join("secrets-may-swap").exists() && swaps.lines().count() > 1
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::State, format!("the path `{}` is not UTF-8", path.to_string_lossy()))
            .hint("set XDG_CACHE_HOME to a directory with a plain name")
    })
}
