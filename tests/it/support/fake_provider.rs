//! [`FakeProvider`]: a provider of the [`FakeCloud`], written as one of a real cloud is: stateless, asked by name, never
//! sure of a reply.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use lian_build::error::{Error, ErrorKind, Result};
use lian_build::ids::LeaseId;
use lian_build::lease::{Endpoint, HolderState, Isolation, Labels, LeaseRequest, Made, MemoryLimit, RunnerPaths};
use lian_build::provider::{Capabilities, ComputeProvider, Listed, Liveness, Released, RunnerStatus, Scope, Watch};
use tokio_util::sync::CancellationToken;

use super::fake_cloud::{ApiError, FakeCloud, LabelMap, Server};

/// The label that renewals change.
const EXPIRES: &str = "lian-expires";

/// How often a create is repeated under the same name, and a deletion is looked after.
const ATTEMPTS: u32 = 5;

/// A provider of the fake cloud, as any process with its credential can open one.
#[derive(Debug, Clone)]
pub(crate) struct FakeProvider {
    pub(crate) cloud: Arc<FakeCloud>,
    /// Which account; another one's "not found" proves nothing.
    pub(crate) account: &'static str,
    /// False for a cloud whose labels stay as they were created.
    pub(crate) labels_change: bool,
}

impl FakeProvider {
    pub(crate) fn new(cloud: &Arc<FakeCloud>) -> Self {
        Self { cloud: Arc::clone(cloud), account: "one", labels_change: true }
    }

    /// Makes the server, or takes the one that an earlier request made whose reply was lost.
    fn create(&self, request: &LeaseRequest) -> Result<Server> {
        let (name, labels) = (request.lease_id.as_str(), request.labels().to_map());
        // All but what a renewal changes.
        let lasting = |labels: &LabelMap| -> LabelMap {
            labels.iter().filter(|(key, _)| *key != EXPIRES).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let ours = |server: Server| {
            if lasting(&server.labels) == lasting(&labels) {
                return Ok(server);
            }
            Err(Error::new(ErrorKind::Provider, format!("there is another server with the name `{name}`")))
        };
        for _ in 0..ATTEMPTS {
            match self.cloud.create(name, labels.clone()) {
                Ok(id) => return Ok(Server { id, labels, status: RunnerStatus::Starting }),
                Err(ApiError::Failed(why)) => return Err(Error::new(ErrorKind::Provider, why)),
                // Names are unique, so it is there; and after a lost reply it may be.
                Err(_) => {
                    if let Some(server) = self.cloud.get(name) {
                        return ours(server);
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::Provider, "the cloud does not answer"))
    }

    async fn make(&self, request: &LeaseRequest, watch: Watch<'_>) -> Result<Endpoint> {
        let server = self.create(request)?;
        let since = Timestamp::UNIX_EPOCH;
        watch.created(&Made { remote_id: server.id.to_string(), since, price: None }).await;
        watch.waiting("the server to start");
        match self.cloud.started(request.lease_id.as_str()).await {
            Some(server) if server.status == RunnerStatus::Running => Ok(endpoint(&request.lease_id, server.id)),
            _ => Err(Error::new(ErrorKind::Provider, "the server went away while it started")),
        }
    }
}

#[async_trait]
impl ComputeProvider for FakeProvider {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            architectures: vec!["amd64".to_owned()],
            isolation: Isolation::Vm,
            shared_machine: None,
            scope: Scope::Credential,
            can_keep: true,
        }
    }

    fn backend(&self) -> String {
        format!("fake:{}", self.account)
    }

    async fn check(&self, _request: &LeaseRequest) -> Result<()> {
        Ok(())
    }

    async fn acquire(&self, request: &LeaseRequest, watch: Watch<'_>, cancel: &CancellationToken) -> Result<Endpoint> {
        let made = cancel.run_until_cancelled(self.make(request, watch)).await;
        made.unwrap_or_else(|| Err(Error::new(ErrorKind::Provider, "the lease was cancelled")))
    }

    async fn renew(&self, lease_id: &LeaseId, expires_at: Timestamp) -> Result<()> {
        if !self.labels_change {
            return Ok(());
        }
        self.cloud.set_label(lease_id.as_str(), EXPIRES, expires_at.as_second().to_string()).map_err(refused)
    }

    async fn liveness(&self, lease_id: &LeaseId) -> Result<Liveness> {
        Ok(match self.cloud.get(lease_id.as_str()) {
            None => Liveness::Dead("there is no such server".to_owned()),
            Some(server) if server.status == RunnerStatus::Stopped => Liveness::Dead("it is off".to_owned()),
            Some(_) => Liveness::Alive,
        })
    }

    async fn release(&self, lease_id: &LeaseId) -> Result<Released> {
        let name = lease_id.as_str();
        let Some(server) = self.cloud.get(name) else { return Ok(Released::AlreadyGone) };
        let is_ours = matches!(Labels::from_map(&server.labels), Some(Ok(labels)) if labels.lease_id == *lease_id);
        if !is_ours {
            return Err(Error::new(ErrorKind::Provider, format!("the server `{name}` is not one of ours")));
        }
        self.cloud.delete(name).map_err(refused)?;
        for _ in 0..ATTEMPTS {
            if self.cloud.get(name).is_none() {
                return Ok(Released::Destroyed);
            }
        }
        Err(Error::new(ErrorKind::ReleaseUnconfirmed, format!("the server `{name}` is still there")))
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let servers = self.cloud.list().map_err(refused)?;
        let listed = servers.into_iter().filter_map(|(name, server)| {
            let labels = Labels::from_map(&server.labels)?;
            let holder = labels.as_ref().ok().and_then(|labels| labels.holder.clone());
            Some(Listed {
                lease_id: name.parse().ok(),
                name,
                labels,
                status: server.status,
                holder: holder.map_or(HolderState::Unknown, |holder| holder.state()),
                renewed_until: None,
                cost: None,
            })
        });
        Ok(listed.collect())
    }

    async fn tidy(&self) -> Result<()> {
        self.cloud.tidy().map_err(refused)
    }
}

fn refused(error: ApiError) -> Error {
    Error::new(ErrorKind::Provider, format!("the cloud answered: {error:?}"))
}

fn endpoint(lease_id: &LeaseId, id: u64) -> Endpoint {
    Endpoint {
        lease_id: lease_id.clone(),
        host: "192.0.2.1".to_owned(),
        port: 22,
        user: "root".to_owned(),
        host_key: format!("ssh-ed25519 key-of-{id}"),
        identity_file: "/nowhere/key".into(),
        session_dir: "/nowhere/session".into(),
        paths: RunnerPaths {
            context: "/workspace".to_owned(),
            extra_contexts: "/build/extra-contexts".to_owned(),
            run: "/run/lian-build".to_owned(),
            buildkit_root: "/var/lib/buildkit".to_owned(),
            output: "/build/output".to_owned(),
            secrets: "/run/lian-build/secrets".to_owned(),
            bin: "/usr/local/bin".to_owned(),
        },
        isolation: Isolation::Vm,
        shared: false,
        rootless: false,
        memory: MemoryLimit::None { reason: "it is a fake".to_owned() },
        effective_memory_bytes: 1 << 30,
        effective_cpu: 1,
        cache_cap_bytes: None,
        architecture: "amd64".to_owned(),
        notes: Vec::new(),
        warnings: Vec::new(),
    }
}
