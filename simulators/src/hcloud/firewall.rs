//! [`Firewall`]: rules for what reaches servers. The simulator keeps them, and filters nothing.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, ApiError, answer, in_use, invalid, no_content, not_found, not_unique};
use super::asked::Asked;
use super::labels::{Labels, check};
use super::selector::Selector;
use super::server::Server;

/// Rules for what reaches servers.
#[derive(Debug, Clone)]
pub(super) struct Firewall {
    pub(super) id: u64,
    name: String,
    labels: Labels,
    rules: Vec<Rule>,
    /// The servers it is applied to by id.
    pub(super) servers: Vec<u64>,
    selectors: Vec<String>,
    created: Timestamp,
}

/// One rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    description: Option<String>,
    direction: String,
    protocol: String,
    port: Option<String>,
    #[serde(default)]
    source_ips: Vec<String>,
    #[serde(default)]
    destination_ips: Vec<String>,
}

/// To whom it is applied.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    r#type: String,
    server: Option<ById>,
    label_selector: Option<BySelector>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ById {
    id: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct BySelector {
    selector: String,
}

impl Firewall {
    /// Whether it stands before this server.
    pub(super) fn applies_to(&self, server: &Server) -> bool {
        let selects = |text: &String| text.parse::<Selector>().is_ok_and(|selector| selector.selects(&server.labels));
        self.servers.contains(&server.id) || self.selectors.iter().any(selects)
    }

    fn json(&self) -> Value {
        let servers = self.servers.iter().map(|id| json!({ "type": "server", "server": { "id": id } }));
        let selectors = self.selectors.iter().map(|selector| {
            let selector = json!({ "selector": selector });
            json!({ "type": "label_selector", "label_selector": selector, "applied_to_resources": [] })
        });
        json!({
            "id": self.id,
            "name": self.name,
            "labels": self.labels,
            "rules": self.rules,
            "applied_to": servers.chain(selectors).collect::<Vec<_>>(),
            "created": self.created,
        })
    }
}

/// Why the API would refuse a rule.
fn check_rule(rule: &Rule) -> Result<(), String> {
    let (wanted, other) = match rule.direction.as_str() {
        "in" => (&rule.source_ips, &rule.destination_ips),
        "out" => (&rule.destination_ips, &rule.source_ips),
        _ => return Err("direction must be in or out".to_owned()),
    };
    if wanted.is_empty() || !other.is_empty() {
        return Err("a rule for `in` has source_ips, one for `out` destination_ips".to_owned());
    }
    match (rule.protocol.as_str(), &rule.port) {
        ("tcp" | "udp", Some(port)) => check_port(port)?,
        ("icmp" | "esp" | "gre", None) => {}
        _ => return Err("tcp and udp have a port, icmp, esp and gre have none".to_owned()),
    }
    wanted.iter().try_for_each(|network| check_network(network))
}

/// `any`, a number or two with a dash between.
fn check_port(text: &str) -> Result<(), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let fits = text == "any" || matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last);
    if fits { Ok(()) } else { Err(format!("`{text}` is no port")) }
}

/// A network in CIDR notation, by its first address.
fn check_network(text: &str) -> Result<(), String> {
    let error = || format!("`{text}` is no network in CIDR notation");
    let (address, bits) = text.split_once('/').ok_or_else(error)?;
    let address: IpAddr = address.parse().map_err(|_| error())?;
    let bits: u32 = bits.parse().map_err(|_| error())?;
    let (all, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let rest = width - bits.min(width);
    let host = if rest == 128 { all } else { all & ((1 << rest) - 1) };
    if bits <= width && host == 0 { Ok(()) } else { Err(error()) }
}

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/firewalls", get(list).post(create))
        .route("/firewalls/{id}", get(one).put(update).delete(delete))
        .route("/firewalls/{id}/actions/set_rules", post(set_rules))
        .route("/firewalls/{id}/actions/apply_to_resources", post(apply))
        .route("/firewalls/{id}/actions/remove_from_resources", post(unapply))
}

