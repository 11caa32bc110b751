//! Whole builds on servers of a simulated Hetzner: containers that cloud-init makes runners of, as it does with a machine.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lian_simulators::backend::ContainerBackend;
use lian_simulators::faults::Fault;
use lian_simulators::hcloud::{Hcloud, Options};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{Dockerd, Finished, Sandbox, SshAgent, variable};

/// A simulated project whose servers build, and a caller of it.
struct Project {
    hcloud: Hcloud,
    servers: Option<Arc<ContainerBackend>>,
    sandbox: Sandbox,
    runtime: Runtime,
}

impl Project {
    /// Servers that build.
    fn with_servers() -> Self {
        let (runtime, dockerd) = (runtime(), Dockerd::of_the_tests());
        let root = variable("LIAN_TEST_MACHINE_IMAGE_TAR");
        let servers = Arc::new(runtime.block_on(ContainerBackend::open(dockerd.host(), Path::new(&root))).unwrap());
        let options = Options { backend: Arc::clone(&servers) as _, ..Options::default() };
        Self {
            hcloud: runtime.block_on(Hcloud::start(options)).unwrap(),
            servers: Some(servers),
            sandbox: Sandbox::new(),
            runtime,
        }
    }

    /// Nothing stands behind servers.
    fn with_nothing() -> Self {
        let runtime = runtime();
        let hcloud = runtime.block_on(Hcloud::start(Options::default())).unwrap();
        let sandbox = Sandbox::new();
        sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
        Self { hcloud, servers: None, sandbox, runtime }
    }

    /// A command of the caller's.
    fn command(&self, name: &str) -> Command {
        let mut command = self.sandbox.command();
        command.env("HCLOUD_ENDPOINT", self.hcloud.url()).env("HCLOUD_TOKEN", self.hcloud.token()).arg(name);
        command
    }

    /// A build, or the plan of one, on a server of the smallest x86 type.
    fn on_server(&self, name: &str) -> Command {
        let mut command = self.command(name);
        command.arg(self.sandbox.context()).args(["--progress=plain", "--format=json", "--provider=hcloud"]);
        command
            .args(["--platform=linux/amd64", "--runner-type=cx23", "--tiers"])
            .arg(self.sandbox.tiers(&[("cx23", 4.0)]));
        command
    }

