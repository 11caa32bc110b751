//! [`Budget`]: the memory of this machine, shared by all local builds.
//!
//! Each lease has a file with what it wants, locked while its process lives, so a killed build gives its share back by
//! itself. A runner that outlives its process has its memory all the same: there the file says by what the runner is seen,
//! and counts for as long as it is. Nobody need take such a share up again, and whoever removes the runner gives it back.
//! One short lock orders who looks and takes. Lease ids sort by time: the oldest that waits is served first.

use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::runner_sign::RunnerSign;
use super::runtime_dir::check_runtime_dir;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::{LeaseId, Workspace};
use crate::lock_file::LockFile;
use crate::plan::GB;
use crate::private_dir::create_private;
use crate::provider::Watch;

/// How often a waiting build looks again.
const POLL: Duration = Duration::from_millis(200);

/// How often the short lock is tried; it is held for microseconds.
const LOCK_POLL: Duration = Duration::from_millis(2);

/// Where it is in the runtime directory, and the name of the short lock in it.
const DIR: &str = "budget";
const ORDER: &str = "order";

/// How often the directory is made again that other builds remove while it is empty.
const MAKE_ATTEMPTS: u32 = 1000;

/// The memory all local builds share.
#[derive(Debug, Clone)]
pub(in crate::provider) struct Budget {
    runtime_dir: PathBuf,
    dir: PathBuf,
    total: u64,
}

/// One lease's share. Dropping it gives the share back, or leaves it to the runner that is still there.
#[derive(Debug)]
pub(in crate::provider) struct Reservation {
    lock: Option<LockFile>,
    claim: Claim,
    runtime_dir: PathBuf,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            if !self.claim.has_runner() {
                lock.remove();
            }
            tidy(&self.runtime_dir);
        }
    }
}

/// What a lease's file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    version: u32,
    bytes: u64,
    workspace: Workspace,
    granted: bool,
    /// Where the runner may outlive the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runner: Option<RunnerSign>,
}

impl Claim {
    /// True while its runner is seen, whether its process lives or not.
    fn has_runner(&self) -> bool {
        self.runner.as_ref().is_some_and(RunnerSign::is_seen)
    }
}

impl Budget {
    /// The budget of `total` bytes that is kept in `runtime_dir`.
    pub(in crate::provider) fn new(runtime_dir: &Path, total: u64) -> Self {
        Self { runtime_dir: runtime_dir.to_owned(), dir: runtime_dir.join(DIR), total }
    }

    /// The budget of another machine's memory, one for each Docker daemon.
    pub(in crate::provider) fn of_daemon(runtime_dir: &Path, daemon_id: &str, total: u64) -> Self {
        let digest = sha2::Sha256::digest(daemon_id.as_bytes());
        let mark = digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self { runtime_dir: runtime_dir.to_owned(), dir: runtime_dir.join(format!("{DIR}-{mark}")), total }
    }