async fn list(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    asked.only(&["name", "label_selector"])?;
    let (name, selector) = (asked.value("name"), asked.selector()?);
    let state = cloud.state();
    let named = |firewall: &&Firewall| name.is_none_or(|name| firewall.name == name);
    let shown = state.firewalls.values().filter(named).filter(|firewall| selector.selects(&firewall.labels));
    asked.page("firewalls", shown.map(Firewall::json).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    apply_to: Vec<Resource>,
}

async fn create(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    let wanted: Create = asked.body()?;
    let labels = wanted.labels.unwrap_or_default();
    check(&labels).map_err(|why| invalid("labels", why))?;
    wanted.rules.iter().try_for_each(check_rule).map_err(|why| invalid("rules", why))?;
    if cloud.state().firewalls.values().any(|firewall| firewall.name == wanted.name) {
        return Err(not_unique("name", "firewall name is already used"));
    }
    let (servers, selectors) = resources(&cloud, &wanted.apply_to, "apply_to")?;
    let created = cloud.core.clock.now();
    let mut state = cloud.state();
    let id = state.new_id();
    let firewall = Firewall { id, name: wanted.name, labels, rules: wanted.rules, servers, selectors, created };
    let shown = firewall.json();
    state.firewalls.insert(id, firewall);
    let action = state.done_at_once("set_firewall_rules", created, &[(id, "firewall")]);
    answer(201, &json!({ "firewall": shown, "actions": [action] }))
}

/// The servers and selectors that are named.
fn resources(cloud: &Cloud, named: &[Resource], field: &str) -> Result<(Vec<u64>, Vec<String>), ApiError> {
    let (mut servers, mut selectors) = (Vec::new(), Vec::new());
    for resource in named {
        match (resource.r#type.as_str(), &resource.server, &resource.label_selector) {
            ("server", Some(server), None) if cloud.state().servers.contains_key(&server.id) => servers.push(server.id),
            ("server", Some(server), None) => return Err(not_found("server", &server.id.to_string())),
            ("label_selector", None, Some(by)) => {
                by.selector.parse::<Selector>().map_err(|why| invalid(field, why))?;
                selectors.push(by.selector.clone());
            }
            _ => return Err(invalid(field, "names neither a server nor a label selector")),
        }
    }
    Ok((servers, selectors))
}

fn known(cloud: &Cloud, id: &str) -> Result<u64, ApiError> {
    let number = id.parse().ok().filter(|id| cloud.state().firewalls.contains_key(id));
    number.ok_or_else(|| not_found("firewall", id))
}

async fn one(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let id = known(&cloud, &id)?;
    let shown = cloud.state().firewalls.get(&id).map(Firewall::json);
    answer(200, &json!({ "firewall": shown }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    name: Option<String>,
    labels: Option<Labels>,
}

async fn update(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: Update = asked.body()?;
    if let Some(labels) = &wanted.labels {
        check(labels).map_err(|why| invalid("labels", why))?;
    }
    change(&cloud, id, |firewall| {
        firewall.name = wanted.name.unwrap_or_else(|| firewall.name.clone());
        firewall.labels = wanted.labels.unwrap_or_else(|| firewall.labels.clone());
    });
    let shown = cloud.state().firewalls.get(&id).map(Firewall::json);
    answer(200, &json!({ "firewall": shown }))
}

fn change(cloud: &Cloud, id: u64, change: impl FnOnce(&mut Firewall)) {
    if let Some(firewall) = cloud.state().firewalls.get_mut(&id) {
        change(firewall);
    }
}

async fn delete(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let id = known(&cloud, &id)?;
    let mut state = cloud.state();
    if state.firewalls.get(&id).is_some_and(|firewall| !firewall.servers.is_empty()) {
        return Err(in_use("firewall"));
    }
    state.firewalls.remove(&id);
    no_content()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRules {
    rules: Vec<Rule>,
}

async fn set_rules(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: SetRules = asked.body()?;
    wanted.rules.iter().try_for_each(check_rule).map_err(|why| invalid("rules", why))?;
    change(&cloud, id, |firewall| firewall.rules = wanted.rules);
    done(&cloud, "set_firewall_rules", id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    apply_to: Vec<Resource>,
}

async fn apply(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: Apply = asked.body()?;
    let (servers, selectors) = resources(&cloud, &wanted.apply_to, "apply_to")?;
    change(&cloud, id, |firewall| {
        firewall.servers.extend(servers);
        firewall.selectors.extend(selectors);
    });
    done(&cloud, "apply_firewall", id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unapply {
    remove_from: Vec<Resource>,
}

async fn unapply(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: Unapply = asked.body()?;
    let (servers, selectors) = resources(&cloud, &wanted.remove_from, "remove_from")?;
    change(&cloud, id, |firewall| {
        firewall.servers.retain(|server| !servers.contains(server));
        firewall.selectors.retain(|selector| !selectors.contains(selector));
    });
    done(&cloud, "remove_firewall", id)
}

fn done(cloud: &Cloud, command: &str, id: u64) -> Answer {
    let action = cloud.state().done_at_once(command, cloud.core.clock.now(), &[(id, "firewall")]);
    answer(201, &json!({ "actions": [action] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(value: Value) -> Rule {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn rules_are_checked_as_the_api_does() {
        let ssh =
            |source: &str| rule(json!({ "direction": "in", "protocol": "tcp", "port": "22", "source_ips": [source] }));
        for (network, fits) in [
            ("203.0.113.7/32", true),
            ("0.0.0.0/0", true),
            ("::/0", true),
            ("2001:db8::1/128", true),
            ("203.0.113.7", false),
            ("203.0.113.7/24", false),
            ("203.0.113.0/33", false),
            ("2001:db8::1/64", false),
        ] {
            assert_eq!(check_rule(&ssh(network)).is_ok(), fits, "{network}");
        }
        for wrong in [
            json!({ "direction": "in", "protocol": "tcp", "source_ips": ["0.0.0.0/0"] }),
            json!({ "direction": "in", "protocol": "icmp", "port": "22", "source_ips": ["0.0.0.0/0"] }),
            json!({ "direction": "in", "protocol": "tcp", "port": "80-22", "source_ips": ["0.0.0.0/0"] }),
            json!({ "direction": "out", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0"] }),
            json!({ "direction": "in", "protocol": "tcp", "port": "22" }),
        ] {
            assert!(check_rule(&rule(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