    /// No server is left, nor anything that came with one, and nobody was told the token.
    fn assert_clean(&self, finished: &Finished) {
        assert_eq!(self.hcloud.servers(), []);
        assert!(self.hcloud.leftovers().iter().all(|(_, count)| *count == 0), "{:?}", self.hcloud.leftovers());
        if let Some(servers) = &self.servers {
            assert_eq!(self.runtime.block_on(servers.containers()).unwrap(), Vec::<String>::new());
        }
        let start = &self.hcloud.token()[..10];
        assert!(!finished.stdout.contains(start) && !finished.stderr.contains(start), "{}", finished.stderr);
        for file in
            walkdir::WalkDir::new(self.sandbox.path()).into_iter().flatten().filter(|entry| entry.path().is_file())
        {
            let bytes = std::fs::read(file.path()).unwrap_or_default();
            assert!(
                memchr::memmem::find(&bytes, start.as_bytes()).is_none(),
                "the token is in {}",
                file.path().display()
            );
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_build_with_a_secret_costs_one_started_hour_and_leaves_nothing() {
    let project = Project::with_servers();
    let sandbox = &project.sandbox;
    sandbox.dockerfile_on_base(
        "RUN --mount=type=secret,id=t test \"$(wc -c </run/secrets/t)\" -eq 12 && echo the-secret-is-there\n\
         RUN echo built >/built",
    );
    let out = sandbox.path().join("out.tar");
    let mut build = project.on_server("build");
    build.env("T", "s3cret-value").args(["--secret", "id=t,env=T", "-o"]);
    let finished = sandbox.start(build.arg(format!("type=tar,dest={}", out.display()))).wait();
    let envelope = finished.assert_code(0).envelope();
    assert!(finished.stderr.contains("the-secret-is-there"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("s3cret-value") && out.exists());
    let attempt = &envelope["attempts"][0];
    assert_eq!((&attempt["isolation"], &attempt["released"]), (&"vm".into(), &true.into()), "{envelope}");
    assert_eq!(
        (&attempt["cost"]["billed_hours"], text(&attempt["cost"]["currency"])),
        (&1.into(), "EUR"),
        "{envelope}"
    );
    let bill = project.hcloud.bill();
    assert_eq!((bill.servers().count(), bill.hours(), bill.running().count()), (1, 1, 0), "{bill:?}");
    project.assert_clean(&finished);
}

#[test]
fn a_step_on_a_server_uses_the_callers_agent() {
    let project = Project::with_servers();
    let (sandbox, agent) = (&project.sandbox, SshAgent::start());
    let list = SshAgent::list(sandbox);
    sandbox.dockerfile_on_base(&format!("{}RUN --mount=type=ssh {list}", SshAgent::COPY));
    let mut build = project.on_server("build");
    let finished = sandbox.start(build.env("SSH_AUTH_SOCK", agent.socket()).arg("--ssh=default")).wait();
    assert!(finished.assert_code(0).stderr.contains(&agent.fingerprint), "{}", finished.stderr);
    project.assert_clean(&finished);
}

#[test]
fn a_signal_ends_the_server_with_the_build() {
    let project = Project::with_servers();
    project.sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
    let mut running = project.sandbox.start(&mut project.on_server("build"));
    running.wait_for(" the-step-runs");
    assert_eq!(project.hcloud.servers().len(), 1);
    running.signal(Signal::TERM);
    let finished = running.wait();
    assert_eq!(finished.assert_code(143).envelope()["attempts"][0]["released"], true);
    project.assert_clean(&finished);
}

#[test]
fn a_snapshot_is_kept_and_its_server_is_not() {
    let project = Project::with_servers();
    let mut bake = project.command("runners");
    bake.args(["image", "--provider=hcloud", "--runner-type=cx23", "--format=json"]);
    let finished = project.sandbox.start(&mut bake).wait();
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(envelope["is_snapshot"], true, "{envelope}");
    let (id, name) = (text(&envelope["image_id"]), text(&envelope["image"]));
    assert!(id.parse::<u64>().is_ok() && name.starts_with("lian-build-runner:"), "{envelope}");
    assert_eq!(project.hcloud.servers(), []);
    assert!(project.hcloud.leftovers().contains(&("images", 1)));

    // A machine that starts from it has everything already.
    project.sandbox.dockerfile_on_base("RUN echo from-the-snapshot");
    let mut build = project.on_server("build");
    build.env("LIAN_HCLOUD_IMAGE", name).env("LIAN_BUILDKIT_DIR", "/nonexistent");
    let finished = project.sandbox.start(&mut build).wait();
    finished.assert_code(0);
    assert!(finished.stderr.contains("from-the-snapshot"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("BuildKit's programs were sent"), "{}", finished.stderr);
    assert_eq!(project.hcloud.servers(), []);
}

#[test]
fn where_there_is_no_server_anywhere_it_is_exit_4_with_every_answer() {
    let project = Project::with_nothing();
    project.hcloud.faults().script(Fault::out_of_stock());
    let finished = project.sandbox.start(&mut project.on_server("build")).wait();
    let envelope = finished.assert_code(4).envelope();
    assert_eq!(envelope["error"]["kind"], "no_capacity");
    for place in ["cx23@fsn1", "cx23@nbg1", "cx23@hel1"] {
        assert!(text(&envelope["error"]["message"]).contains(place), "{envelope}");
    }
    assert_eq!(project.hcloud.bill().servers().count(), 0);
    project.assert_clean(&finished);
}

#[test]
fn too_many_requests_are_told_without_the_token() {
    let project = Project::with_nothing();
    project.hcloud.faults().script(Fault::rate_limited().always());
    for name in ["plan", "build"] {
        let mut command = project.on_server(name);
        command.env("LIAN_LOG", "debug");
        let finished = project.sandbox.start(&mut command).wait();
        assert_ne!(finished.code, 0);
        assert!(finished.stdout.contains("rate_limit_exceeded"), "{}", finished.stdout);
        project.assert_clean(&finished);
    }
}

#[test]
fn a_server_of_another_architecture_is_refused_before_it_is_paid_for() {
    let project = Project::with_nothing();
    let mut build = project.command("build");
    build.arg(project.sandbox.context()).args(["--progress=plain", "--format=json", "--provider=hcloud"]);
    build
        .args(["--platform=linux/amd64", "--runner-type=cax11", "--tiers"])
        .arg(project.sandbox.tiers(&[("cax11", 4.0)]));
    let finished = project.sandbox.start(&mut build).wait();
    let envelope = finished.assert_code(4).envelope();
    assert!(text(&envelope["error"]["message"]).contains("`cax11` is `arm64`"), "{envelope}");
    assert_eq!(project.hcloud.bill().servers().count(), 0);
    project.assert_clean(&finished);
}
