//! [`Site`]: a machine's `/run` of its own with other people's things on it, where commands of a project run and die.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lian_build::ids::LeaseId;
use rustix::process::Signal;
use tempfile::TempDir;

use super::decoys::Decoys;
use super::places::Passes;
use super::provider::Provider;
use super::way::{in_namespace, namespace_of, signal_all};
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
    pub(super) provider: Provider,
    decoys: Option<Decoys>,
}

/// A build that runs, or has been killed.
pub(super) struct Victim {
    pub(super) child: Child,
    pub(super) home: Sandbox,
    /// The mount namespace of the command, and of all it starts but the runner.
    pub(super) namespace: u64,
    /// Keeps the namespace's number from being another's as soon as all its processes are gone.
    _namespace: Option<File>,
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
        let mut site = Self { dir, project, broken, provider, decoys: None };
        site.decoys = Some(Decoys::plant(&site));
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
    #[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
    pub(super) fn command(&self, home: &Sandbox, owner: &str) -> Command {
        let plain = home.command();
        let mut command = Command::new("unshare");
        command
            .env_clear()
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("LIAN_OWNER", owner)
            .env("LIAN_LOCAL_CACHE_GB", "0")
            .envs(self.provider.environment())
            .args(["--mount", "--propagation", "private", "--", "sh", "-c", WITH_RUN])
            .arg(self.run_dir())
            .arg(plain.get_program())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The arguments of a build of the project.
    pub(super) fn build_arguments(&self) -> Vec<String> {
        let context = self.project.context().to_string_lossy().into_owned();
        let words = ["build", "--progress=plain", "--format=json", "--provider", self.provider.name()];
        words.into_iter().map(str::to_owned).chain([context]).collect()
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
            Passes::AnyBuild | Passes::AnyContainer => command.args(self.build_arguments()),
            Passes::KeptFailure => {
                let words = ["build", "--progress=plain", "--provider", self.provider.name(), "--on-failure=keep=10m"];
                command.args(words).arg(self.broken.context())
            }
        };
        let mut victim = Victim::start(command.env("LIAN_FAILPOINT", format!("stop@{place}")), home);
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

    /// Releases a runner by its name, from this home.
    #[track_caller]
    pub(super) fn release(&self, home: &Sandbox, lease: &LeaseId) {
        let words = ["runners", "release", lease.as_str(), "--provider", self.provider.name(), "--format=json"];
        self.run(home, &words).assert_code(0);
    }

    /// The leases that there is any trace of, on record in `home` or on the machine, but for those of others.
    pub(super) fn leases(&self, home: &Sandbox) -> Vec<LeaseId> {
        let mut found = names_in(&home.state().join("leases"));
        found.extend(names_in(&self.runtime_dir()));
        found.extend(names_in(&self.runtime_dir().join("docker")));
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
            let dirs = [
                self.runtime_dir(),
                self.runtime_dir().join("budget"),
                self.runtime_dir().join("docker"),
                cache.join("leases"),
            ];
            left.extend(Leftovers::of(lease.as_str(), dirs).find());
            left.extend(mounts_of(lease));
            left.extend(self.provider.traces(lease));
        }
        left.extend(Leftovers::of(victim.home.path().to_string_lossy(), []).find());
        let temporary = std::fs::read_dir(victim.home.path().join("tmp")).into_iter().flatten().flatten();
        left.extend(temporary.map(|entry| format!("temporary {}", entry.path().display())));
        for pid in in_namespace(victim.namespace) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            left.push(format!("process {pid} of the command: {command}"));
        }
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

impl Drop for Victim {
    /// Only a test that fails comes here with something alive.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            signal_all(&in_namespace(self.namespace), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Victim {
    /// Starts a command made by [`Site::command`].
    pub(super) fn start(command: &mut Command, home: Sandbox) -> Self {
        let child = command.spawn().unwrap();
        let mut victim = Self { child, home, namespace: 0, _namespace: None };
        let own = namespace_of(i32::try_from(std::process::id()).unwrap());
        // The first thing it does.
        loop {
            match namespace_of(victim.pid()) {
                namespace if namespace == own => std::thread::yield_now(),
                Some(namespace) => {
                    victim.namespace = namespace;
                    victim._namespace = Some(File::open(format!("/proc/{}/ns/mnt", victim.pid())).unwrap());
                    return victim;
                }
                None => panic!("it ended at once: {:?}", victim.child.wait()),
            }
        }
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Where a lease stands on record; `none` when nothing is.
    pub(super) fn state(&self) -> &'static str {
        let (records, _) = lian_build::lease::Journal::new(&self.home.state()).read().unwrap();
        records.first().map_or("none", |found| found.record.state.name())
    }

    /// What is on record in its home.
    pub(super) fn records(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.home.state().join("leases")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Deletes the home with everything that is in it; temporary files are the machine's.
    pub(super) fn delete_home(&self) {
        for name in ["home", "state", "cache", "config"] {
            std::fs::remove_dir_all(self.home.path().join(name)).unwrap();
        }
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
