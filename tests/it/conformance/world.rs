//! [`World`]: a fake cloud, a home with a journal, and a clock that can be moved.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lian_build::custody::{Custodian, HeldLease, Sweep, Swept, Timing, sweep};
use lian_build::error::Result;
use lian_build::ids::LeaseId;
use lian_build::lease::{Holder, Journal, LeaseRequest, OwnerId, Recorded};
use tempfile::TempDir;

use crate::support::{FakeCloud, FakeProvider, ManualClock, request};

/// Whose the runners of a world are, if nothing else is said.
pub(crate) const PROJECT: &str = "project";

/// A fake cloud, a home with a journal, and a clock that can be moved.
pub(crate) struct World {
    pub(crate) cloud: Arc<FakeCloud>,
    pub(crate) provider: FakeProvider,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) timing: Timing,
    pub(crate) home: Home,
}

/// A state directory: what a CI job throws away.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::new(self.0.path())
    }

    /// What is on record, which all can be read.
    pub(crate) fn records(&self) -> Vec<Recorded> {
        let read = self.journal().read().unwrap();
        assert!(read.1.is_empty(), "{read:?}");
        read.0
    }

    /// The state that a lease has on record.
    pub(crate) fn state_of(&self, lease: &LeaseId) -> Option<&'static str> {
        let records = self.records();
        records.iter().find(|found| found.record.labels.lease_id == *lease).map(|found| found.record.state.name())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let cloud = Arc::<FakeCloud>::default();
        Self {
            provider: FakeProvider::new(&cloud),
            cloud,
            clock: Arc::new(ManualClock::at(Timestamp::now())),
            // Long enough for retries, short enough for a test of what fails for good.
            timing: Timing { release_limit: Duration::from_secs(3), ..Timing::default() },
            home: Home::new(),
        }
    }

    pub(crate) fn custodian(&self) -> Custodian {
        let provider = Arc::new(self.provider.clone());
        Custodian::without_reaper(provider, self.home.journal(), self.clock.clone(), self.timing)
    }

    /// A request of the project, by this living process.
    pub(crate) fn request(&self) -> LeaseRequest {
        self.request_of(PROJECT)
    }

    pub(crate) fn request_of(&self, owner: &str) -> LeaseRequest {
        use lian_build::clock::Clock as _;
        request(owner, 1.0, self.clock.now())
    }

    /// A lease on record, asked for nothing yet.
    pub(crate) async fn begin(&self, request: &LeaseRequest) -> HeldLease {
        self.custodian().begin(request.clone()).await.unwrap()
    }

    /// A server that a job left which was lost with its home: in the cloud, and on no record.
    pub(crate) fn leave(&self, request: &LeaseRequest) {
        self.cloud.plant(request.lease_id.as_str(), request.labels().to_map());
    }

    /// A sweep of the project's, from this home.
    pub(crate) async fn sweep(&self) -> Result<Vec<Swept>> {
        self.sweep_from(&self.home, PROJECT, false).await
    }

    pub(crate) async fn sweep_from(&self, home: &Home, owner: &str, dry_run: bool) -> Result<Vec<Swept>> {
        let swept = self.sweep_whole(home, owner, dry_run).await?;
        swept.tidied.map(|()| swept.runners)
    }

    pub(crate) async fn sweep_whole(&self, home: &Home, owner: &str, dry_run: bool) -> Result<Sweep> {
        let owner = OwnerId::derive(owner);
        sweep(&self.provider, &home.journal(), &owner, self.clock.as_ref(), self.timing, dry_run).await
    }
}

/// A process of this machine that has ended, by the name that labels give it.
pub(crate) fn dead_holder() -> Holder {
    use std::process::Stdio;
    #[expect(clippy::disallowed_methods, reason = "any process will do")]
    let mut child = std::process::Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let holder = Holder::of(child.id()).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    holder
}

/// A process of another machine.
pub(crate) fn unknown_holder() -> Holder {
    "0123456789ab.f000000a.4711.99".parse().unwrap()
}
