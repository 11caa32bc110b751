//! The harness of `'vm_pool`, and its suite, over a real `serve`: one whose runners are in memory, and one whose runners are
//! containers of a real daemon.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use lian_build::ids::LeaseId;
use lian_build::lease::{LeaseRequest, OwnerId};
use lian_build::plan::{Tier, Tiers};
use lian_build::provider::ComputeProvider;
use lian_build::provider::docker_local::{DockerLocalConfig, DockerLocalProvider};
use lian_build::provider::vm_pool::{Token, VmPoolConfig, VmPoolProvider};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Declared, Harness, Renewal, Second, conformance};
use crate::support::memory_pool::{PoolServer, everything};
use crate::support::memory_provider::PUBLIC_KEY;
use crate::support::{DockerMachine, LabelMap, TestImage, block_on, install_tls, pool_config, request};

/// What the pool's runners are.
enum Behind {
    Memory,
    Docker(Box<DockerMachine>),
}

/// A second pool whose runners break, with what they are made of.
type Broken = (PoolServer, TestImage);

/// A pool on a runtime of its own, so that a test can look at it while it waits, and what a client of it has on this machine.
struct Pool {
    behind: Behind,
    server: tokio::sync::Mutex<PoolServer>,
    broken: Mutex<Option<Broken>>,
    token: String,
    owner: String,
    dir: tempfile::TempDir,
    runtime: Option<Runtime>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A test's own runtime may be about to end.
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Pool {
    fn over_memory() -> Self {
        Self::over(Behind::Memory)
    }

    fn over_docker() -> Self {
        Self::over(Behind::Docker(Box::new(DockerMachine::new())))
    }

    fn over(behind: Behind) -> Self {
        install_tls();
        let owner = LeaseId::new().to_string();
        let provider = match &behind {
            Behind::Memory => None,
            Behind::Docker(machine) => Some(Arc::new(machine.provider()) as _),
        };
        let (mut server, token) = a_server(&behind, &owner, provider);
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        block_on(&runtime, async || server.start().await.unwrap());
        Self { behind, server: server.into(), broken: Mutex::default(), token, owner, dir, runtime: Some(runtime) }
    }

    /// Does something with the pool, on its runtime, and waits for it.
    fn on_its_runtime<T: Send>(&self, work: impl AsyncFnOnce(&mut PoolServer) -> T + Send) -> T {
        block_on(self.runtime.as_ref().unwrap(), async || work(&mut *self.server.lock().await).await)
    }

    fn config(&self) -> VmPoolConfig {
        let url = self.on_its_runtime(async |server| server.url());
        self.config_of(&url, &self.token)
    }

    fn config_of(&self, url: &str, token: &str) -> VmPoolConfig {
        let asks_for = match self.behind {
            Behind::Memory => None,
            Behind::Docker(_) => Some("docker_local".to_owned()),
        };
        VmPoolConfig { token: Some(Token::new(token).unwrap()), asks_for, ..pool_config(url, self.dir.path()) }
    }

    fn runtime_dir(&self) -> PathBuf {
        self.config().runtime_dir
    }

    /// A lease of the same token's that no client of ours has made.
    fn plant(&self) -> LeaseId {
        let (lease, request) = (LeaseId::new(), self.request());
        let body = json!({ "cpu": request.tier.cpu, "memory_gb": request.tier.memory_gb, "arch": request.architecture,
            "ssh_public_key": PUBLIC_KEY });
        let answer = self.ask(async |client| {
            client.create(lease.as_str(), body).await;
            client.wait_for(lease.as_str(), "ready").await
        });
        assert_eq!(answer["data"]["state"], "ready", "{answer}");
        lease
    }

    fn uproot(&self, lease: &LeaseId) {
        let answer = self.ask(async |client| client.release(lease.as_str()).await.1);
        assert_eq!(answer["data"]["state"], "released", "{answer}");
    }

    /// Asks the pool past the provider.
    fn ask(&self, ask: impl AsyncFnOnce(crate::support::memory_pool::PoolClient) -> Value + Send) -> Value {
        let token = self.token.clone();
        self.on_its_runtime(async move |server| ask(server.client(&token)).await)
    }
}

/// A pool that is not started yet, and a token of it.
fn a_server(behind: &Behind, owner: &str, provider: Option<Arc<dyn ComputeProvider>>) -> (PoolServer, String) {
    let mut server = PoolServer::new();
    server.tiers = Tiers::new(vec![tier(behind)]).unwrap();
    // What is renewed is renewed to a time by the client's clock.
    (server.has_real_time, server.owner, server.provider) = (true, owner.to_owned(), provider);
    let token = server.token("ci", everything());
    (server, token)
}

fn tier(behind: &Behind) -> Tier {
    let memory_gb = match behind {
        Behind::Memory => 1.0,
        Behind::Docker(_) => 0.5,
    };
    Tier { name: "tiny".to_owned(), cpu: 1, memory_gb, disk_gb: 10 }
}

#[async_trait::async_trait]
impl Harness for Pool {
    /// A second process of this user.
    fn declared(&self) -> Declared {
        let enforces_memory = matches!(self.behind, Behind::Docker(_));
        Declared { second: Second::IsRefused, renewal: Renewal::MovesAtLeast, enforces_memory }
    }

