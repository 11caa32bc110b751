//! [`Project`]: a simulated project at Hetzner that killed builds lease from, with other people's servers in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lian_build::ids::LeaseId;
use lian_simulators::bill::Line;
use lian_simulators::core::Core;
use lian_simulators::hcloud::{Hcloud, Options, ServerView};
use serde_json::Value;

use super::cloud::{Behind, Cloud, Common, Machines};
use super::decoys::Foreign;
use super::money::Paid;
use super::places::Passes;
use crate::support::{ServerContainers, SshdBackend, SshdServers};

/// Who may reach the runners: with an address here each lease has a firewall, too.
const SSH_FROM: &str = "203.0.113.7";

/// A simulated project at Hetzner.
#[derive(Debug)]
pub(super) struct Project {
    sim: Hcloud,
    /// What was paid for so far.
    paid: Mutex<Paid>,
    common: Common,
}

impl Project {
    pub(super) fn new(machines: Machines, look_limit: u64) -> Arc<Self> {
        let behind: Arc<dyn Behind> = match machines {
            Machines::Answer => Arc::new(SshdBackend::new(SshdServers::Sound)),
            Machines::Build => Arc::new(ServerContainers::new()),
        };
        let common = Common::new(machines, Arc::clone(&behind), look_limit);
        // An hour's requests of many builds are sent here within minutes.
        let options = Options { backend: behind, request_limit: 100_000_000, ..Options::default() };
        let sim = common.runtime.block_on(Hcloud::start(options)).unwrap();
        Arc::new(Self { sim, paid: Mutex::default(), common })
    }

    /// The server of a lease.
    fn server(&self, lease: &LeaseId) -> Option<ServerView> {
        self.sim.servers().into_iter().find(|server| server.name == lease.as_str())
    }

    /// Other people's things: a server with labels much like ours, one that says it is ours and not whose, one that has a name
    /// as ours have, one that is a runner of another owner's and leased on another machine, a firewall and a key.
    pub(super) fn foreign(self: &Arc<Self>, owner: &str) -> Vec<Box<dyn Foreign>> {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let other = super::decoys::lease_of_somebody_else();
        let planted = [
            (
                "lian-build-of-ann".to_owned(),
                labels(&[("lian-build", "1"), ("lian-managed", "no"), ("lian-owner", owner)]),
            ),
            ("unreadable".to_owned(), labels(&[("lian-managed", "1"), ("lian-owner", owner)])),
            (LeaseId::new().to_string(), labels(&[])),
            (other.lease_id.to_string(), other.labels().to_map()),
        ];
        for (name, labels) in &planted {
            self.sim.plant(name, labels.clone());
        }
        self.make(
            "/firewalls",
            &serde_json::json!({ "name": "lian-build", "labels": { "lian-managed": "no" }, "rules": [] }),
        );
        let key = crate::support::memory_provider::PUBLIC_KEY;
        self.make("/ssh_keys", &serde_json::json!({ "name": LeaseId::new().as_str(), "public_key": key }));
        let servers =
            self.sim.servers().into_iter().filter(|server| planted.iter().any(|(name, _)| *name == server.name));
        servers.map(|view| Box::new(Planted { project: Arc::clone(self), view }) as Box<dyn Foreign>).collect()
    }

    /// Makes something, as somebody else would.
    fn make(&self, path: &str, body: &Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}{path}", self.sim.url())).bearer_auth(self.sim.token()).json(body);
        let answer = self.common.runtime.block_on(request.send()).unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{path}");
    }
}

impl Cloud for Project {
    fn common(&self) -> &Common {
        &self.common
    }

    fn core(&self) -> &Core {
        self.sim.core()
    }

    fn asked_at(&self) -> &'static str {
        "/v1/servers"
    }

    fn own_place(&self) -> Passes {
        Passes::AnyServer
    }

    fn secret(&self) -> String {
        self.sim.token()[..10].to_owned()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HCLOUD_ENDPOINT", self.sim.url()),
            ("HCLOUD_TOKEN", self.sim.token()),
            ("LIAN_HCLOUD_SSH_FROM", SSH_FROM.to_owned()),
        ]
    }

    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        self.server(lease).map(|server| format!("server {}", server.id)).into_iter().collect()
    }

    fn look(&self, lease: &LeaseId) -> Vec<String> {
        self.server(lease).map(|server| format!("server {}: {:?}", server.id, server.status)).into_iter().collect()
    }

    /// Firewalls, addresses, keys and snapshots, by number: servers go by their leases.
    fn things(&self) -> Vec<String> {
        let kinds = self.sim.leftovers().into_iter();
        kinds.flat_map(|(kind, count)| (1..=count).map(move |number| format!("{kind} number {number}"))).collect()
    }

    fn label(&self, lease: &LeaseId, label: &str) -> Option<String> {
        self.server(lease)?.labels.get(label).cloned()
    }

    fn promised(&self, plan: &Value) {
        *self.paid.lock().unwrap() = Paid::promised(plan);
    }

    fn assert_paid(&self, metered: &[Line], new: &[&Line], hours: u64) {
        self.paid.lock().unwrap().count(metered, new, hours);
    }

    fn paid_in_words(&self) -> String {
        self.paid.lock().unwrap().to_string()
    }
}

/// Somebody else's server, as it looked at first.
struct Planted {
    project: Arc<Project>,
    view: ServerView,
}

impl Foreign for Planted {
    fn assert_untouched(&self) {
        let now = self.project.sim.servers().into_iter().find(|server| server.id == self.view.id);
        assert_eq!(now.as_ref(), Some(&self.view), "somebody else's server was touched");
    }
}

#[test]
fn a_meter_that_runs_is_found() {
    let project = Project::new(Machines::Answer, 2);
    let money = serde_json::json!({ "each": "hourly", "hours": 1, "hourly": { "amount": "0.01", "currency": "EUR" } });
    let plan = serde_json::json!({ "plan": { "reach": { "money": money } } });
    project.begins(&plan);
    project.assert_gone(0, 1);
    let server = serde_json::json!({ "name": LeaseId::new().as_str(), "server_type": super::cloud::SIZE, "image": "debian-12",
        "location": "fsn1", "start_after_create": false });
    project.make("/servers", &server);
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| project.assert_gone(1, 1)));
    assert!(found.is_err(), "a meter runs, and nobody says so");
}
