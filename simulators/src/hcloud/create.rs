//! `POST /servers`: what is refused, and how a server comes to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, ApiError, answer, broken, invalid, limit_exceeded, not_found, not_unique};
use super::asked::Asked;
use super::catalog::{self, ServerType};
use super::image::{self, Snapshot};
use super::labels::{Labels, check};
use super::lifecycle;
use super::primary_ip::PrimaryIp;
use super::server::{Server, Status, is_host_name};
use crate::backend::{Machine, Seed};

/// The most bytes of user data.
const MAX_USER_DATA: usize = 32 * 1024;

/// An id, or a name, as a string or a number.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum IdOrName {
    Id(u64),
    Name(String),
}

impl std::fmt::Display for IdOrName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What may be said of a new server: `datacenter` is no more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    server_type: IdOrName,
    image: IdOrName,
    location: Option<IdOrName>,
    #[serde(default)]
    ssh_keys: Option<Vec<IdOrName>>,
    user_data: Option<String>,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    networks: Option<Vec<u64>>,
    #[serde(default)]
    firewalls: Option<Vec<FirewallRef>>,
    #[serde(default)]
    volumes: Option<Vec<u64>>,
    #[serde(default)]
    #[expect(dead_code, reason = "known to the API, and without meaning where there are no volumes")]
    automount: Option<bool>,
    placement_group: Option<u64>,
    public_net: Option<PublicNet>,
    start_after_create: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirewallRef {
    firewall: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicNet {
    enable_ipv4: Option<bool>,
    enable_ipv6: Option<bool>,
    ipv4: Option<u64>,
    ipv6: Option<u64>,
}

/// What was asked for, found to be possible.
struct Checked {
    server_type: ServerType,
    location: &'static str,
    image: Value,
    keys: Vec<String>,
    labels: Labels,
    firewalls: Vec<u64>,
    enabled: [bool; 2],
}

/// Makes a server.
pub(super) async fn create(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    let wanted: Create = asked.body()?;
    if asked.struck.collides() {
        cloud.plant(&wanted.name, Labels::new());
    }
    let checked = check_create(&cloud, &wanted)?;
    let id = reserve(&cloud, &wanted, &checked)?;
    let machine = Machine {
        id: id.to_string(),
        name: wanted.name.clone(),
        cpus: checked.server_type.cores,
        memory_bytes: u64::from(checked.server_type.memory_gb) << 30,
        snapshot: (checked.image["type"] == "snapshot")
            .then(|| Snapshot::backend_name(checked.image["id"].as_u64().unwrap_or_default())),
    };
    let address = match cloud.core.backend.create(&machine).await {
        Ok(address) => address,
        Err(error) => {
            let now = cloud.core.clock.now();
            let mut state = cloud.state();
            state.remove_server(id);
            cloud.core.meter.end(&id.to_string(), now);
            return Err(broken(&error));
        }
    };
    let (server, action, next_actions) = {
        let mut state = cloud.state();
        attach_addresses(&cloud, &mut state, id, address, checked.enabled);
        let now = cloud.core.clock.now();
        let action = state.begin("create_server", now, &[(id, "server")]);
        let start = wanted.start_after_create.unwrap_or(true);
        let next: Option<u64> = start.then(|| state.begin("start_server", now, &[(id, "server")]));
        lifecycle::after_create(&cloud, id, action, next, &asked.struck);
        (state.server(id), state.action(action), next.map(|next| state.action(next)))
    };
    // Without a key a password is made, and sent to the project's owner by e-mail.
    let password = checked.keys.is_empty().then(|| {
        cloud.core.audit.mail(cloud.core.clock.now(), format!("root password of server {}", wanted.name));
        format!("simulated-{id}")
    });
    let body = json!({
        "server": server,
        "action": action,
        "next_actions": next_actions.into_iter().collect::<Vec<_>>(),
        "root_password": password,
    });
    answer(201, &body)
}

/// Refuses what the API refuses.
fn check_create(cloud: &Cloud, wanted: &Create) -> Result<Checked, ApiError> {
    if !is_host_name(&wanted.name) {
        return Err(invalid("name", "must be a valid hostname as per RFC 1123"));
    }
    let labels = wanted.labels.clone().unwrap_or_default();
    check(&labels).map_err(|why| invalid("labels", why))?;
    if wanted.user_data.as_ref().is_some_and(|data| data.len() > MAX_USER_DATA) {
        return Err(invalid("user_data", "must not be larger than 32 KiB"));
    }
    let server_type = catalog::server_type(&wanted.server_type.to_string())
        .ok_or_else(|| invalid("server_type", "server type not found"))?;
    let location = match &wanted.location {
        None => server_type.locations.first().copied().unwrap_or_default(),
        Some(name) => {
            let location =
                catalog::location(&name.to_string()).ok_or_else(|| invalid("location", "location not found"))?;
            if !server_type.locations.contains(&location.name) {
                return Err(invalid("location", "unsupported location for server type"));
            }
            location.name
        }
    };
    for (field, missing) in [
        ("networks", wanted.networks.iter().flatten().next()),
        ("volumes", wanted.volumes.iter().flatten().next()),
        ("placement_group", wanted.placement_group.as_ref()),
    ] {
        if let Some(id) = missing {
            return Err(invalid(field, format!("{id} not found")));
        }
    }
    let net = wanted.public_net.as_ref();
    if net.is_some_and(|net| net.ipv4.is_some() || net.ipv6.is_some()) {
        return Err(invalid("public_net", "the simulator assigns no primary IPs that are there already"));
    }
    let enabled =
        [net.and_then(|net| net.enable_ipv4), net.and_then(|net| net.enable_ipv6)].map(|on| on.unwrap_or(true));
    let state = cloud.state();
    let image = image::find(&state, &wanted.image.to_string(), server_type.architecture)?;
    let mut keys = Vec::new();
    for name in wanted.ssh_keys.iter().flatten() {
        let text = name.to_string();
        let key = state.ssh_keys.values().find(|key| key.name == text || key.id.to_string() == text);
        keys.push(key.ok_or_else(|| invalid("ssh_keys", format!("SSH key `{text}` not found")))?.public_key.clone());
    }
    let firewalls: Vec<u64> = wanted.firewalls.iter().flatten().map(|named| named.firewall).collect();
    if let Some(id) = firewalls.iter().find(|id| !state.firewalls.contains_key(id)) {
        return Err(not_found("firewall", &id.to_string()));
    }
    Ok(Checked { server_type, location, image, keys, labels, firewalls, enabled })
}

/// Takes the name, and begins the meter.
fn reserve(cloud: &Cloud, wanted: &Create, checked: &Checked) -> Result<u64, ApiError> {
    let mut state = cloud.state();
    if state.server_named(&wanted.name).is_some() {
        return Err(not_unique("name", "server name is already used"));
    }
    if state.servers.len() >= cloud.options.server_limit {
        return Err(limit_exceeded("server_limit"));
    }
    let id = state.new_id();
    let meta_data = BTreeMap::from([("region".to_owned(), checked.location.to_owned())]);
    let user_data = wanted.user_data.clone().unwrap_or_default();
    let server = Server {
        id,
        name: wanted.name.clone(),
        labels: checked.labels.clone(),
        server_type: checked.server_type,
        location: checked.location,
        image: checked.image.clone(),
        status: Status::Initializing,
        created: cloud.core.clock.now(),
        ipv4: None,
        primary_ips: [None, None],
        delete_protected: false,
        locked: false,
        seed: Seed { user_data, ssh_keys: checked.keys.clone(), meta_data },
    };
    cloud.core.meter.begin(server.metered());
    state.servers.insert(id, server);
    for firewall in &checked.firewalls {
        if let Some(firewall) = state.firewalls.get_mut(firewall) {
            firewall.servers.push(id);
        }
    }
    Ok(id)
}

/// Gives it primary IPs that go with it, one of each enabled kind.
fn attach_addresses(
    cloud: &Cloud,
    state: &mut super::state::State,
    server: u64,
    address: std::net::Ipv4Addr,
    enabled: [bool; 2],
) {
    let created = cloud.core.clock.now();
    let mut ids = [None, None];
    for (place, is_v4) in [true, false].into_iter().enumerate().filter(|(place, _)| enabled.get(*place) == Some(&true))
    {
        let id = state.new_id();
        let ip = if is_v4 {
            address.to_string()
        } else {
            format!("2001:db8:{:x}:{:x}::/64", id >> 16 & 0xffff, id & 0xffff)
        };
        let name = format!("primary_ip-{id}");
        let location = state.servers.get(&server).map_or("fsn1", |server| server.location);
        let ip = PrimaryIp {
            id,
            name,
            is_v4,
            ip,
            assignee: Some(server),
            auto_delete: true,
            labels: Labels::new(),
            location,
            created,
        };
        if let Some(metered) = ip.metered() {
            cloud.core.meter.begin(metered);
        }
        state.primary_ips.insert(id, ip);
        if let Some(slot) = ids.get_mut(place) {
            *slot = Some(id);
        }
    }
    if let Some(server) = state.servers.get_mut(&server) {
        server.primary_ips = ids;
        server.ipv4 = enabled.first().is_some_and(|on| *on).then_some(address);
    }
}
