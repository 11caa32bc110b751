//! The reaper: whatever kills a build, what it had leased goes within seconds, and so does the reaper.

use std::path::{Path, PathBuf};

use lian_build::lease::{Holder, HolderState, Journal, LeaseRecord};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Finished, Gate, Leftovers, Running, Sandbox};

/// What the endless step prints; its command does not show it.
const RUNS: &str = " step 2 runs";

/// A build whose step runs until it is killed, under `wrapper`.
fn endless_build_under<'a>(sandbox: &'a Sandbox, wrapper: &[&str]) -> Running<'a> {
    sandbox.dockerfile_on_base("RUN echo step $((1 + 1)) runs; sleep 600");
    let made = sandbox.command();
    let mut command = wrapped(&made, wrapper);
    command.arg("build").arg(sandbox.context()).args(["--progress=plain", "--format=json"]);
    let mut running = sandbox.start(&mut command);
    running.wait_for(RUNS);
    running
}

#[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
fn wrapped(made: &std::process::Command, wrapper: &[&str]) -> std::process::Command {
    let words = wrapper.iter().map(|word| (*word).into()).chain([made.get_program().to_owned()]);
    let words: Vec<std::ffi::OsString> = words.collect();
    let mut command = std::process::Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .envs(made.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(made.get_current_dir().unwrap())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

fn endless_build(sandbox: &Sandbox) -> Running<'_> {
    endless_build_under(sandbox, &[])
}

/// The one lease on record.
fn recorded(sandbox: &Sandbox) -> LeaseRecord {
    let (mut records, unreadable) = Journal::new(&sandbox.state()).read().unwrap();
    assert!(unreadable.is_empty() && records.len() == 1, "{records:?} {unreadable:?}");
    let recorded = records.remove(0);
    assert!(recorded.held);
    recorded.record
}

/// What the lease, the run's reaper and the test's own world may have left.
fn leftovers(sandbox: &Sandbox, record: &LeaseRecord) -> Vec<Leftovers> {
    let dirs =
        ["/run/lian-build".into(), sandbox.path().join("cache/lian-build/leases"), sandbox.state().join("leases")];
    vec![
        Leftovers::of(record.labels.lease_id.as_str(), dirs),
        Leftovers::of(record.labels.run_id.to_string(), []),
        Leftovers::of(sandbox.path().to_string_lossy(), [sandbox.path().join("tmp")]),
    ]
}

fn is_alive(holder: Option<&Holder>) -> bool {
    holder.is_some_and(|holder| holder.state() == HolderState::Alive)
}

fn kill(pid: u32) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
}

#[test]
fn a_build_that_is_killed_leaves_nothing() {
    let sandbox = Sandbox::new();
    let running = endless_build(&sandbox);
    let record = recorded(&sandbox);
    assert!(is_alive(record.reaper.as_ref()) && is_alive(record.labels.holder.as_ref()));
    assert_ne!(record.reaper, record.labels.holder);
    let left = leftovers(&sandbox, &record);
    assert!(left.iter().all(|left| !left.find().is_empty()));
    running.signal(Signal::KILL);
    left.iter().for_each(Leftovers::assert_none_soon);
    // Nor does it hold the caller's pipes: this reads them to their end.
    assert_eq!(running.wait_unchecked().code, -1);
}

/// The process ids of a session, of a process group.
fn members(id: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        if fields.get(2..4).is_some_and(|ids| ids.contains(&id.to_string().as_str())) {
            found.push(pid);
        }
    }
    found
}

#[test]
fn a_reaper_outlives_the_process_group_and_the_session_of_its_build() {
    let sandbox = Sandbox::new();
    // A session of its own, as that of a terminal that is closed.
    let running = endless_build_under(&sandbox, &["setsid"]);
    let record = recorded(&sandbox);
    let reaper = record.reaper.clone().unwrap();
    let session = members(running.child.id());
    assert!(session.contains(&running.child.id()) && !session.contains(&reaper.pid()), "{session:?}");
    session.into_iter().for_each(kill);
    leftovers(&sandbox, &record).iter().for_each(Leftovers::assert_none_soon);
    assert_eq!(running.wait_unchecked().code, -1);
}

