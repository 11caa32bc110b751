//! [`GuestCloud`]: a simulated Hetzner whose servers are whole machines, and a caller of it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lian_simulators::backend::GuestBackend;
use lian_simulators::hcloud::{Hcloud, Options, ServerView};
use tokio::runtime::Runtime;

use super::world::Door;
use crate::support::{Finished, Running, Sandbox, variable};

/// A simulated Hetzner whose servers are whole machines, and a caller of it. A server has half of its type's memory.
pub(super) struct GuestCloud {
    hcloud: Hcloud,
    servers: Arc<GuestBackend>,
    pub(super) sandbox: Sandbox,
    pub(super) runtime: Runtime,
    pub(super) started: Instant,
}

impl GuestCloud {
    /// Servers of this machine's kind, which have a runner's packages.
    pub(super) fn new() -> Self {
        Self::of("LIAN_TEST_GUEST_BAKED")
    }

    /// Servers that start from the image that the variable names.
    #[expect(clippy::disallowed_methods, reason = "the test's own clock")]
    pub(super) fn of(image: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let servers = Arc::new(GuestBackend::new(variable(image).as_ref()).unwrap());
        let options = Options { backend: Arc::clone(&servers) as _, ..Options::default() };
        let hcloud = runtime.block_on(Hcloud::start(options)).unwrap();
        Self { hcloud, servers, sandbox: Sandbox::new(), runtime, started: Instant::now() }
    }

    /// A command of the caller's.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.sandbox.command();
        command.env("HCLOUD_ENDPOINT", self.hcloud.url()).env("HCLOUD_TOKEN", self.hcloud.token()).args(words);
        command
    }

    /// A build of the sandbox's context on the first of these tiers, `(server type, GB)` each. It has hours: a machine without
    /// acceleration takes as many minutes for its boot as the others on this machine let it.
    pub(super) fn build(&self, tiers: &[(&str, f64)], failpoints: &str) -> Command {
        let runner_type = tiers[0].0;
        let spec = format!("{{ schema_version = 1, runner_type = \"{runner_type}\", time_budget_min = 180 }}");
        self.sandbox.write(".build-spec.ncl", spec);
        let platform = if runner_type.starts_with("cax") { "linux/arm64" } else { "linux/amd64" };
        let mut command = self.command(&["build", "--progress=plain", "--format=json", "--provider=hcloud"]);
        command.arg(self.sandbox.context()).args(["--platform", platform, "--tiers"]).arg(self.sandbox.tiers(tiers));
        command.env("LIAN_FAILPOINT", format!("3000@boot{failpoints}"));
        command
    }

    /// The one server that there is.
    #[track_caller]
    pub(super) fn server(&self) -> ServerView {
        let mut servers = self.hcloud.servers();
        assert_eq!(servers.len(), 1, "{servers:?}");
        servers.remove(0)
    }

    /// A way into it with its lease's key. The caller's process has that key as long as the lease stands.
    pub(super) fn door(&self) -> Door {
        let server = self.server();
        let lease = Path::new("/run/lian-build/hcloud").join(&server.name);
        let dir = self.sandbox.path().join(format!("door-{}", server.id));
        std::fs::create_dir(&dir).unwrap();
        let key = dir.join("client");
        std::fs::copy(lease.join("client_key"), &key).unwrap();
        let host_key = std::fs::read_to_string(lease.join("host_key.pub")).unwrap();
        Door::new(&dir, server.ipv4.unwrap(), &key, &host_key)
    }

    /// How often the one server's user data was asked for at the metadata address.
    pub(super) fn user_data_asked(&self) -> usize {
        let asked = self.servers.asked(&self.server().id.to_string());
        asked.lines().filter(|path| *path == "/hetzner/v1/userdata").count()
    }

    /// Waits, bounded by many minutes, until the one server has switched itself off.
    #[track_caller]
    pub(super) fn wait_until_off(&self) {
        let id = self.server().id.to_string();
        for _ in 0..1200 {
            if !self.runtime.block_on(lian_simulators::backend::Backend::is_on(&*self.servers, &id)) {
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("it stays on: {}", self.servers.consoles());
    }

    /// How many servers are paid for at this moment.
    pub(super) fn paid_for(&self) -> usize {
        self.hcloud.bill().servers().filter(|line| line.deleted.is_none()).count()
    }

    /// What the consoles showed.
    pub(super) fn consoles(&self) -> String {
        self.servers.consoles()
    }

    /// Seconds since the start.
    pub(super) fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Waits for the end of a build.
    pub(super) fn finish(&self, running: Running<'_>, code: i32) -> Finished {
        let finished = running.wait();
        assert_eq!(
            finished.code,
            code,
            "\nstdout: {}\nstderr: {}\nconsoles: {}",
            finished.stdout,
            finished.stderr,
            self.consoles()
        );
        finished
    }

    /// So many servers were paid for, an hour each; none is left, nor anything that came with one.
    #[track_caller]
    pub(super) fn assert_paid_and_gone(&self, servers: usize) {
        assert_eq!(self.hcloud.servers(), []);
        assert!(self.hcloud.leftovers().iter().all(|(_, count)| *count == 0), "{:?}", self.hcloud.leftovers());
        let bill = self.hcloud.bill();
        let hours = u64::try_from(servers).unwrap();
        assert_eq!((bill.servers().count(), bill.hours(), bill.running().count()), (servers, hours, 0), "{bill:?}");
    }
}