    fn provider(&self) -> Arc<dyn ComputeProvider> {
        Arc::new(VmPoolProvider::new(self.config()))
    }

    /// What the pool makes breaks before it is ready.
    fn failing_provider(&self) -> Arc<dyn ComputeProvider> {
        let Behind::Docker(machine) = &self.behind else {
            self.on_its_runtime(async |server| server.machines.set(|settings| settings.breaks = true));
            return self.provider();
        };
        let image = machine.dockerd.image_that_runs(&["/bin/false"]);
        let config = DockerLocalConfig { image: image.name.clone(), ..machine.config.clone() };
        let provider = Arc::new(DockerLocalProvider::new(config));
        let (mut server, token) = a_server(&self.behind, &self.owner, Some(provider));
        block_on(self.runtime.as_ref().unwrap(), async || server.start().await.unwrap());
        let config = self.config_of(&server.url(), &token);
        *self.broken.lock().unwrap() = Some((server, image));
        Arc::new(VmPoolProvider::new(config))
    }

    fn request(&self) -> LeaseRequest {
        let plain = request(&self.owner, 1.0, Timestamp::now());
        let architecture = match self.behind {
            Behind::Memory => "arm64".to_owned(),
            Behind::Docker(_) => plain.architecture.clone(),
        };
        LeaseRequest { tier: tier(&self.behind), architecture, ..plain }
    }

    /// The runner, what the pool has on record of it, and what the client has here.
    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let mut found = match &self.behind {
            Behind::Memory => {
                let runner = self.on_its_runtime(async |server| server.machines.runner(lease.as_str()));
                runner.map(|runner| format!("{runner:?}")).into_iter().collect()
            }
            Behind::Docker(machine) => machine.traces(lease),
        };
        // What a runner's first process waits with is another one every few seconds.
        found.retain(|line| !(line.starts_with("process ") && line.contains(": sleep ")));
        let state = self.on_its_runtime(async |server| server.state());
        for dir in [state.join("leases"), self.runtime_dir().join("pool")] {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(lease.as_str()));
            found.extend(named.map(|entry| entry.path().display().to_string()));
        }
        found.sort();
        found
    }

    fn runners(&self) -> Vec<String> {
        match &self.behind {
            Behind::Memory => self.on_its_runtime(async |server| server.machines.names()),
            Behind::Docker(machine) => machine.dockerd.names(&format!("lian-owner={}", OwnerId::derive(&self.owner))),
        }
    }

    fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        let answer = self.ask(async |client| client.get(lease.as_str()).await.1);
        serde_json::from_value(answer["data"]["labels"].clone()).ok()
    }

    fn stop(&self, lease: &LeaseId) {
        match &self.behind {
            Behind::Memory => self.on_its_runtime(async |server| server.machines.switch_off(lease.as_str())),
            Behind::Docker(machine) => drop(machine.dockerd.docker(&["kill", lease.as_str()])),
        }
    }

    async fn plant_foreign(&self) -> LeaseId {
        self.plant()
    }

    async fn uproot_foreign(&self, lease: &LeaseId) {
        self.uproot(lease);
    }

    /// A pool refuses labels of ours that are not whole: without any is how it can be.
    fn plant_unreadable(&self) -> LeaseId {
        self.plant()
    }

    fn uproot_unreadable(&self, lease: &LeaseId) {
        self.uproot(lease);
    }
}

mod memory {
    use super::{Pool, conformance};

    conformance!(Pool::over_memory());
}

mod docker {
    use super::{Pool, conformance};

    conformance!(Pool::over_docker());
}
