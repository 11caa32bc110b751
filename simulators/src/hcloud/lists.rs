//! What the cloud has to offer, as calls; and lists of what the simulator has none of.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, answer, gone, not_found};
use super::asked::Asked;
use super::catalog::{self, LOCATIONS, SERVER_TYPES};

/// Kinds of resources that clients look for and that are not simulated.
const NONE: [&str; 6] = ["networks", "volumes", "placement_groups", "floating_ips", "load_balancers", "certificates"];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    let mut router = Router::new()
        .route("/locations", get(locations))
        .route("/locations/{id}", get(location))
        .route("/server_types", get(server_types))
        .route("/server_types/{id}", get(server_type))
        .route("/datacenters", get(datacenters))
        .route("/datacenters/{id}", get(datacenters))
        .route("/pricing", get(async || answer(200, &catalog::pricing())));
    for kind in NONE {
        router = router.route(&format!("/{kind}"), get(async move |asked: Asked| asked.page(kind, Vec::new())));
    }
    router
}

async fn datacenters() -> Answer {
    Err(gone("https://docs.hetzner.cloud/changelog#2026-06-02-datacenters-deprecated"))
}

async fn locations(asked: Asked) -> Answer {
    asked.only(&["name"])?;
    let shown = LOCATIONS.iter().filter(|place| asked.value("name").is_none_or(|name| place.name == name));
    asked.page("locations", shown.map(|place| place.json()).collect())
}

async fn location(Path(id): Path<String>) -> Answer {
    let found = LOCATIONS.iter().find(|place| place.id.to_string() == id);
    found.map_or_else(|| Err(not_found("location", &id)), |place| answer(200, &json!({ "location": place.json() })))
}

async fn server_types(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    asked.only(&["name"])?;
    let shown = SERVER_TYPES.iter().filter(|size| asked.value("name").is_none_or(|name| size.name == name));
    asked.page("server_types", shown.map(|size| show(&cloud, size)).collect())
}

async fn server_type(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let found = SERVER_TYPES.iter().find(|size| size.id.to_string() == id);
    let found = found.ok_or_else(|| not_found("server_type", &id))?;
    answer(200, &json!({ "server_type": show(&cloud, found) }))
}

/// With the locations that are marked as sold out.
fn show(cloud: &Cloud, size: &catalog::ServerType) -> Value {
    size.json(|place| !cloud.sold_out(size.name, place))
}
