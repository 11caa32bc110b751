//! [`PoolServer`]: a pool in the test's own process, over runners in memory, with a clock that the test moves; and [`PoolClient`],
//! which speaks to any pool.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use lian_build::custody::{Custodian, Timing};
use lian_build::ids::LeaseId;
use lian_build::lease::{Journal, OwnerId};
use lian_build::plan::{Tier, Tiers};
use lian_build::record::SqliteStore;
use lian_build::serve::{Limits, Server, ServerParts, Token, TokenScope, Tokens, TokensFile};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::ManualClock;
use super::memory_provider::{Machines, MemoryProvider, PUBLIC_KEY};

/// A pool in the test's own process.
pub(crate) struct PoolServer {
    pub(crate) machines: Arc<Machines>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) limits: Limits,
    pub(crate) listen: SocketAddr,
    /// Who leases instead of the runners in memory.
    pub(crate) provider: Option<Arc<dyn lian_build::provider::ComputeProvider>>,
    /// Whose its runners are.
    pub(crate) owner: String,
    /// Whether it has the machine's own time instead of one that the test moves.
    pub(crate) has_real_time: bool,
    pub(crate) tiers: Tiers,
    state: tempfile::TempDir,
    server: Option<Server>,
}

impl PoolServer {
    /// A pool that is not started yet.
    pub(crate) fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        TokensFile::default().write(&state.path().join("tokens.json")).unwrap();
        Self {
            machines: Machines::new(),
            clock: Arc::new(ManualClock::at(Timestamp::from_second(1_800_000_000).unwrap())),
            limits: Limits::default(),
            listen: "127.0.0.1:0".parse().unwrap(),
            provider: None,
            owner: "pool".to_owned(),
            has_real_time: false,
            tiers: tiers(),
            state,
            server: None,
        }
    }

    /// A new token with this scope; the pool must not have been started.
    pub(crate) fn token(&self, name: &str, scope: TokenScope) -> String {
        let path = self.state.path().join("tokens.json");
        let (token, text) = Token::new(name.to_owned(), scope, Timestamp::UNIX_EPOCH, None).unwrap();
        let mut file = TokensFile::read(&path).unwrap();
        file.tokens.push(token);
        file.write(&path).unwrap();
        text.expose_secret().to_owned()
    }

    /// Starts it, the first time or again.
    pub(crate) async fn start(&mut self) -> lian_build::error::Result<()> {
        let state = self.state.path().join("state");
        let clock: lian_build::clock::SharedClock = match self.has_real_time {
            true => Arc::new(lian_build::clock::SystemClock),
            false => Arc::clone(&self.clock) as _,
        };
        let memory = || Arc::new(MemoryProvider(Arc::clone(&self.machines))) as _;
        let provider = self.provider.clone().unwrap_or_else(memory);
        let journal = Journal::new(&state);
        let custodian = Custodian::without_reaper(provider, journal, Arc::clone(&clock), Timing::default());
        let parts = ServerParts {
            listen: self.listen,
            tls: None,
            custodians: vec![custodian],
            tokens: Tokens::open(&self.state.path().join("tokens.json")).unwrap(),
            tiers: self.tiers.clone(),
            limits: self.limits,
            owner: OwnerId::derive(&self.owner),
            store: Arc::new(SqliteStore::new(&state)),
            state,
            clock,
        };
        self.server = Some(Server::start(parts).await?);
        Ok(())
    }

    /// Ends it in an orderly way.
    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    /// The pool's own directory.
    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.state.path().join("state")
    }

    /// Where it listens, as `ORCHESTRATOR_URL` says it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.as_ref().unwrap().address())
    }

    /// A client with this token.
    pub(crate) fn client(&self, token: &str) -> PoolClient {
        PoolClient::new(&self.url(), token)
    }
}

fn tiers() -> Tiers {
    let tier = |name: &str, cpu, memory_gb| Tier { name: name.to_owned(), cpu, memory_gb, disk_gb: 10 };
    Tiers::new(vec![tier("small", 1, 1.0), tier("large", 4, 4.0)]).unwrap()
}

/// Speaks to a pool.
#[derive(Debug, Clone)]
pub(crate) struct PoolClient {
    base: String,
    token: String,
    http: reqwest::Client,
}

/// The status of an answer, and its body.
pub(crate) type Answered = (u16, Value);

impl PoolClient {
    pub(crate) fn new(base: &str, token: &str) -> Self {
        super::install_tls();
        Self { base: base.to_owned(), token: token.to_owned(), http: reqwest::Client::new() }
    }

    /// A request with a body that goes as it is.
    pub(crate) async fn send(&self, method: &str, path: &str, key: Option<&str>, body: Option<Value>) -> Answered {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }

    /// Leases a runner; `change` is put over the usual request.
    pub(crate) async fn create(&self, lease: &str, change: Value) -> Answered {
        self.send("POST", "/api/v1/vm-pool", Some(lease), Some(body(change))).await
    }

    /// As [`PoolClient::create`]; `None` when no answer comes.
    pub(crate) async fn try_create(&self, lease: &str, change: Value) -> Option<u16> {
        let request = self.http.post(format!("{}/api/v1/vm-pool", self.base)).bearer_auth(&self.token);
        let answer = request.header("Idempotency-Key", lease).json(&body(change)).send().await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// A document that needs no token.
    pub(crate) async fn text(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.base.trim_start_matches("http://").to_owned()
    }

    pub(crate) async fn get(&self, lease: &str) -> Answered {
        self.send("GET", &format!("/api/v1/vm-pool/{lease}"), None, None).await
    }

    pub(crate) async fn list(&self) -> Vec<String> {
        let (_, answer) = self.send("GET", "/api/v1/vm-pool", None, None).await;
        let leases = answer["data"].as_array().unwrap();
        leases.iter().map(|lease| lease["lease_id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn renew(&self, lease: &str, ttl_s: u64) -> Answered {
        let path = format!("/api/v1/vm-pool/{lease}/renew");
        self.send("POST", &path, None, Some(json!({ "ttl_s": ttl_s }))).await
    }

    pub(crate) async fn release(&self, lease: &str) -> Answered {
        self.send("DELETE", &format!("/api/v1/vm-pool/{lease}"), None, None).await
    }

    /// Asks again until the lease is made, or came to nothing.
    pub(crate) async fn wait_for_outcome(&self, lease: &str) -> Value {
        loop {
            let (status, answer) = self.get(lease).await;
            if status != 200 || answer["data"]["state"] != "pending" {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Asks again until the lease is in this state, or asking yields something else than a lease.
    pub(crate) async fn wait_for(&self, lease: &str, state: &str) -> Value {
        loop {
            let (status, answer) = self.get(lease).await;
            if status != 200 || answer["data"]["state"] == state {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// A request for a lease, with `change` over it.
pub(crate) fn body(change: Value) -> Value {
    let mut body = json!({ "workspace": "shop", "cpu": 1, "memory_gb": 1.0, "arch": "arm64", "ssh_public_key": PUBLIC_KEY,
        "ttl_s": 600, "max_ttl_s": 3600 });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

/// A scope of every workspace.
pub(crate) fn everything() -> TokenScope {
    TokenScope { workspaces: vec!["*".to_owned()], ..TokenScope::default() }
}

/// A new lease's name.
pub(crate) fn new_lease() -> String {
    LeaseId::new().to_string()
}

/// The lines of a pool's audit log.
pub(crate) fn audit(state: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(state.join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
