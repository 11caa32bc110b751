//! The calls for servers that are there: list, show, change, delete, power and snapshots.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, ApiError, answer, invalid, locked, not_found, not_unique, protected};
use super::asked::Asked;
use super::create::create;
use super::image::Snapshot;
use super::labels::{Labels, check};
use super::lifecycle;
use super::server::{Status, is_host_name};

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/servers", get(list).post(create))
        .route("/servers/{id}", get(one).put(update).delete(delete))
        .route("/servers/{id}/actions/create_image", post(create_image))
        .route("/servers/{id}/actions/change_protection", post(change_protection))
        .route("/servers/{id}/actions/poweron", post(|state, id, asked| power("start_server", state, id, asked)))
        .route("/servers/{id}/actions/poweroff", post(|state, id, asked| power("stop_server", state, id, asked)))
        .route("/servers/{id}/actions/shutdown", post(|state, id, asked| power("shutdown_server", state, id, asked)))
        .route("/servers/{id}/actions/reboot", post(|state, id, asked| power("reboot_server", state, id, asked)))
        .route("/servers/{id}/actions/reset", post(|state, id, asked| power("reset_server", state, id, asked)))
}

/// The id of a server that is there.
fn known(cloud: &Cloud, id: &str) -> Result<u64, ApiError> {
    let number = id.parse().ok().filter(|id| cloud.state().servers.contains_key(id));
    number.ok_or_else(|| not_found("server", id))
}

async fn list(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    asked.only(&["name", "label_selector", "status"])?;
    cloud.look().await;
    let (name, selector) = (asked.value("name"), asked.selector()?);
    let statuses: Vec<&str> = asked.values("status").collect();
    let state = cloud.state();
    let shown = state
        .servers
        .values()
        .filter(|server| name.is_none_or(|name| server.name == name) && selector.selects(&server.labels));
    let of_status = |server: &Value| statuses.is_empty() || statuses.iter().any(|status| server["status"] == *status);
    asked.page("servers", shown.map(|server| server.json(&state)).filter(of_status).collect())
}

async fn one(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    cloud.look().await;
    let id = known(&cloud, &id)?;
    let shown = cloud.state().server(id);
    answer(200, &json!({ "server": shown }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    name: Option<String>,
    labels: Option<Labels>,
}

/// Labels are replaced, not added to.
async fn update(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: Update = asked.body()?;
    if let Some(labels) = &wanted.labels {
        check(labels).map_err(|why| invalid("labels", why))?;
    }
    let mut state = cloud.state();
    if let Some(name) = &wanted.name {
        if !is_host_name(name) {
            return Err(invalid("name", "must be a valid hostname as per RFC 1123"));
        }
        if state.server_named(name).is_some_and(|other| other != id) {
            return Err(not_unique("name", "server name is already used"));
        }
    }
    if let Some(server) = state.servers.get_mut(&id) {
        server.name = wanted.name.unwrap_or_else(|| server.name.clone());
        server.labels = wanted.labels.unwrap_or_else(|| server.labels.clone());
    }
    answer(200, &json!({ "server": state.server(id) }))
}

async fn delete(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let (action, shown) = {
        let mut state = cloud.state();
        let Some(server) = state.servers.get(&id) else { return Err(not_found("server", &id.to_string())) };
        if server.delete_protected {
            return Err(protected("server"));
        }
        if server.locked {
            return Err(locked("server"));
        }
        if server.status == Status::Deleting {
            return Err(locked("server"));
        }
        let action = state.begin("delete_server", cloud.core.clock.now(), &[(id, "server")]);
        (action, state.action(action))
    };
    let work = lifecycle::delete(&cloud, id, action, &asked.struck);
    if asked.struck.slow_seconds() > 0 {
        tokio::spawn(work);
    } else {
        // The answer says `running` all the same: clients have to ask how it ended.
        work.await;
    }
    answer(200, &json!({ "action": shown }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateImage {
    r#type: Option<String>,
    description: Option<String>,
    labels: Option<Labels>,
}

async fn create_image(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: CreateImage = asked.body()?;
    if wanted.r#type.as_deref() != Some("snapshot") {
        return Err(invalid("type", "the simulator makes snapshots only"));
    }
    let labels = wanted.labels.unwrap_or_default();
    check(&labels).map_err(|why| invalid("labels", why))?;
    let now = cloud.core.clock.now();
    let mut state = cloud.state();
    let image_id = state.new_id();
    let Some(server) = state.servers.get_mut(&id) else { return Err(not_found("server", &id.to_string())) };
    if server.locked {
        return Err(locked("server"));
    }
    server.locked = true;
    let image = Snapshot {
        id: image_id,
        available: false,
        description: wanted.description.unwrap_or_else(|| server.name.clone()),
        labels,
        architecture: server.server_type.architecture,
        disk_gb: server.server_type.disk_gb,
        from: (id, server.name.clone()),
        created: now,
    };
    let shown = image.json();
    state.snapshots.insert(image_id, image);
    let action = state.begin("create_image", now, &[(id, "server"), (image_id, "image")]);
    lifecycle::snapshot(&cloud, id, image_id, action, &asked.struck);
    answer(201, &json!({ "image": shown, "action": state.action(action) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protection {
    delete: Option<bool>,
    rebuild: Option<bool>,
}

async fn change_protection(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: Protection = asked.body()?;
    if wanted.delete != wanted.rebuild {
        return Err(invalid("delete", "delete and rebuild must be the same"));
    }
    let now = cloud.core.clock.now();
    let mut state = cloud.state();
    if let Some(server) = state.servers.get_mut(&id) {
        server.delete_protected = wanted.delete.unwrap_or(server.delete_protected);
    }
    let action = state.done_at_once("change_protection", now, &[(id, "server")]);
    answer(201, &json!({ "action": action }))
}

async fn power(
    command: &'static str,
    State(cloud): State<Arc<Cloud>>,
    Path(id): Path<String>,
    _asked: Asked,
) -> Answer {
    let id = known(&cloud, &id)?;
    let (action, shown) = {
        let mut state = cloud.state();
        if state.servers.get(&id).is_some_and(|server| server.locked || server.status == Status::Deleting) {
            return Err(locked("server"));
        }
        let action = state.begin(command, cloud.core.clock.now(), &[(id, "server")]);
        (action, state.action(action))
    };
    match command {
        "start_server" => lifecycle::power_on(&cloud, id, action),
        "reboot_server" | "reset_server" => lifecycle::power_off(&cloud, id, action, true),
        _ => lifecycle::power_off(&cloud, id, action, false),
    }
    answer(201, &json!({ "action": shown }))
}
