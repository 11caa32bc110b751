//! [`Dockerd`]: the Docker daemon that `ci/test` started for the tests, asked through its own command: a witness that is
//! not ours. [`RunnerContainer`]: a container of the runner's image, started by hand.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::variable;

/// The Docker daemon of the tests.
#[derive(Debug, Clone)]
pub(crate) struct Dockerd {
    host: String,
}

impl Dockerd {
    pub(crate) fn of_the_tests() -> Self {
        Self { host: variable("LIAN_TEST_DOCKER_HOST") }
    }

    /// Where it listens, as `DOCKER_HOST` says it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// What a command needs to lease from it. Nothing is kept there for a next build.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [("DOCKER_HOST", self.host.clone()), ("LIAN_LOCAL_CACHE_GB", "0".to_owned())]
    }

    /// The `docker` command for this daemon.
    #[expect(clippy::disallowed_methods, reason = "tests look at Docker as a user would")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host]).args(args).stdin(Stdio::null());
        command
    }

    /// Runs `docker ARGS…`, which may fail.
    pub(crate) fn try_docker(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs `docker ARGS…` and yields its standard output, trimmed.
    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs `docker ARGS…` with `input` on its standard input.
    #[track_caller]
    pub(crate) fn docker_with_input(&self, args: &[&str], input: &[u8]) {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        assert!(child.wait().unwrap().success(), "docker {args:?}");
    }

    /// All that Docker says of an object: `docker inspect`.
    #[track_caller]
    pub(crate) fn inspect(&self, object: &str) -> Value {
        let said: Value = serde_json::from_str(&self.docker(&["inspect", object])).unwrap();
        said[0].clone()
    }

    /// The names of all containers whose name has `text` in it, those that ended too.
    pub(crate) fn containers(&self, text: &str) -> Vec<String> {
        self.lines(&["ps", "--all", "--filter", &format!("name={text}"), "--format", "{{.Names}}"])
    }

    /// The names of all volumes whose name has `text` in it.
    pub(crate) fn volumes(&self, text: &str) -> Vec<String> {
        self.lines(&["volume", "ls", "--filter", &format!("name={text}"), "--format", "{{.Name}}"])
    }

    /// The machine's address on the bridge: how containers reach what a test serves.
    pub(crate) fn gateway(&self) -> String {
        self.docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"])
    }

    fn lines(&self, args: &[&str]) -> Vec<String> {
        self.docker(args).lines().map(str::to_owned).collect()
    }
}

/// A container of the runner's image, removed with its volume at the end.
pub(crate) struct RunnerContainer {
    pub(crate) dockerd: Dockerd,
    pub(crate) name: String,
}

impl RunnerContainer {
    /// Creates it as a provider does, with these files put in before it starts.
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        let dockerd = Dockerd::of_the_tests();
        let name = format!("test-{}", uuid::Uuid::now_v7().simple());
        let image = lian_build::runner_image::name();
        dockerd.docker(&[
            "create",
            "--name",
            &name,
            "--init",
            "--cap-add",
            "SYS_ADMIN",
            "--cap-add",
            "NET_ADMIN",
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "apparmor=unconfined",
            "--memory",
            "512m",
            "--memory-swap",
            "512m",
            "--volume",
            "/var/lib/buildkit",
            &image,
        ]);
        let container = Self { dockerd, name };
        container.put(files);
        container.dockerd.docker(&["start", &container.name]);
        container
    }

    /// The files every runner needs: a host key, and who may come in.
    pub(crate) fn keys() -> Vec<(&'static str, String)> {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("key");
        #[expect(clippy::disallowed_methods, reason = "tests make keys as a user would")]
        let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status();
        assert!(status.unwrap().success());
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        vec![
            ("etc/ssh/lian_host_ed25519_key", read("key")),
            ("etc/ssh/lian_host_ed25519_key.pub", read("key.pub")),
            ("root/.ssh/authorized_keys", read("key.pub")),
        ]
    }

    /// Puts files into the container, which need not run.
    pub(crate) fn put(&self, files: &[(&str, &str)]) {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o600);
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        self.dockerd.docker_with_input(&["cp", "-", &format!("{}:/", self.name)], &archive.into_inner().unwrap());
    }

    /// Runs a shell line in it.
    pub(crate) fn sh(&self, script: &str) -> Output {
        self.dockerd.try_docker(&["exec", &self.name, "sh", "-c", script])
    }

    /// Waits until it has ended, and yields its log.
    pub(crate) fn wait(&self) -> String {
        self.dockerd.docker(&["wait", &self.name]);
        self.log()
    }

    /// Reads its log, which goes on, until a line contains `text`.
    #[expect(clippy::disallowed_methods, reason = "tests look at Docker as a user would")]
    pub(crate) fn wait_for(&self, text: &str) {
        use std::io::BufRead as _;
        let mut child = Command::new("docker")
            .args(["--host", self.dockerd.host(), "logs", "--follow", &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let found = lines.map_while(Result::ok).any(|line| line.contains(text));
        let _ = child.kill();
        let _ = child.wait();
        assert!(found, "`{text}` never came: {}", self.log());
    }

    fn log(&self) -> String {
        let output = self.dockerd.try_docker(&["logs", &self.name]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

impl Drop for RunnerContainer {
    fn drop(&mut self) {
        let removed = self.dockerd.try_docker(&["rm", "--force", "--volumes", &self.name]);
        assert!(removed.status.success() || std::thread::panicking(), "{} is not removed", self.name);
    }
}
