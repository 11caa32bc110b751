//! [`Site`]: a machine's `/run` of its own with other people's things on it, where commands of a project run and die.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lian_build::ids::LeaseId;
use tempfile::TempDir;

use super::decoys::Decoys;
use super::places::Passes;
use super::provider::Provider;
pub(super) use super::victim::Victim;
use super::way::in_namespace;
use crate::support::{Finished, Leftovers, Sandbox};

/// Whose the killed builds are.
pub(super) const PROJECT: &str = "the-campaign";

/// Gives the command after it this directory as its `/run`.
const WITH_RUN: &str = "mount --bind \"$0\" /run && exec \"$@\"";

/// A machine's `/run` of its own. All commands of a site share it; nothing outside a test does, so no other test's sweep
/// cleans up what this one looks for.
pub(super) struct Site {
    dir: TempDir,
    /// What is built; it outlives the homes.
    project: Sandbox,
    /// What cannot be built.
    broken: Sandbox,
    /// A file with the tiers of a cloud.
    tiers: PathBuf,
    pub(super) provider: Provider,
    decoys: Option<Decoys>,
}

impl Site {
    pub(super) fn new(provider: Provider) -> Self {
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let project = Sandbox::new();
        // Long enough to be hit in the middle of a step.
        project.dockerfile_on_base("RUN sleep 0.3 && echo built >/proof");
        let broken = Sandbox::new();
        broken.dockerfile_on_base("RUN false");
        let tiers = project.tiers(&[(super::cloud::SIZE, 4.0)]);
        let mut site = Self { dir, project, broken, tiers, provider, decoys: None };
        site.decoys = Some(Decoys::plant(&site));
        if let Some(cloud) = site.provider.cloud() {
            cloud.begins(&site.plan());
        }
        site
    }

    /// What commands see as `/run`.
    pub(super) fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Where runners of this machine are recorded.
    pub(super) fn runtime_dir(&self) -> PathBuf {
        self.run_dir().join("lian-build")
    }

    /// A command line of the program, at home in `home`, owned by `owner`.
    pub(super) fn command(&self, home: &Sandbox, owner: &str) -> Command {
        self.command_at(&self.run_dir(), &[], home, owner)
    }

    /// The same on another machine: one with another `/run`, where no process of this one is to be seen.
    fn command_elsewhere(&self, run_dir: &Path, home: &Sandbox) -> Command {
        self.command_at(run_dir, &["--pid", "--fork", "--mount-proc"], home, PROJECT)
    }

    #[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
    fn command_at(&self, run_dir: &Path, namespaces: &[&str], home: &Sandbox, owner: &str) -> Command {
        let plain = home.command();
        let mut command = Command::new("unshare");
        command
            .env_clear()
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("LIAN_OWNER", owner)
            .env("LIAN_LOCAL_CACHE_GB", "0")
            .env("LIAN_FAILPOINT", self.failpoints(None))
            .envs(self.provider.environment())
            .args(["--mount", "--propagation", "private"])
            .args(namespaces)
            .args(["--", "sh", "-c", WITH_RUN])
            .arg(run_dir)
            .arg(plain.get_program())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What commands do otherwise than a user's, and where one of them stands still.
    pub(super) fn failpoints(&self, stop_at: Option<&str>) -> String {
        let stop = stop_at.map(|place| format!("stop@{place}"));
        stop.into_iter().chain(self.provider.failpoints()).collect::<Vec<_>>().join(",")
    }

    /// The arguments of a build of this directory.
    pub(super) fn arguments_to_build(&self, context: &Path) -> Vec<String> {
        let words = ["build", "--progress=plain", "--format=json"].map(str::to_owned);
        let context = [context.to_string_lossy().into_owned()];
        words.into_iter().chain(self.provider.arguments(&self.tiers)).chain(context).collect()
    }

    /// The arguments of a build of the project.
    fn build_arguments(&self) -> Vec<String> {
        self.arguments_to_build(&self.project.context())
    }

    /// Starts a build in a new home.
    pub(super) fn start(&self) -> Victim {
        let home = Sandbox::new();
        Victim::start(self.command(&home, PROJECT).args(self.build_arguments()), home)
    }

    /// Starts a build in a new home, and yields it standing still at this place.
    pub(super) fn start_until(&self, place: &str, passes: Passes) -> Victim {
        let home = Sandbox::new();
        let mut command = self.command(&home, PROJECT);
        match passes {
            Passes::KeptFailure => {
                command.args(self.arguments_to_build(&self.broken.context())).arg("--on-failure=keep=10m")
            }
            _ => command.args(self.build_arguments()),
        };
        let mut victim = Victim::start(command.env("LIAN_FAILPOINT", self.failpoints(Some(place))), home);
        victim.wait_for(&format!("failpoint: stopped at {place}"));
        victim
    }

    /// Runs a command line of the project to its end.
    fn run(&self, home: &Sandbox, arguments: &[&str]) -> Finished {
        let mut command = self.command(home, PROJECT);
        home.start(command.args(arguments)).wait_unchecked()
    }

    /// Builds the project to its end.
    #[track_caller]
    pub(super) fn build(&self, home: &Sandbox) {
        let arguments = self.build_arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.run(home, &arguments).assert_code(0);
    }

    /// Removes what nobody needs any more, from this home.
    #[track_caller]
    pub(super) fn gc(&self, home: &Sandbox) {
        self.run(home, &["runners", "gc", "--provider", self.provider.name(), "--format=json"]).assert_code(0);
    }

    /// The same from an empty home on another machine.
    #[track_caller]
    pub(super) fn gc_elsewhere(&self) {
        let (home, run_dir) = (Sandbox::new(), tempfile::tempdir().unwrap());
        let mut command = self.command_elsewhere(run_dir.path(), &home);
        command.args(["runners", "gc", "--provider", self.provider.name(), "--format=json"]);
        home.start(&mut command).wait_unchecked().assert_code(0);
    }

    /// What this machine has of these leases is lost with it.
    pub(super) fn lose_machine(&self, leases: &[LeaseId]) {
        for entry in self.lease_dirs().iter().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if leases.iter().any(|lease| name.starts_with(lease.as_str())) {
                let path = entry.path();
                if path.is_dir() {
                    std::fs::remove_dir_all(path).unwrap()
                } else {
                    std::fs::remove_file(path).unwrap()
                };
            }
        }
    }

