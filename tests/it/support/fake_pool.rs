//! [`FakePool`]: a vm-pool without runners, that says whatever a test wants it to say.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lian_build::provider::vm_pool::{Token, VmPoolConfig};
use serde_json::{Value, json};

use super::http_server::{Answer, HttpServer, Request, answer, hang_up};

/// The token that it knows.
pub(crate) const TOKEN: &str = "t0ken-of-the-tests";

/// A host key that nothing has.
pub(crate) const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

/// What happens to one request instead of its answer.
#[derive(Debug, Clone)]
pub(crate) enum Trick {
    /// It is carried out, and its answer is lost.
    ReplyLost,
    /// It is not carried out, and this is the answer.
    Instead(Answer),
    /// It is carried out, and this is the answer.
    After(Answer),
    /// It is said to be carried out.
    OnlySaid,
}

/// Changes what is said of a lease.
type Shape = Box<dyn Fn(&mut Value) + Send + Sync>;

struct State {
    /// What is said of each lease, before its shape.
    leases: BTreeMap<String, Value>,
    /// The request that made each.
    requests: BTreeMap<String, Value>,
    /// By method and the end of the path.
    tricks: VecDeque<(&'static str, Trick)>,
    p95: Value,
    metrics: Vec<Value>,
}

/// A vm-pool without runners.
pub(crate) struct FakePool {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

impl FakePool {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// One that says this of each lease.
    pub(crate) async fn with(shape: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        let state = Arc::new(Mutex::new(State {
            leases: BTreeMap::new(),
            requests: BTreeMap::new(),
            tricks: VecDeque::new(),
            p95: Value::Null,
            metrics: Vec::new(),
        }));
        let (shared, shape): (_, Shape) = (Arc::clone(&state), Box::new(shape));
        let server = HttpServer::start(move |request| shared.lock().unwrap().answer(request, &shape)).await;
        Self { server, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.host())
    }

    /// The next requests of this method are treated so. `RENEW`, `P95` and `METRICS` are methods here, too.
    pub(crate) fn trick(&self, method: &'static str, trick: Trick, times: usize) {
        self.state.lock().unwrap().tricks.extend(std::iter::repeat_n((method, trick), times));
    }

    /// What is said of a workspace's history.
    pub(crate) fn set_p95(&self, said: Value) {
        self.state.lock().unwrap().p95 = said;
    }

    /// What of this lease is said from now on.
    pub(crate) fn change(&self, lease: &str, change: impl FnOnce(&mut Value)) {
        change(self.state.lock().unwrap().leases.get_mut(lease).unwrap());
    }

    /// The leases that it has.
    pub(crate) fn leases(&self) -> Vec<String> {
        self.state.lock().unwrap().leases.keys().cloned().collect()
    }

    /// The request that a lease was made by.
    pub(crate) fn request(&self, lease: &str) -> Value {
        self.state.lock().unwrap().requests[lease].clone()
    }

    /// Metrics that it took.
    pub(crate) fn metrics(&self) -> Vec<Value> {
        self.state.lock().unwrap().metrics.clone()
    }

    /// Methods and paths of all requests so far.
    pub(crate) fn seen(&self) -> Vec<(String, String)> {
        self.server.seen().into_iter().map(|request| (request.method, request.target)).collect()
    }

    /// How many requests of this method there were.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.seen().iter().filter(|(seen, _)| seen == method).count()
    }

