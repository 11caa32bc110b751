//! [`State`]: everything that is in the project.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::action::Action;
use super::firewall::Firewall;
use super::image::Snapshot;
use super::primary_ip::PrimaryIp;
use super::server::Server;
use super::ssh_key::SshKey;

/// Everything that is in the project, by id.
#[derive(Debug, Default)]
pub(super) struct State {
    last_id: u64,
    pub(super) servers: BTreeMap<u64, Server>,
    pub(super) ssh_keys: BTreeMap<u64, SshKey>,
    pub(super) snapshots: BTreeMap<u64, Snapshot>,
    pub(super) firewalls: BTreeMap<u64, Firewall>,
    pub(super) primary_ips: BTreeMap<u64, PrimaryIp>,
    pub(super) actions: BTreeMap<u64, Action>,
    /// How many requests are left of the hour's limit, and since when.
    pub(super) requests: Option<(f64, Timestamp)>,
}

impl State {
    /// An id that nothing has. They are larger than those of what is there from the start.
    pub(super) fn new_id(&mut self) -> u64 {
        if self.last_id == 0 {
            // Beyond 32 bits: ids of the API go up to 2^53 - 1.
            self.last_id = 10_000_000_000;
        }
        self.last_id += 1;
        self.last_id
    }

    /// Begins an action on these resources.
    pub(super) fn begin(&mut self, command: &str, now: Timestamp, resources: &[(u64, &'static str)]) -> u64 {
        let id = self.new_id();
        self.actions.insert(id, Action::begin(id, command, now, resources));
        id
    }

    /// An action as the API shows it.
    pub(super) fn action(&self, id: u64) -> Value {
        self.actions.get(&id).map_or(Value::Null, Action::json)
    }

    /// An action that is over at once, as the API shows it.
    pub(super) fn done_at_once(&mut self, command: &str, now: Timestamp, resources: &[(u64, &'static str)]) -> Value {
        let id = self.begin(command, now, resources);
        if let Some(action) = self.actions.get_mut(&id) {
            action.end(now, None);
        }
        self.action(id)
    }

    /// A server as the API shows it.
    pub(super) fn server(&self, id: u64) -> Value {
        self.servers.get(&id).map_or(Value::Null, |server| server.json(self))
    }

    /// Whether a server has that name.
    pub(super) fn server_named(&self, name: &str) -> Option<u64> {
        self.servers.values().find(|server| server.name == name).map(|server| server.id)
    }

    /// The firewalls of a server, as the API shows them there.
    pub(super) fn firewalls_of(&self, server: &Server) -> Vec<Value> {
        let applied = self.firewalls.values().filter(|firewall| firewall.applies_to(server));
        applied.map(|firewall| json!({ "id": firewall.id, "status": "applied" })).collect()
    }

    /// Takes a server away, with what goes along; yields the primary IPs that went.
    pub(super) fn remove_server(&mut self, id: u64) -> Vec<u64> {
        self.servers.remove(&id);
        for firewall in self.firewalls.values_mut() {
            firewall.servers.retain(|server| *server != id);
        }
        let held = self.primary_ips.values_mut().filter(|ip| ip.assignee == Some(id));
        let gone: Vec<u64> = held
            .filter_map(|ip| {
                ip.assignee = None;
                ip.auto_delete.then_some(ip.id)
            })
            .collect();
        for ip in &gone {
            self.primary_ips.remove(ip);
        }
        gone
    }
}
