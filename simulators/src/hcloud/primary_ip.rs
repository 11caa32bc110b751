//! [`PrimaryIp`]: an address that servers have, and that can outlive them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, ApiError, answer, in_use, invalid, no_content, not_found, not_unique};
use super::asked::Asked;
use super::catalog;
use super::labels::{Labels, check};
use crate::bill::{Kind, Metered};

/// An address that servers have, and that can outlive them.
#[derive(Debug, Clone)]
pub(super) struct PrimaryIp {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) is_v4: bool,
    pub(super) ip: String,
    /// The server that has it.
    pub(super) assignee: Option<u64>,
    /// Whether it goes with its server.
    pub(super) auto_delete: bool,
    pub(super) labels: Labels,
    pub(super) location: &'static str,
    pub(super) created: Timestamp,
}

impl PrimaryIp {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": if self.is_v4 { "ipv4" } else { "ipv6" },
            "ip": self.ip,
            "assignee_id": self.assignee,
            "assignee_type": "server",
            "auto_delete": self.auto_delete,
            "blocked": false,
            "created": self.created,
            "dns_ptr": [],
            "labels": self.labels,
            "location": catalog::location(self.location).map(catalog::Location::json),
            "protection": { "delete": false },
        })
    }

    /// As a server shows it.
    pub(super) fn in_server(&self) -> Value {
        let dns_ptr = if self.is_v4 { json!(format!("{}.sim.invalid", self.ip)) } else { json!([]) };
        json!({ "id": self.id, "ip": self.ip, "blocked": false, "dns_ptr": dns_ptr })
    }

    /// What its meter counts: only IPv4 is paid for.
    pub(super) fn metered(&self) -> Option<Metered> {
        self.is_v4.then(|| Metered {
            kind: Kind::PrimaryIp,
            id: self.id.to_string(),
            name: self.name.clone(),
            server_type: "ipv4".to_owned(),
            location: self.location.to_owned(),
            labels: self.labels.clone(),
            hourly: catalog::ipv4_hourly(),
            created: self.created,
        })
    }
}

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/primary_ips", get(list).post(create))
        .route("/primary_ips/{id}", get(one).put(update).delete(delete))
}

async fn list(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    asked.only(&["name", "ip", "label_selector"])?;
    let (name, address, selector) = (asked.value("name"), asked.value("ip"), asked.selector()?);
    let state = cloud.state();
    let shown = state.primary_ips.values().filter(|ip| {
        name.is_none_or(|name| ip.name == name)
            && address.is_none_or(|address| ip.ip == address)
            && selector.selects(&ip.labels)
    });
    asked.page("primary_ips", shown.map(PrimaryIp::json).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    r#type: String,
    assignee_type: String,
    #[serde(default)]
    auto_delete: bool,
    location: String,
    #[serde(default)]
    labels: Option<Labels>,
}

async fn create(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    let wanted: Create = asked.body()?;
    let labels = wanted.labels.unwrap_or_default();
    check(&labels).map_err(|why| invalid("labels", why))?;
    let is_v4 = match wanted.r#type.as_str() {
        "ipv4" => true,
        "ipv6" => false,
        _ => return Err(invalid("type", "must be ipv4 or ipv6")),
    };
    if wanted.assignee_type != "server" {
        return Err(invalid("assignee_type", "must be server"));
    }
    let location = catalog::location(&wanted.location).ok_or_else(|| invalid("location", "unknown location"))?;
    let mut state = cloud.state();
    if state.primary_ips.values().any(|ip| ip.name == wanted.name) {
        return Err(not_unique("name", "primary IP name is already used"));
    }
    let id = state.new_id();
    let ip = PrimaryIp {
        id,
        name: wanted.name,
        is_v4,
        ip: if is_v4 { Ipv4Addr::new(198, 19, 255, 1).to_string() } else { format!("2001:db8:{:x}::/64", id % 65_536) },
        assignee: None,
        auto_delete: wanted.auto_delete,
        labels,
        location: location.name,
        created: cloud.core.clock.now(),
    };
    if let Some(metered) = ip.metered() {
        cloud.core.meter.begin(metered);
    }
    let shown = ip.json();
    state.primary_ips.insert(id, ip);
    answer(201, &json!({ "primary_ip": shown, "action": null }))
}

fn known(cloud: &Cloud, id: &str) -> Result<u64, ApiError> {
    let number = id.parse().ok().filter(|id| cloud.state().primary_ips.contains_key(id));
    number.ok_or_else(|| not_found("primary_ip", id))
}

async fn one(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let id = known(&cloud, &id)?;
    let shown = cloud.state().primary_ips.get(&id).map(PrimaryIp::json);
    answer(200, &json!({ "primary_ip": shown }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    name: Option<String>,
    labels: Option<Labels>,
    auto_delete: Option<bool>,
}

async fn update(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: Update = asked.body()?;
    if let Some(labels) = &wanted.labels {
        check(labels).map_err(|why| invalid("labels", why))?;
    }
    let mut state = cloud.state();
    let Some(ip) = state.primary_ips.get_mut(&id) else { return Err(not_found("primary_ip", &id.to_string())) };
    ip.name = wanted.name.unwrap_or_else(|| ip.name.clone());
    ip.labels = wanted.labels.unwrap_or_else(|| ip.labels.clone());
    ip.auto_delete = wanted.auto_delete.unwrap_or(ip.auto_delete);
    answer(200, &json!({ "primary_ip": ip.json() }))
}

async fn delete(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let id = known(&cloud, &id)?;
    let mut state = cloud.state();
    if state.primary_ips.get(&id).is_some_and(|ip| ip.assignee.is_some()) {
        return Err(in_use("primary IP"));
    }
    state.primary_ips.remove(&id);
    cloud.core.meter.end(&id.to_string(), cloud.core.clock.now());
    no_content()
}
