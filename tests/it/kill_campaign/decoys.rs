//! [`Decoys`]: what belongs to others, and must look at the end as it did.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lian_build::ids::LeaseId;
use lian_build::lease::{LeaseRequest, OwnerId};

use super::site::{PROJECT, Site, Victim};
use crate::support::{Leftovers, Sandbox};

/// Something of somebody else's where the provider's runners are, gone when it is dropped.
pub(super) trait Foreign {
    /// It is as it was.
    fn assert_untouched(&self);
}

/// A lease of another owner's that another machine holds, and that stands through a whole campaign.
pub(super) fn lease_of_somebody_else() -> LeaseRequest {
    let mut other = crate::support::request("somebody-else", 4.0, jiff::Timestamp::now());
    other.holder = None;
    other.hard_deadline = other.created_at + jiff::SignedDuration::from_hours(24 * 30);
    other
}

/// The time budget of the other project's build, in minutes: it stands through a whole campaign, however far time is moved.
const LONG: &str = "{ schema_version = 1, time_budget_min = 1440 }\n";

/// What belongs to others.
pub(super) struct Decoys {
    /// A process whose arguments are full of our words.
    process: Child,
    /// Directories beside ours, with names much like them.
    directories: Vec<PathBuf>,
    /// Containers or machines, where the provider's runners are some.
    foreign: Vec<Box<dyn Foreign>>,
    /// Another project's build, that stands still with its lease.
    build: Victim,
    lease: LeaseId,
    /// What there is of that lease.
    traces: Vec<String>,
}

impl Decoys {
    #[expect(clippy::disallowed_methods, reason = "stands for somebody else's program")]
    pub(super) fn plant(site: &Site) -> Self {
        let process = Command::new("sh")
            .args(["-c", "read -r _", "lian-build", "buildkitd", "/run/lian-build/lb-00000000000000000000000000000001"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let directories = vec![
            site.run_dir().join("lian-build-of-ann"),
            site.runtime_dir().join("notes"),
            // Other campaigns may go on at the same time.
            PathBuf::from(format!("/sys/fs/cgroup/memory/lian-build-of-ann-{}", LeaseId::new())),
        ];
        for directory in &directories {
            std::fs::create_dir_all(directory).unwrap();
        }
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(site.runtime_dir(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let foreign = site.provider.foreign(OwnerId::derive(PROJECT).as_str());
        let home = Sandbox::new();
        home.dockerfile_on_base("RUN true").write(".build-spec.ncl", LONG);
        let mut command = site.command(&home, "another-project");
        command.args(site.arguments_to_build(&home.context())).env("LIAN_FAILPOINT", site.failpoints(Some("on-lease")));
        let mut build = Victim::start(&mut command, home);
        build.wait_for("failpoint: stopped at on-lease");
        let leases = site.leases(&build.home);
        let [lease] = leases.as_slice() else { panic!("not one lease: {leases:?}") };
        let mut decoys = Self { process, directories, foreign, build, lease: lease.clone(), traces: Vec::new() };
        decoys.traces = decoys.look(site);
        assert!(decoys.traces.len() > 2, "{:?}", decoys.traces);
        decoys
    }

    /// The other project's lease.
    pub(super) fn lease(&self) -> &LeaseId {
        &self.lease
    }

    fn look(&self, site: &Site) -> Vec<String> {
        let dirs = site.lease_dirs().into_iter().chain([self.build.home.path().join("cache/lian-build/leases")]);
        let mut seen = Leftovers::of(self.lease.as_str(), dirs).find();
        seen.extend(site.provider.look(&self.lease));
        // Of its processes the first ones: others come and go.
        seen.retain(|line| {
            !line.starts_with("process") || line.contains("/runner-init") || line.contains("/runner.sh")
        });
        seen
    }

    #[track_caller]
    pub(super) fn assert_untouched(&self, site: &Site) {
        let command = std::fs::read(format!("/proc/{}/cmdline", self.process.id())).unwrap_or_default();
        assert!(!command.is_empty(), "the foreign process was killed");
        for directory in &self.directories {
            assert!(directory.is_dir(), "`{}` was removed", directory.display());
        }
        self.foreign.iter().for_each(|foreign| foreign.assert_untouched());
        assert_eq!(self.look(site), self.traces, "another project's lease was touched");
    }

    /// Ends the other project's build, and takes all away.
    pub(super) fn uproot(mut self, site: &Site) {
        // It stands still, so it hears no signal. Its reaper does the rest.
        self.build.child.kill().unwrap();
        self.build.child.wait().unwrap();
        super::until_clean(site, &self.build, &[self.lease.clone()], || ());
    }
}

impl Drop for Decoys {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for directory in &self.directories {
            let _ = std::fs::remove_dir(directory);
        }
    }
}
