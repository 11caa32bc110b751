//! [`Action`]: something that takes its time, and the calls that tell how far it is.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, answer, gone, not_found};
use super::asked::Asked;

/// Something that takes its time.
#[derive(Debug, Clone)]
pub(super) struct Action {
    id: u64,
    command: String,
    started: Timestamp,
    finished: Option<Timestamp>,
    error: Option<(String, String)>,
    resources: Vec<(u64, &'static str)>,
}

impl Action {
    pub(super) fn begin(id: u64, command: &str, started: Timestamp, resources: &[(u64, &'static str)]) -> Self {
        Self { id, command: command.to_owned(), started, finished: None, error: None, resources: resources.to_vec() }
    }

    /// It is over; with a code and a text when it failed.
    pub(super) fn end(&mut self, now: Timestamp, error: Option<(String, String)>) {
        self.finished = Some(now);
        self.error = error;
    }

    /// Whether it is about this resource.
    fn is_about(&self, kind: &str, id: u64) -> bool {
        self.resources.iter().any(|(resource, of)| *resource == id && *of == kind)
    }

    fn status(&self) -> &'static str {
        match (&self.finished, &self.error) {
            (None, _) => "running",
            (Some(_), None) => "success",
            (Some(_), Some(_)) => "error",
        }
    }

    /// As the API shows it.
    pub(super) fn json(&self) -> Value {
        let resources: Vec<Value> = self.resources.iter().map(|(id, kind)| json!({ "id": id, "type": kind })).collect();
        json!({
            "id": self.id,
            "command": self.command,
            "status": self.status(),
            "progress": if self.finished.is_some() { 100 } else { 0 },
            "started": self.started,
            "finished": self.finished,
            "resources": resources,
            "error": self.error.as_ref().map(|(code, message)| json!({ "code": code, "message": message })),
        })
    }
}

/// Where actions are told of, beside `/actions`: the resources that have them.
const KINDS: [(&str, &str); 4] =
    [("servers", "server"), ("firewalls", "firewall"), ("images", "image"), ("primary_ips", "primary_ip")];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    let mut router = Router::new().route("/actions", get(list)).route("/actions/{id}", get(one));
    for (path, kind) in KINDS {
        let of_one = move |state: State<Arc<Cloud>>, id: Path<String>, asked: Asked| of_one(kind, state, id, asked);
        router = router
            .route(&format!("/{path}/actions"), get(list))
            .route(&format!("/{path}/actions/{{id}}"), get(one))
            .route(&format!("/{path}/{{id}}/actions"), get(of_one))
            .route(&format!("/{path}/{{of}}/actions/{{id}}"), get(one_of_one));
    }
    router
}

/// Those that are asked for by id: a list of all there ever were is no more.
async fn list(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    asked.only(&["id", "status"])?;
    let ids: Vec<&str> = asked.values("id").collect();
    if ids.is_empty() {
        return Err(gone(
            "https://docs.hetzner.cloud/changelog#2025-01-30-listing-arbitrary-actions-in-the-actions-list-endpoint-is-removed",
        ));
    }
    let actions = cloud.state();
    let shown = actions.actions.values().filter(|action| ids.contains(&action.id.to_string().as_str()));
    asked.page("actions", with_status(&asked, shown))
}

/// Those with the status that is asked for.
fn with_status<'a>(asked: &Asked, actions: impl Iterator<Item = &'a Action>) -> Vec<Value> {
    let wanted: Vec<&str> = asked.values("status").collect();
    actions.filter(|action| wanted.is_empty() || wanted.contains(&action.status())).map(Action::json).collect()
}

async fn one(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let state = cloud.state();
    let action = id.parse().ok().and_then(|id: u64| state.actions.get(&id));
    action.map_or_else(|| Err(not_found("action", &id)), |action| answer(200, &json!({ "action": action.json() })))
}

async fn one_of_one(cloud: State<Arc<Cloud>>, Path((_of, id)): Path<(String, String)>) -> Answer {
    one(cloud, Path(id)).await
}

async fn of_one(kind: &'static str, State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    asked.only(&["status"])?;
    let id: u64 = id.parse().map_err(|_| not_found(kind, &id))?;
    let state = cloud.state();
    let shown = state.actions.values().filter(|action| action.is_about(kind, id));
    asked.page("actions", with_status(&asked, shown))
}
