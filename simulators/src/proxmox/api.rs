//! [`Api`]: which call is which, and who may make it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State as Shared};
use axum::http::Response;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::answer::{Refused, success};
use super::params::{Params, percent_decode};
use super::sim;
use crate::call::{Call, Refusal, Subject};
use crate::faults::Struck;
use crate::serve::Dialect;

/// How long a refused token waits for its answer.
const REFUSED_DELAY: Duration = Duration::from_secs(3);

/// The API.
#[derive(Debug, Clone)]
pub(super) struct Api(pub(super) Arc<sim::Shared>);

/// One call that is let in.
#[derive(Debug)]
pub(super) struct Asked {
    /// The token's id.
    pub(super) user: String,
    pub(super) struck: Struck,
    pub(super) params: Params,
}

impl Api {
    /// Every path: which one it is, is told here.
    pub(super) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    async fn answer(&self, call: &Call, struck: Struck) -> Result<Value, Refused> {
        if call.headers.get("transfer-encoding").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Err(Refused {
                status: 501,
                words: "chunked transfer encoding not supported".to_owned(),
                ..Refused::default()
            });
        }
        let user = self.authenticate(call).await?;
        let Some(path) = call.path().strip_prefix("/api2/json/") else {
            return Err(self.not_implemented(call));
        };
        let segments: Vec<String> = path.split('/').map(|part| percent_decode(part).unwrap_or_default()).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let asked = Asked { user, struck, params: Params::of(call)? };
        match (call.method.as_str(), segments.as_slice()) {
            ("GET", ["version"]) => {
                asked.params.end().map(|()| json!({ "version": "9.2.6", "release": "9.2", "repoid": "0" }))
            }
            ("GET", ["nodes"]) => self.nodes(asked),
            ("GET", ["nodes", node, "status"]) => self.node_status(node, asked),
            ("GET", ["nodes", node, "tasks", upid, "status"]) => self.task_status(node, upid, asked),
            ("DELETE", ["nodes", node, "tasks", upid]) => self.stop_task(node, upid, asked),
            ("GET", ["cluster", "nextid"]) => self.next_id(asked),
            ("GET", ["cluster", "resources"]) => self.resources(asked),
            ("GET", ["pools", pool]) => self.pool(pool, asked),
            ("GET", ["access", "permissions"]) => self.permissions(asked),
            (method, ["nodes", node, "qemu", vmid, rest @ ..]) => {
                let wrong = || Refused::parameter("vmid", format!("type check ('integer') failed - got '{vmid}'"));
                let vmid = vmid.parse().map_err(|_| wrong())?;
                self.state().node(node)?;
                match (method, rest) {
                    ("POST", ["clone"]) => self.clone_vm(node, vmid, asked),
                    ("GET", ["config"]) => self.config(node, vmid, asked),
                    ("PUT" | "POST", ["config"]) => self.configure(node, vmid, asked, method == "POST"),
                    ("PUT", ["resize"]) => self.resize(node, vmid, asked),
                    ("GET", ["status", "current"]) => self.status(node, vmid, asked).await,
                    ("POST", ["status", "start"]) => self.start(node, vmid, asked),
                    ("POST", ["status", "stop"]) => self.stop(node, vmid, asked),
                    ("DELETE", []) => self.destroy(node, vmid, asked),
                    ("GET", ["agent", "network-get-interfaces"]) => self.interfaces(node, vmid, asked).await,
                    ("GET", ["agent", "file-read"]) => self.file_read(node, vmid, asked).await,
                    _ => Err(self.not_implemented(call)),
                }
            }
            _ => Err(self.not_implemented(call)),
        }
    }

    fn not_implemented(&self, call: &Call) -> Refused {
        let words = format!("Method '{} {}' not implemented", call.method, call.path());
        Refused { status: 501, words, ..Refused::default() }
    }

    async fn authenticate(&self, call: &Call) -> Result<String, Refused> {
        let said = call.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let pair = said.strip_prefix("PVEAPIToken=").and_then(|said| said.split_once('='));
        let known = pair.and_then(|(id, secret)| {
            let state = self.state();
            (state.tokens.get(id).is_some_and(|known| known == secret)).then(|| id.to_owned())
        });
        match known {
            Some(id) => Ok(id),
            None => {
                if self.0.core.clock.follows() {
                    self.0.core.clock.sleep(REFUSED_DELAY).await;
                }
                let words = if pair.is_some() { "invalid token value!" } else { "No ticket" };
                Err(Refused { status: 401, words: words.to_owned(), ..Refused::default() })
            }
        }
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, super::state::State> {
        self.0.state()
    }
}

async fn answer(Shared(api): Shared<Api>, Extension(struck): Extension<Struck>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let call = Call { method: parts.method, uri: parts.uri, headers: parts.headers, body: body.to_vec() };
    match api.answer(&call, struck).await {
        Ok(data) => success(&data),
        Err(refused) => refused.response(api.0.options.old_errors),
    }
}

impl Dialect for Api {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let words = if refusal.message.is_empty() { &refusal.code } else { &refusal.message };
        let refused = Refused { status: refusal.status, words: words.clone(), ..Refused::default() };
        refused.response(self.0.options.old_errors)
    }

    fn subject(&self, call: &Call) -> Subject {
        let mut segments = call.path().split('/').skip_while(|segment| *segment != "nodes");
        Subject { location: segments.nth(1).map(str::to_owned), ..Subject::default() }
    }

    fn servers(&self) -> Value {
        let state = self.state();
        let shown = |vm: &super::Vm| json!({ "vmid": vm.vmid, "node": vm.node, "status": vm.status(), "config": vm.shown(), "pool": vm.pool });
        state.vms.values().map(shown).collect()
    }
}