#[test]
fn what_ends_other_processes_does_not_end_the_reaper() {
    let sandbox = Sandbox::new();
    let running = endless_build(&sandbox);
    let record = recorded(&sandbox);
    let reaper = record.reaper.clone().unwrap();
    let pid = Pid::from_raw(reaper.pid().cast_signed()).unwrap();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::PIPE, Signal::TERM] {
        kill_process(pid, signal).unwrap();
    }
    running.signal(Signal::KILL);
    leftovers(&sandbox, &record).iter().for_each(Leftovers::assert_none_soon);
    running.wait_unchecked();
}

#[test]
fn a_home_that_is_deleted_hides_nothing_from_the_reaper() {
    let sandbox = Sandbox::new();
    let running = endless_build(&sandbox);
    let record = recorded(&sandbox);
    let left = leftovers(&sandbox, &record);
    for name in ["home", "state", "config"] {
        std::fs::remove_dir_all(sandbox.path().join(name)).unwrap();
    }
    running.signal(Signal::KILL);
    left.iter().for_each(Leftovers::assert_none_soon);
    running.wait_unchecked();
    assert!(!sandbox.path().join("state").exists());
}

#[test]
fn a_reaper_that_is_killed_costs_the_build_nothing() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN echo step $((1 + 1)) runs; {}", gate.wait()));
    let mut running = sandbox.start(&mut sandbox.build_command());
    running.wait_for(RUNS);
    let reaper = recorded(&sandbox).reaper.unwrap();
    kill(reaper.pid());
    gate.open();
    assert_eq!(running.wait().assert_code(0).envelope()["attempts"][0]["released"], true);
}

/// A state directory on a small file system of its own, unmounted at the end.
struct SmallState(tempfile::TempDir);

impl SmallState {
    fn new(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (flags, options) = match options.strip_prefix("ro,") {
            Some(options) => (rustix::mount::MountFlags::RDONLY, options),
            None => (rustix::mount::MountFlags::empty(), options),
        };
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount("none", dir.path(), "tmpfs", flags, Some(options.as_c_str())).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.path().join("ballast")).unwrap();
        for size in [4096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }
}

impl Drop for SmallState {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

fn build_with_state(sandbox: &Sandbox, state: &Path) -> std::process::Command {
    let mut command = sandbox.command();
    command.env("XDG_STATE_HOME", state).arg("build").arg(sandbox.context());
    command.args(["--progress=plain", "--format=json"]);
    command
}

/// It was refused before anything was asked for.
fn assert_refused(finished: &Finished, why: &str) {
    let envelope = finished.assert_code(5).envelope();
    assert_eq!((&envelope["error"]["kind"], &envelope["attempts"]), (&"state".into(), &serde_json::json!([])));
    let message = envelope["error"]["message"].as_str().unwrap();
    assert!(message.contains("nothing is leased") && message.contains(why), "{message}");
}

#[test]
fn a_state_directory_that_cannot_be_written_means_that_nothing_is_leased() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let read_only = SmallState::new("ro,size=64k");
    let finished = sandbox.start(&mut build_with_state(&sandbox, read_only.path())).wait();
    assert_refused(&finished, "Read-only file system");
    let full = SmallState::new("size=64k");
    std::fs::create_dir_all(full.path().join("lian-build/leases")).unwrap();
    full.fill();
    let finished = sandbox.start(&mut build_with_state(&sandbox, full.path())).wait();
    assert_refused(&finished, "No space left on device");
    let left: Vec<PathBuf> =
        full.path().join("lian-build/leases").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [""; 0].map(PathBuf::from));
}

#[test]
fn a_state_directory_that_fills_up_costs_a_warning() {
    let sandbox = Sandbox::new();
    let (gate, state) = (Gate::new(), SmallState::new("size=4m"));
    sandbox.dockerfile_on_base(&format!("RUN echo step $((1 + 1)) runs; {}", gate.wait()));
    let mut running = sandbox.start(&mut build_with_state(&sandbox, state.path()));
    running.wait_for(RUNS);
    state.fill();
    gate.open();
    let envelope = running.wait().assert_code(0).envelope();
    assert_eq!(envelope["attempts"][0]["released"], true);
    let warnings = envelope["warnings"].to_string();
    assert!(warnings.contains("record could not be kept up to date") && warnings.contains("No space"), "{warnings}");
}