    /// Takes `bytes`, waiting for other builds to end, at most for `limit`.
    ///
    /// # Errors
    /// [`ErrorKind::NoCapacity`] when the wait is over.
    pub(in crate::provider) async fn reserve(
        &self,
        lease: &LeaseId,
        workspace: &Workspace,
        bytes: u64,
        limit: Duration,
        watch: Watch<'_>,
    ) -> Result<Reservation> {
        let claim = Claim { version: 1, bytes, workspace: workspace.clone(), granted: false, runner: None };
        let mut reservation = self.claim(lease, claim).await?;
        let mut reason = String::new();
        let queue = async {
            loop {
                let refusal = {
                    let _order = self.order().await?;
                    // What a runner of this very lease has needs no waiting for: an earlier process made it.
                    let has_it = reservation.claim.has_runner();
                    let refusal = if has_it { None } else { self.refusal(lease, bytes)? };
                    reservation.claim.granted = refusal.is_none();
                    reservation.write()?;
                    refusal
                };
                let Some(refusal) = refusal else { return Ok(()) };
                if refusal != reason {
                    watch.waiting(&refusal);
                    reason = refusal;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let queued = tokio::time::timeout(limit, queue).await;
        match queued {
            Ok(result) => result.map(|()| reservation),
            Err(_) => Err(Error::new(ErrorKind::NoCapacity, format!("waited {} s: {reason}", limit.as_secs()))
                .hint("wait longer with --queue-timeout, or build on a smaller runner type")),
        }
    }

    /// Says by what the runner is seen: from now on the share is given back once the runner is gone, and not before.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when it cannot be written.
    pub(in crate::provider) async fn outlived_by(&self, share: &mut Reservation, runner: RunnerSign) -> Result<()> {
        let _order = self.order().await?;
        share.claim.runner = Some(runner);
        share.write()
    }

    /// Our own file. Made under the short lock: who looks for claims of the dead would lock a fresh one in between.
    async fn claim(&self, lease: &LeaseId, mut claim: Claim) -> Result<Reservation> {
        let _order = self.order().await?;
        // With the lock in it, the directory stays where it is, and whose it was before does not matter.
        check_runtime_dir(&self.runtime_dir)?;
        let path = self.dir.join(lease.as_str());
        let lock = LockFile::try_take(&path)?.ok_or_else(|| {
            Error::new(ErrorKind::Provider, format!("lease `{lease}` is being acquired by another process"))
        })?;
        claim.runner = read(&path).and_then(|before| before.runner);
        Ok(Reservation { lock: Some(lock), claim, runtime_dir: self.runtime_dir.clone() })
    }

    /// The short lock under which claims are read and granted.
    async fn order(&self) -> Result<LockFile> {
        let path = self.dir.join(ORDER);
        let mut vanished = 0;
        loop {
            let taken = match create_private(&self.dir) {
                Ok(()) => LockFile::try_open(&path),
                Err(error) => Err(error),
            };
            match taken {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => tokio::time::sleep(LOCK_POLL).await,
                // The last lease of another build took the empty directory away in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && vanished < MAKE_ATTEMPTS => vanished += 1,
                Err(error) => {
                    return Err(error).context(ErrorKind::State, || format!("cannot lock `{}`", path.display()));
                }
            }
        }
    }

    /// Why `lease` has to wait; `None` when it need not. Removes the claims of the dead.
    fn refusal(&self, lease: &LeaseId, bytes: u64) -> Result<Option<String>> {
        let (mut used, mut holders, mut before) = (0_u64, Vec::new(), 0_usize);
        let entries = std::fs::read_dir(&self.dir)
            .context(ErrorKind::State, || format!("cannot read `{}`", self.dir.display()))?;
        for entry in entries.flatten() {
            let other = entry.file_name().to_str().and_then(|name| name.parse::<LeaseId>().ok());
            let Some(other) = other.filter(|other| other != lease) else { continue };
            if let Some(abandoned) = LockFile::try_take(&entry.path())? {
                match read(&entry.path()).filter(Claim::has_runner) {
                    Some(claim) => {
                        used = used.saturating_add(claim.bytes);
                        holders.push(claim.workspace.to_string());
                    }
                    None => abandoned.remove(),
                }
                continue;
            }
            // Locked but not written yet: it has not been granted anything.
            let Some(claim) = read(&entry.path()) else { continue };
            if claim.granted {
                used = used.saturating_add(claim.bytes);
                holders.push(claim.workspace.to_string());
            } else if other < *lease {
                before += 1;
            }
        }
        if before == 0 && used.saturating_add(bytes) <= self.total {
            return Ok(None);
        }
        holders.sort_unstable();
        holders.dedup();
        let mut text = format!(
            "{} GB of the machine's memory budget: {} of {} GB are leased by {}",
            gb(bytes),
            gb(used),
            gb(self.total),
            if holders.is_empty() { "nobody".to_owned() } else { holders.join(", ") }
        );
        if before > 0 {
            text.push_str(&format!("; {before} waited before"));
        }
        Ok(Some(text))
    }
}

impl Reservation {
    fn write(&self) -> Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let write = || -> std::io::Result<()> {
            let mut file = lock.file();
            let text = serde_json::to_string(&self.claim)?;
            file.rewind()?;
            // Never empty in between: killed there, what the runner has would be forgotten.
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)
        };
        write().context(ErrorKind::State, || "cannot write to the memory budget".to_owned())
    }
}

/// Removes the claims of the dead that have no runner, then the budgets and the runtime directory when the last lease is gone:
/// `rmdir` refuses while anything is in them. Who holds the short lock at this moment has a claim, or will have, and tidies after
/// it.
pub(in crate::provider) fn tidy(runtime_dir: &Path) {
    if !matches!(check_runtime_dir(runtime_dir), Ok(true)) {
        return;
    }
    for entry in std::fs::read_dir(runtime_dir).into_iter().flatten().flatten() {
        let dir = entry.path();
        let is_budget = entry.file_name().to_str().is_some_and(|name| name == DIR || is_of_daemon(name));
        if !is_budget || !dir.is_dir() {
            continue;
        }
        let Ok(Some(order)) = LockFile::try_take(&dir.join(ORDER)) else { continue };
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let is_claim = entry.file_name().to_str().is_some_and(|name| name.parse::<LeaseId>().is_ok());
            if is_claim
                && let Ok(Some(abandoned)) = LockFile::try_take(&entry.path())
                && !read(&entry.path()).is_some_and(|claim| claim.has_runner())
            {
                abandoned.remove();
            }
        }
        // Before the lock is given back: then whoever failed to get it has no claim in the directory any more.
        let _ = std::fs::remove_file(dir.join(ORDER));
        let _ = std::fs::remove_dir(&dir);
        drop(order);
    }
    let _ = std::fs::remove_dir(runtime_dir);
}

