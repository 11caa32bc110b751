//! [`Sandbox`]: a caller's world for one test — home, state, cache, temporary files, a context — and the real command
//! run in it. Every run is checked for leftovers.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::own_run::OwnRun;
use super::{Leftovers, variable};

/// A caller's world for one test.
pub(crate) struct Sandbox {
    dir: TempDir,
    own_run: Option<OwnRun>,
}

/// A command that has ended.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that runs.
pub(crate) struct Running<'a> {
    pub(crate) child: Child,
    sandbox: &'a Sandbox,
}

impl Drop for Sandbox {
    /// A test that fails in the middle has not ended what it started here.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for process in Leftovers::of(self.path().to_string_lossy(), []).process_dirs() {
            let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        // Short: sockets are below it.
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        for name in ["home", "state", "cache", "config", "tmp", "context"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, own_run: None }
    }

    /// As on a machine of its own: runners of other tests are not seen there.
    pub(crate) fn on_own_machine() -> Self {
        let mut sandbox = Self::new();
        sandbox.own_run = Some(OwnRun::new());
        sandbox
    }

    /// Where runners have their directories.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.own_run.as_ref().map_or_else(|| PathBuf::from("/run/lian-build"), OwnRun::runtime_dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The context directory.
    pub(crate) fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// Where lian-build keeps its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state/lian-build")
    }

    /// Writes a file of the context.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.context().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Writes the user's own policy; its path.
    pub(crate) fn policy(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("config/lian-build/policy.ncl");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        for (path, mode) in [(path.as_path(), 0o600), (path.parent().unwrap(), 0o700)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        path
    }

    /// Writes a Dockerfile whose steps run on a small Debian system, so that `RUN` works without any registry.
    pub(crate) fn dockerfile_on_base(&self, steps: &str) -> &Self {
        self.dockerfile_on("LIAN_TEST_BASE_TAR", steps)
    }

    /// The same, on the system that the variable names.
    pub(crate) fn dockerfile_on(&self, base_tar: &str, steps: &str) -> &Self {
        let base = self.context().join("base.tar");
        if !base.exists() {
            std::fs::copy(variable(base_tar), base).unwrap();
        }
        self.write("Dockerfile", format!("FROM scratch\nADD base.tar /\n{steps}\n"))
    }

    /// Writes a tiers file with small tiers, `(name, GB)` each, and names it.
    pub(crate) fn tiers(&self, tiers: &[(&str, f64)]) -> PathBuf {
        let rows: Vec<String> = tiers
            .iter()
            .map(|(name, gb)| format!("{{ name = \"{name}\", cpu = 1, memory_gb = {gb}, disk_gb = 10 }}"))
            .collect();
        let path = self.dir.path().join("tiers.ncl");
        std::fs::write(&path, format!("{{ schema_version = 1, tiers = [{}] }}", rows.join(", "))).unwrap();
        path
    }

    /// The real command in this world, with nothing of the test's own environment.
    #[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
    pub(crate) fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_lian-build");
        let mut command = match self.own_run.as_ref().map(OwnRun::entry) {
            Some([nsenter, namespace]) => {
                let mut command = Command::new(nsenter);
                command.arg(namespace).arg(format!("--wdns={}", self.dir.path().display())).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.dir.path().join("home"))
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("USER", "tester")
            .env("LIAN_BUILDKIT_DIR", variable("LIAN_TEST_BUILDKIT_DIR"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A build of the sandbox's context that says all it has to say, to add to and to start.
    pub(crate) fn build_command(&self) -> Command {
        let mut command = self.command();
        command.arg("build").arg(self.context()).args(["--progress=plain", "--format=json"]);
        command
    }

    /// A shell line in this world, on a terminal whose screen comes back as standard output.
    #[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
    pub(crate) fn on_terminal(&self, shell: &str) -> Command {
        let made = self.command();
        let mut command = Command::new("script");
        command.env_clear().envs(made.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .args(["--quiet", "--return", "--command", shell, "/dev/null"])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end, and checks that nothing of it is left.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        self.start(self.command().args(args)).wait()
    }

    /// Runs `build` on the sandbox's context.
    pub(crate) fn build<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        self.start(self.command().arg("build").arg(self.context()).args(args)).wait()
    }

    /// Runs a command while something else of this world goes on: nothing is checked.
    pub(crate) fn beside<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        self.start(self.command().args(args)).wait_unchecked()
    }

    /// Starts a command that was made by [`Sandbox::command`].
    pub(crate) fn start(&self, command: &mut Command) -> Running<'_> {
        Running { child: command.spawn().unwrap(), sandbox: self }
    }

    /// Nothing of the run and of any lease in `stdout`'s envelope, and no process, mount or temporary file of this world,
    /// is left.
    pub(crate) fn assert_nothing_left(&self, stdout: &str) {
        self.leftovers(stdout).iter().for_each(Leftovers::assert_none);
    }

    /// As [`Sandbox::assert_nothing_left`], where a reaper may still be at work.
    pub(crate) fn assert_nothing_left_soon(&self, stdout: &str) {
        self.leftovers(stdout).iter().for_each(Leftovers::assert_none_soon);
    }

    fn leftovers(&self, stdout: &str) -> Vec<Leftovers> {
        let mut all = vec![Leftovers::of(self.dir.path().to_string_lossy(), [self.dir.path().join("tmp")])];
        let Ok(envelope) = serde_json::from_str::<Value>(stdout) else { return all };
        // The reaper names its run.
        all.extend(envelope["run_id"].as_str().map(|run| Leftovers::of(run, [])));
        for attempt in envelope["attempts"].as_array().into_iter().flatten() {
            let lease = attempt["lease_id"].as_str().unwrap();
            let dirs = [self.runtime_dir(), self.dir.path().join("cache/lian-build/leases")];
            all.push(Leftovers::of(lease, dirs));
        }
        all
    }
}

impl Running<'_> {
    /// The process id, for signals.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Reads stderr until a line contains `text`; the lines so far are returned. Fails at the end of the stream.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let stderr = self.child.stderr.as_mut().unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        loop {
            assert_ne!(stderr.read(&mut byte).unwrap(), 0, "`{text}` never came: {}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
            if byte[0] == b'\n' && memchr::memmem::find(&seen, text.as_bytes()).is_some() {
                return String::from_utf8_lossy(&seen).into_owned();
            }
        }
    }

    /// Sends a signal to the command alone.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// Waits for the end, and checks that nothing is left.
    pub(crate) fn wait(self) -> Finished {
        let sandbox = self.sandbox;
        let finished = self.wait_unchecked();
        sandbox.assert_nothing_left(&finished.stdout);
        finished
    }

    /// Waits for the end of a run that leaves something on purpose.
    pub(crate) fn wait_unchecked(self) -> Finished {
        let output = self.child.wait_with_output().unwrap();
        Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// The one result on stdout: exactly one JSON document on one line.
    pub(crate) fn envelope(&self) -> Value {
        assert_eq!(self.stdout.trim_end().lines().count(), 1, "not one line: {:?}\n{}", self.stdout, self.stderr);
        let envelope: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(envelope["exit_code"], self.code, "{}", self.stdout);
        envelope
    }

    /// The exit code is `code`; shows everything otherwise.
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}