    /// What a build of the project promises.
    fn plan(&self) -> serde_json::Value {
        let home = Sandbox::new();
        let mut arguments = self.build_arguments();
        "plan".clone_into(&mut arguments[0]);
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|word| !word.starts_with("--progress")).collect();
        let planned = self.run(&home, &arguments);
        planned.assert_code(0);
        serde_json::from_str(&planned.stdout).unwrap()
    }

    /// Releases a runner by its name, from this home.
    #[track_caller]
    pub(super) fn release(&self, home: &Sandbox, lease: &LeaseId) {
        let words = ["runners", "release", lease.as_str(), "--provider", self.provider.name(), "--format=json"];
        self.run(home, &words).assert_code(0);
    }

    /// Where this machine has files of leases.
    pub(super) fn lease_dirs(&self) -> [PathBuf; 5] {
        let dir = self.runtime_dir();
        [dir.join("budget"), dir.join("docker"), dir.join("hcloud"), dir.join("proxmox"), dir]
    }

    /// The leases that there is any trace of, on record in `home` or on the machine, but for those of others.
    pub(super) fn leases(&self, home: &Sandbox) -> Vec<LeaseId> {
        let mut found = names_in(&home.state().join("leases"));
        found.extend(self.lease_dirs().iter().flat_map(|dir| names_in(dir)));
        let decoys = self.decoys.as_ref().map(Decoys::lease);
        found.retain(|lease| Some(lease) != decoys);
        found.sort();
        found.dedup();
        found
    }

    /// All that is left of the leases and of a killed command, one line each; records in its home are asked for apart.
    pub(super) fn left(&self, victim: &Victim, leases: &[LeaseId]) -> Vec<String> {
        let mut left = Vec::new();
        let cache = victim.home.path().join("cache/lian-build");
        for lease in leases {
            let dirs = self.lease_dirs().into_iter().chain([cache.join("leases")]);
            left.extend(Leftovers::of(lease.as_str(), dirs).find());
            left.extend(mounts_of(lease));
            left.extend(self.provider.traces(lease));
        }
        left.extend(self.provider.cloud().map(|cloud| cloud.left()).unwrap_or_default());
        left.extend(Leftovers::of(victim.home.path().to_string_lossy(), []).find());
        let temporary = std::fs::read_dir(victim.home.path().join("tmp")).into_iter().flatten().flatten();
        left.extend(temporary.map(|entry| format!("temporary {}", entry.path().display())));
        for pid in in_namespace(victim.namespace) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            left.push(format!("process {pid} of the command: {command}"));
        }
        // What is found by its lease and as something that nobody else has is the same.
        left.sort();
        left.dedup();
        left
    }

    /// Nothing of anybody else was touched, and nothing else of anybody is on the machine.
    #[track_caller]
    pub(super) fn assert_others_untouched(&self) {
        self.decoys.as_ref().unwrap().assert_untouched(self);
    }

    /// Takes away what stands for other people's things, and looks that the machine is as it was.
    pub(super) fn close(mut self) {
        if let Some(decoys) = self.decoys.take() {
            decoys.uproot(&self);
        }
        // The decoys alone may have kept it.
        let _ = std::fs::remove_dir(self.runtime_dir());
        assert!(!self.runtime_dir().exists(), "{:?}", Leftovers::of("", [self.runtime_dir()]).find());
    }
}

/// The leases that files of this directory are named by.
fn names_in(dir: &Path) -> Vec<LeaseId> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.split('.').next()?.parse().ok()).collect()
}

/// Mounts of a lease in any namespace there is.
fn mounts_of(lease: &LeaseId) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let table = std::fs::read(entry.path().join("mountinfo")).unwrap_or_default();
        if memchr::memmem::find(&table, lease.as_str().as_bytes()).is_some() {
            found.push(format!("mount of process {}", entry.path().display()));
        }
    }
    found
}