    /// Puts a lease there that nobody asked for.
    pub(crate) fn plant(&self, lease: &str, labels: Value) {
        let mut said = ready(lease, &json!({ "labels": labels, "arch": "amd64", "memory_gb": 1.0 }));
        said["labels"] = labels;
        self.state.lock().unwrap().leases.insert(lease.to_owned(), said);
    }
}

/// An answer as the API has it.
pub(crate) fn json_answer(status: u16, body: &Value) -> Answer {
    answer(status).header("content-type", "application/json").body(body.to_string())
}

/// A refusal as the API has it.
pub(crate) fn refusal(status: u16, code: &str, why: &str) -> Answer {
    json_answer(status, &json!({ "success": false, "data": null, "error": why, "code": code }))
}

fn done(data: &Value) -> Answer {
    json_answer(200, &json!({ "success": true, "data": data, "error": null, "code": null }))
}

/// What is said of a lease whose runner answers.
fn ready(lease: &str, request: &Value) -> Value {
    let memory = (request["memory_gb"].as_f64().unwrap_or(1.0) * f64::from(1 << 30)) as u64;
    json!({
        "lease_id": lease, "state": "ready", "reason": null, "host": "127.0.0.1", "port": 9, "user": "root",
        "host_key": HOST_KEY, "runner_type": request["runner_type"], "provider": "docker_local",
        "expires_at": "2030-01-01T00:00:00Z", "cost": null, "labels": request["labels"], "something_new": { "a": [1] },
        "endpoint": {
            "paths": { "context": "/workspace", "extra_contexts": "/build/extra-contexts", "run": "/run/lian",
                "buildkit_root": "/var/lib/buildkit", "output": "/build/output", "secrets": "/run/lian-secrets",
                "bin": "/usr/local/bin" },
            "isolation": "container", "shared": true, "rootless": false, "memory": { "None": { "reason": "a test" } },
            "effective_memory_bytes": memory, "effective_cpu": 1, "cache_cap_bytes": null, "architecture": request["arch"],
            "notes": [], "warnings": []
        }
    })
}

impl State {
    fn answer(&mut self, request: &Request, shape: &Shape) -> Answer {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return refusal(401, "unauthorized", "who are you?");
        }
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let kind = match path.as_str() {
            "/api/v1/p95" => "P95",
            "/api/v1/metrics" => "METRICS",
            path if path.ends_with("/renew") => "RENEW",
            "/api/v1/vm-pool" if request.method == "GET" => "LIST",
            _ => &request.method,
        };
        let place = self.tricks.iter().position(|(method, _)| *method == kind);
        match place.and_then(|place| self.tricks.remove(place)) {
            Some((_, Trick::Instead(instead))) => instead,
            Some((_, Trick::OnlySaid)) => done(&json!({ "lease_id": "", "state": "released" })),
            Some((_, trick)) => {
                self.carry_out(kind, &path, request, shape);
                match trick {
                    Trick::After(after) => after,
                    _ => hang_up(),
                }
            }
            None => self.carry_out(kind, &path, request, shape),
        }
    }

    fn carry_out(&mut self, kind: &str, path: &str, request: &Request, shape: &Shape) -> Answer {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let shaped = |said: &Value| {
            let mut said = said.clone();
            shape(&mut said);
            done(&said)
        };
        let lease = path.trim_start_matches("/api/v1/vm-pool").trim_matches('/').trim_end_matches("/renew").to_owned();
        match kind {
            "P95" => done(&self.p95),
            "METRICS" => {
                self.metrics.push(body);
                done(&json!({ "accepted": true }))
            }
            "LIST" => done(&self.leases.values().cloned().collect()),
            "POST" => {
                let key = request.header("idempotency-key").unwrap().to_owned();
                match self.requests.get(&key) {
                    Some(earlier) if *earlier != body => return refusal(409, "key_reused", "another request"),
                    Some(_) => {}
                    None => {
                        self.leases.insert(key.clone(), ready(&key, &body));
                        self.requests.insert(key.clone(), body);
                    }
                }
                shaped(&self.leases[&key])
            }
            "RENEW" => match self.leases.get_mut(&lease) {
                Some(said) => {
                    said["renewed_by"] = body["ttl_s"].clone();
                    done(said)
                }
                None => refusal(404, "unknown_lease", "no such lease"),
            },
            "GET" => match self.leases.get(&lease) {
                Some(said) => shaped(said),
                None => refusal(404, "unknown_lease", "no such lease"),
            },
            "DELETE" => match self.leases.remove(&lease) {
                Some(_) => done(&json!({ "lease_id": lease, "state": "released" })),
                None => refusal(404, "unknown_lease", "no such lease"),
            },
            _ => answer(405),
        }
    }
}

/// How a client with the tests' token speaks to a pool there, with its own things below `dir`.
pub(crate) fn pool_config(url: &str, dir: &Path) -> VmPoolConfig {
    VmPoolConfig {
        address: url.parse().unwrap(),
        token: Some(Token::new(TOKEN).unwrap()),
        asks_for: Some("docker_local".to_owned()),
        program_dirs: ["/usr/bin", "/bin"].map(PathBuf::from).into(),
        runtime_dir: dir.join("run"),
    }
}
