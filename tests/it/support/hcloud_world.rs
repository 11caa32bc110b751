//! [`HcloudWorld`]: a simulated project at Hetzner on a runtime of its own, so that a test can look at it and change it
//! while it waits for something else, and what a caller of it has on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lian_build::env_vars::Environment;
use lian_build::ids::LeaseId;
use lian_build::lease::LeaseRequest;
use lian_build::plan::Tier;
use lian_build::provider::hcloud::{HcloudConfig, HcloudProvider, Pace};
use lian_simulators::hcloud::{Hcloud, Options};
use tokio::runtime::Runtime;

use super::{SshdBackend, SshdServers, request};

/// A simulated project, and what a caller of it has on this machine.
pub(crate) struct HcloudWorld {
    runtime: Option<Runtime>,
    sim: Option<Hcloud>,
    pub(crate) backend: Arc<SshdBackend>,
    home: tempfile::TempDir,
    pub(crate) owner: String,
}

impl HcloudWorld {
    pub(crate) fn new() -> Self {
        Self::with(SshdBackend::new(SshdServers::Sound), Options::default())
    }

    /// A project whose servers answer with a host key of their own.
    pub(crate) fn with_other_host_keys() -> Self {
        Self::with(SshdBackend::new(SshdServers::OtherHostKeys), Options::default())
    }

    /// A project whose servers switch themselves off before anybody sees them run.
    pub(crate) fn with_servers_that_end_at_once() -> Self {
        Self::with(SshdBackend::new(SshdServers::EndAtOnce), Options::default())
    }

    fn with(backend: SshdBackend, options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let backend = Arc::new(backend);
        let options = Options { backend: backend.clone(), ..options };
        let starting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let sim = runtime.block_on(Hcloud::start(options)).unwrap();
            (runtime, sim)
        });
        let (runtime, sim) = starting.join().unwrap();
        let home = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        Self { runtime: Some(runtime), sim: Some(sim), backend, home, owner: LeaseId::new().to_string() }
    }

    pub(crate) fn sim(&self) -> &Hcloud {
        self.sim.as_ref().unwrap()
    }

    /// What a caller's environment says, beside what a test adds.
    pub(crate) fn environment(&self, more: &[(&str, &str)]) -> Environment {
        let sum = "0".repeat(64);
        let all = super::environment();
        let path = all.text("PATH").unwrap().to_owned();
        let (url, token) = (self.sim().url(), self.sim().token());
        let own = [
            ("PATH", path.as_str()),
            ("HCLOUD_ENDPOINT", url.as_str()),
            ("HCLOUD_TOKEN", token.as_str()),
            ("LIAN_BUILDKIT_URL", "http://127.0.0.1:9/buildkit.tar.gz"),
            ("LIAN_BUILDKIT_SHA256", sum.as_str()),
        ];
        Environment::from_pairs(own.into_iter().chain(more.iter().copied()))
    }

    /// A caller's configuration, which is not as patient as a real one.
    pub(crate) fn config(&self, more: &[(&str, &str)]) -> HcloudConfig {
        let config = HcloudConfig::from_environment(&self.environment(more)).unwrap();
        let millis = Duration::from_millis;
        let pace = Pace {
            first_pause: millis(5),
            longest_pause: millis(40),
            look_limit: millis(400),
            boot_limit: Duration::from_secs(20),
            alive_for: Duration::ZERO,
            delete_limit: Duration::from_secs(10),
        };
        HcloudConfig { runtime_dir: self.runtime_dir(), pace, ..config }
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.home.path().join("r")
    }

    pub(crate) fn provider(&self) -> HcloudProvider {
        HcloudProvider::new(self.config(&[]))
    }

    pub(crate) fn request(&self) -> LeaseRequest {
        let tier = Tier { name: "cax11".to_owned(), cpu: 2, memory_gb: 4.0, disk_gb: 40 };
        LeaseRequest { tier, architecture: "arm64".to_owned(), ..request(&self.owner, 4.0, Timestamp::now()) }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.sim().servers().into_iter().map(|server| server.name).collect()
    }

    /// Deletes a server by its name, as its owner would.
    pub(crate) fn delete(&self, name: &str) {
        let server = self.sim().servers().into_iter().find(|server| server.name == name).unwrap();
        let (url, token) = (format!("{}/servers/{}", self.sim().url(), server.id), self.sim().token());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            let answer = client.delete(url).bearer_auth(token).send().await.unwrap();
            sender.send(answer.status().as_u16()).unwrap();
        });
        assert_eq!(receiver.recv().unwrap(), 200);
        super::wait_until("the server is gone", || !self.names().contains(&name.to_owned()));
    }

    /// All that there is of a lease, one line each.
    pub(crate) fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let servers = self.sim().servers();
        let server = servers
            .iter()
            .filter(|server| server.name == lease.as_str())
            .map(|server| format!("server {} {:?} {:?}", server.id, server.status, server.labels));
        let dir = self.runtime_dir().join("hcloud");
        let files = [dir.join(lease.as_str()), dir.join(format!("{lease}.lock"))];
        let files = files.into_iter().filter(|file| file.exists()).map(|file| file.display().to_string());
        server.chain(files).collect()
    }

    /// Nothing is left but what was there before.
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.names(), Vec::<String>::new());
        assert!(self.sim().leftovers().iter().all(|(_, count)| *count == 0), "{:?}", self.sim().leftovers());
        assert!(!self.runtime_dir().join("hcloud").exists());
    }
}

impl Drop for HcloudWorld {
    fn drop(&mut self) {
        drop(self.sim.take());
        // A test's own runtime may be about to end.
        self.runtime.take().unwrap().shutdown_background();
    }
}
