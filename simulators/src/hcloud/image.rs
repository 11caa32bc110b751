//! [`Snapshot`]: a server's disk under an id, and the calls for images of every kind.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, ApiError, answer, invalid, no_content, not_found};
use super::asked::Asked;
use super::catalog::{SYSTEM_IMAGES, system_image};
use super::labels::{Labels, check};
use super::state::State as Project;

/// A server's disk under an id.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) id: u64,
    pub(super) available: bool,
    pub(super) description: String,
    pub(super) labels: Labels,
    pub(super) architecture: &'static str,
    pub(super) disk_gb: u32,
    /// The server it was made from: id and name.
    pub(super) from: (u64, String),
    pub(super) created: Timestamp,
}

impl Snapshot {
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "type": "snapshot",
            "status": if self.available { "available" } else { "creating" },
            "name": null,
            "description": self.description,
            "image_size": if self.available { json!(2.3) } else { Value::Null },
            "disk_size": self.disk_gb,
            "created": self.created,
            "created_from": { "id": self.from.0, "name": self.from.1 },
            "bound_to": null,
            "os_flavor": "debian",
            "os_version": "12",
            "architecture": self.architecture,
            "rapid_deploy": false,
            "protection": { "delete": false },
            "deprecated": null,
            "deleted": null,
            "labels": self.labels,
        })
    }

    /// How the backend calls it.
    pub(super) fn backend_name(id: u64) -> String {
        format!("snapshot-{id}")
    }
}

/// The image that a server is to be made from, as the API shows it: by id, or of a name the one of the architecture.
pub(super) fn find(state: &Project, id_or_name: &str, architecture: &str) -> Result<Value, ApiError> {
    let snapshot = id_or_name.parse().ok().and_then(|id: u64| state.snapshots.get(&id));
    let of_name = || SYSTEM_IMAGES.iter().find(|image| image.1 == id_or_name && image.4 == architecture);
    let system = SYSTEM_IMAGES.iter().find(|image| image.0.to_string() == id_or_name).or_else(of_name);
    let image = match (snapshot, system) {
        (Some(snapshot), _) if !snapshot.available => return Err(invalid("image", "image is not available yet")),
        (Some(snapshot), _) => snapshot.json(),
        (None, Some(system)) => system_image(system),
        (None, None) => return Err(invalid("image", "image not found")),
    };
    if image["architecture"] != architecture {
        return Err(invalid("image", "image and server type have incompatible architectures"));
    }
    Ok(image)
}

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new().route("/images", get(list)).route("/images/{id}", get(one).put(update).delete(delete))
}

async fn list(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    asked.only(&["name", "architecture", "type", "label_selector", "status", "include_deprecated", "bound_to"])?;
    let selector = asked.selector()?;
    let one_of = |name: &str, value: &Value| {
        let wanted: Vec<&str> = asked.values(name).collect();
        wanted.is_empty() || value.as_str().is_some_and(|value| wanted.contains(&value))
    };
    let state = cloud.state();
    let snapshots = state.snapshots.values().map(|snapshot| (snapshot.json(), snapshot.labels.clone()));
    let system = SYSTEM_IMAGES.iter().map(|image| (system_image(image), Labels::new()));
    let shown = system.chain(snapshots).filter(|(image, labels)| {
        ["name", "architecture", "type", "status"].iter().all(|field| one_of(field, &image[*field]))
            && selector.selects(labels)
            && asked.value("bound_to").is_none()
    });
    asked.page("images", shown.map(|(image, _)| image).collect())
}

async fn one(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let state = cloud.state();
    let system = SYSTEM_IMAGES.iter().find(|image| image.0.to_string() == id).map(system_image);
    let snapshot = id.parse().ok().and_then(|id: u64| state.snapshots.get(&id)).map(Snapshot::json);
    let image = system.or(snapshot).ok_or_else(|| not_found("image", &id))?;
    answer(200, &json!({ "image": image }))
}

/// Only snapshots can be changed.
fn snapshot(cloud: &Cloud, id: &str) -> Result<u64, ApiError> {
    let number = id.parse().ok().filter(|id| cloud.state().snapshots.contains_key(id));
    number.ok_or_else(|| not_found("image", id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    description: Option<String>,
    labels: Option<Labels>,
}

async fn update(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = snapshot(&cloud, &id)?;
    let wanted: Update = asked.body()?;
    if let Some(labels) = &wanted.labels {
        check(labels).map_err(|why| invalid("labels", why))?;
    }
    let mut state = cloud.state();
    let Some(image) = state.snapshots.get_mut(&id) else { return Err(not_found("image", &id.to_string())) };
    image.description = wanted.description.unwrap_or_else(|| image.description.clone());
    image.labels = wanted.labels.unwrap_or_else(|| image.labels.clone());
    answer(200, &json!({ "image": image.json() }))
}

async fn delete(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let id = snapshot(&cloud, &id)?;
    cloud.state().snapshots.remove(&id);
    cloud.core.backend.forget_snapshot(&Snapshot::backend_name(id)).await;
    no_content()
}