fn is_of_daemon(name: &str) -> bool {
    name.strip_prefix(DIR).is_some_and(|rest| rest.starts_with('-'))
}

fn read(path: &Path) -> Option<Claim> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Bytes as GB with one decimal, as far as it says something.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(in crate::provider) fn gb(bytes: u64) -> String {
    let text = format!("{:.1}", bytes as f64 / GB as f64);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    fn budget(dir: &Path, total: u64) -> Budget {
        Budget::new(&dir.join("run"), total)
    }

    fn name(text: &str) -> Workspace {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn what_is_given_back_can_be_taken() {
        let dir = tempfile::tempdir().unwrap();
        let budget = budget(dir.path(), 10 * GB);
        let first = budget.reserve(&LeaseId::new(), &name("one"), 8 * GB, SHORT, &|_: &str| ()).await.unwrap();
        let error = budget.reserve(&LeaseId::new(), &name("two"), 4 * GB, SHORT, &|_: &str| ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCapacity);
        assert!(error.to_string().contains("8 of 10 GB are leased by one"), "{error}");
        let small = budget.reserve(&LeaseId::new(), &name("two"), 2 * GB, SHORT, &|_: &str| ()).await;
        drop((first, small));
        budget.reserve(&LeaseId::new(), &name("two"), 10 * GB, SHORT, &|_: &str| ()).await.unwrap();
    }

    #[tokio::test]
    async fn another_machines_memory_is_another_budget_and_leaves_nothing_either() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let (here, there) = (Budget::new(&run, GB), Budget::of_daemon(&run, "ABCD", GB));
        let one = here.reserve(&LeaseId::new(), &name("one"), GB, SHORT, &|_: &str| ()).await.unwrap();
        let two = there.reserve(&LeaseId::new(), &name("two"), GB, SHORT, &|_: &str| ()).await.unwrap();
        let again = Budget::of_daemon(&run, "ABCD", GB);
        assert!(again.reserve(&LeaseId::new(), &name("three"), GB, SHORT, &|_: &str| ()).await.is_err());
        drop((one, two));
        assert!(!run.exists());
    }

    #[tokio::test]
    async fn a_waiting_build_says_what_for_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let budget = budget(dir.path(), 10 * GB);
        let first = Mutex::new(Some(
            budget.reserve(&LeaseId::new(), &name("one"), 8 * GB, SHORT, &|_: &str| ()).await.unwrap(),
        ));
        let said = Mutex::new(Vec::new());
        let waiting = |text: &str| {
            said.lock().unwrap().push(text.to_owned());
            first.lock().unwrap().take();
        };
        budget.reserve(&LeaseId::new(), &name("two"), 7 * GB / 2, LONG, &waiting).await.unwrap();
        assert_eq!(*said.lock().unwrap(), ["3.5 GB of the machine's memory budget: 8 of 10 GB are leased by one"]);
    }

    #[tokio::test]
    async fn a_small_build_does_not_overtake_one_that_waits() {
        let dir = tempfile::tempdir().unwrap();
        let budget = budget(dir.path(), 10 * GB);
        let running = budget.reserve(&LeaseId::new(), &name("one"), 8 * GB, SHORT, &|_: &str| ()).await.unwrap();
        let (older, younger) = (LeaseId::new(), LeaseId::new());
        let (big, small) = (name("big"), name("small"));
        let queued = tokio::sync::Notify::new();
        let said = |_: &str| queued.notify_one();
        let first = budget.reserve(&older, &big, 4 * GB, LONG, &said);
        let second = async {
            queued.notified().await;
            let error = budget.reserve(&younger, &small, GB, SHORT, &|_: &str| ()).await.unwrap_err();
            assert!(error.to_string().contains("1 waited before"), "{error}");
            drop(running);
        };
        let (first, ()) = tokio::join!(first, second);
        first.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn builds_that_start_together_do_not_take_each_other_for_dead() {
        let dir = tempfile::tempdir().unwrap();
        let builds: Vec<_> = (0..8)
            .map(|_| {
                let path = dir.path().to_owned();
                tokio::spawn(async move {
                    for _ in 0..40 {
                        let budget = budget(&path, 100 * GB);
                        drop(budget.reserve(&LeaseId::new(), &name("one"), GB, LONG, &|_: &str| ()).await.unwrap());
                    }
                })
            })
            .collect();
        for build in builds {
            build.await.unwrap();
        }
        // The last one leaves nothing.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_claim_of_a_dead_process_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let budget = budget(dir.path(), 10 * GB);
        let dead = LeaseId::new();
        let file = leave(&dir.path().join("run"), &dead, 10 * GB, None);
        let _mine = budget.reserve(&LeaseId::new(), &name("mine"), GB, SHORT, &|_: &str| ()).await.unwrap();
        assert!(!file.exists());
    }

    /// The claim of a process that was killed.
    fn leave(run: &Path, lease: &LeaseId, bytes: u64, runner: Option<RunnerSign>) -> PathBuf {
        let claim = Claim { version: 1, bytes, workspace: name("dead"), granted: true, runner };
        let file = run.join("budget").join(lease.as_str());
        super::super::runtime_dir::make_private(file.parent().unwrap()).unwrap();
        std::fs::write(&file, serde_json::to_string(&claim).unwrap()).unwrap();
        file
    }

    #[tokio::test]
    async fn a_runner_that_outlived_its_process_counts_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (run, budget) = (dir.path().join("run"), budget(dir.path(), 10 * GB));
        let runner = dir.path().join("runner");
        std::fs::create_dir(&runner).unwrap();
        let file = leave(&run, &LeaseId::new(), 8 * GB, Some(RunnerSign::Dir(runner.clone())));
        tidy(&run);
        let refused = budget.reserve(&LeaseId::new(), &name("mine"), 3 * GB, SHORT, &|_: &str| ()).await.unwrap_err();
        assert!(refused.to_string().contains("8 of 10 GB are leased by dead"), "{refused}");
        let _mine = budget.reserve(&LeaseId::new(), &name("mine"), 2 * GB, SHORT, &|_: &str| ()).await.unwrap();
        std::fs::remove_dir(&runner).unwrap();
        let _rest = budget.reserve(&LeaseId::new(), &name("mine"), 8 * GB, SHORT, &|_: &str| ()).await.unwrap();
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn a_share_is_left_to_the_runner_that_stands_when_its_process_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (run, budget) = (dir.path().join("run"), budget(dir.path(), 10 * GB));
        let (lease, runner) = (LeaseId::new(), dir.path().join("runner"));
        std::fs::create_dir(&runner).unwrap();
        let mut share = budget.reserve(&lease, &name("one"), 8 * GB, SHORT, &|_: &str| ()).await.unwrap();
        budget.outlived_by(&mut share, RunnerSign::Dir(runner.clone())).await.unwrap();
        drop(share);
        assert!(budget.reserve(&LeaseId::new(), &name("two"), 3 * GB, SHORT, &|_: &str| ()).await.is_err());
        // Whoever leases the same once more has it already, and a failure to do so does not give it back.
        drop(budget.reserve(&lease, &name("one"), 8 * GB, SHORT, &|_: &str| ()).await.unwrap());
        assert!(budget.reserve(&LeaseId::new(), &name("two"), 3 * GB, SHORT, &|_: &str| ()).await.is_err());
        std::fs::remove_dir(&runner).unwrap();
        tidy(&run);
        assert!(!run.exists());
    }

    #[tokio::test]
    async fn what_the_dead_left_goes_with_the_directories_and_the_living_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (run, budget) = (dir.path().join("run"), budget(dir.path(), 10 * GB));
        let alive = budget.reserve(&LeaseId::new(), &name("one"), GB, SHORT, &|_: &str| ()).await.unwrap();
        let dead = run.join("budget").join(LeaseId::new().as_str());
        std::fs::write(&dead, "").unwrap();
        tidy(&run);
        assert!(!dead.exists() && run.join("budget").exists());
        drop(alive);
        assert!(!run.exists());
    }
}
