//! Measures what a pool itself costs: `pool_bench [HELD [CREATES_A_SECOND [SECONDS]]]` (1000, 100, 20), for `ci/bench`.
//!
//! A pool over runners in memory listens on loopback and holds leases; then others are made, asked for until they are ready,
//! renewed and released at a steady pace. Caller and pool share the machine. What is written to the disk is written as always.
//! One JSON document with latencies in milliseconds; an error anywhere is a failure.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement on demand, and no part of the program"
)]

#[path = "../tests/it/support/memory_provider.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod memory_provider;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lian_build::clock::{SharedClock, SystemClock};
use lian_build::custody::{Custodian, Timing};
use lian_build::ids::LeaseId;
use lian_build::lease::{Journal, OwnerId};
use lian_build::plan::{Tier, Tiers};
use lian_build::record::SqliteStore;
use lian_build::serve::{Limits, Server, ServerParts, Token, TokenScope, Tokens, TokensFile};
use memory_provider::{Machines, MemoryProvider, PUBLIC_KEY};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// The latencies of one kind of request, in milliseconds.
#[derive(Default)]
struct Latencies(Mutex<Vec<f64>>);

impl Latencies {
    fn add(&self, since: Instant) {
        self.0.lock().unwrap().push(since.elapsed().as_secs_f64() * 1000.0);
    }

    fn summary(&self) -> Value {
        let mut all = self.0.lock().unwrap().clone();
        all.sort_by(f64::total_cmp);
        let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied();
        json!({ "count": all.len(), "p50": at(50), "p95": at(95), "p99": at(99), "max": all.last() })
    }
}

/// A caller.
struct Caller {
    http: reqwest::Client,
    url: String,
    token: String,
    create: Latencies,
    ready: Latencies,
    get: Latencies,
    renew: Latencies,
    release: Latencies,
    errors: Mutex<Vec<String>>,
}

impl Caller {
    async fn ask(&self, method: reqwest::Method, path: &str, key: Option<&str>, body: Option<Value>) -> Value {
        let mut request =
            self.http.request(method, format!("{}/api/v1/vm-pool{path}", self.url)).bearer_auth(&self.token);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = match request.send().await {
            Ok(answer) => answer.json().await.unwrap_or(Value::Null),
            Err(error) => json!({ "error": error.to_string() }),
        };
        if answer["success"] != true {
            self.errors.lock().unwrap().push(answer.to_string());
        }
        answer
    }

    async fn create(&self) -> String {
        let lease = LeaseId::new().to_string();
        let body = json!({ "workspace": "bench", "cpu": 1, "memory_gb": 1.0, "arch": "arm64",
            "ssh_public_key": PUBLIC_KEY, "ttl_s": 1200, "max_ttl_s": 7200 });
        let started = Instant::now();
        self.ask(reqwest::Method::POST, "", Some(&lease), Some(body)).await;
        self.create.add(started);
        loop {
            let asked = Instant::now();
            let answer = self.ask(reqwest::Method::GET, &format!("/{lease}"), None, None).await;
            self.get.add(asked);
            match answer["data"]["state"].as_str() {
                Some("ready") => break,
                Some("pending") => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => {
                    self.errors.lock().unwrap().push(answer.to_string());
                    break;
                }
            }
        }
        self.ready.add(started);
        lease
    }

    async fn whole_life(&self) {
        let lease = self.create().await;
        let asked = Instant::now();
        self.ask(reqwest::Method::POST, &format!("/{lease}/renew"), None, Some(json!({ "ttl_s": 1200 }))).await;
        self.renew.add(asked);
        let asked = Instant::now();
        self.ask(reqwest::Method::DELETE, &format!("/{lease}"), None, None).await;
        self.release.add(asked);
    }
}

async fn start(state: &std::path::Path, machines: &Arc<Machines>) -> (Server, String) {
    let tokens = state.join("tokens.json");
    let scope = TokenScope { workspaces: vec!["*".to_owned()], ..TokenScope::default() };
    let (token, text) = Token::new("bench".to_owned(), scope, Timestamp::UNIX_EPOCH, None).unwrap();
    TokensFile { tokens: vec![token], ..TokensFile::default() }.write(&tokens).unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let provider = Arc::new(MemoryProvider(Arc::clone(machines)));
    let custodian = Custodian::without_reaper(provider, Journal::new(state), Arc::clone(&clock), Timing::default());
    let tier = Tier { name: "small".to_owned(), cpu: 1, memory_gb: 1.0, disk_gb: 10 };
    let parts = ServerParts {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        custodians: vec![custodian],
        tokens: Tokens::open(&tokens).unwrap(),
        tiers: Tiers::new(vec![tier]).unwrap(),
        limits: Limits { leases: 100_000, ..Limits::default() },
        owner: OwnerId::derive("bench"),
        store: Arc::new(SqliteStore::new(state)),
        state: state.join("state"),
        clock,
    };
    (Server::start(parts).await.unwrap(), text.expose_secret().to_owned())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<u32> = std::env::args().skip(1).map(|argument| argument.parse().unwrap()).collect();
    let get = |index: usize, usual| arguments.get(index).copied().unwrap_or(usual);
    let (held, pace, seconds) = (get(0, 1000), get(1, 100), get(2, 20));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = tempfile::tempdir().unwrap();
    let machines = Machines::new();
    let (server, token) = start(state.path(), &machines).await;
    let caller = Arc::new(Caller {
        http: reqwest::Client::new(),
        url: server.url(),
        token,
        create: Latencies::default(),
        ready: Latencies::default(),
        get: Latencies::default(),
        renew: Latencies::default(),
        release: Latencies::default(),
        errors: Mutex::default(),
    });
    let filling = Instant::now();
    for _ in 0..held.div_ceil(50) {
        futures_util::future::join_all((0..50).map(|_| caller.create())).await;
    }
    let filled = filling.elapsed().as_secs_f64();
    let standing = machines.names().len();
    for latencies in [&caller.create, &caller.ready, &caller.get] {
        latencies.0.lock().unwrap().clear();
    }
    let started = Instant::now();
    let mut pacer = tokio::time::interval(Duration::from_secs(1) / pace);
    pacer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut lives = Vec::new();
    for _ in 0..pace * seconds {
        pacer.tick().await;
        let caller = Arc::clone(&caller);
        lives.push(tokio::spawn(async move { caller.whole_life().await }));
    }
    let asked = started.elapsed().as_secs_f64();
    for life in lives {
        life.await.unwrap();
    }
    let left = machines.names().len();
    server.stop().await;
    let errors = caller.errors.lock().unwrap().clone();
    let result = json!({
        "held": standing, "held_at_the_end": left, "filled_in_s": filled, "errors": errors.len(),
        "first_error": errors.first(), "creates": pace * seconds,
        "creates_per_s": f64::from(pace * seconds) / asked, "create_ms": caller.create.summary(),
        "until_ready_ms": caller.ready.summary(), "get_ms": caller.get.summary(), "renew_ms": caller.renew.summary(),
        "release_ms": caller.release.summary(),
    });
    println!("{result}");
}
