//! [`Cloud`]: a simulated project at Hetzner that killed builds lease from, with other people's servers in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lian_build::ids::LeaseId;
use lian_simulators::backend::Backend;
use lian_simulators::hcloud::{Hcloud, Options, ServerView};
use tokio::runtime::Runtime;

use super::decoys::Foreign;
use super::money::Paid;
use crate::support::{ServerContainers, SshdBackend, SshdServers, wait_until};

/// The size that is leased: what stands behind it is of this machine's architecture, and CI's is x86.
pub(super) const SIZE: &str = "cx23";

/// Who may reach the runners: with an address here each lease has a firewall, too.
const SSH_FROM: &str = "203.0.113.7";

/// What stands behind the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machines {
    /// An `sshd` of the lease's host key, behind which nothing is built: quick enough for many kills.
    Answer,
    /// A container that builds.
    Build,
}

/// A simulated project at Hetzner.
pub(super) struct Cloud {
    pub(super) machines: Machines,
    sim: Hcloud,
    /// How long a request that a killed process sent is looked for, in seconds.
    look_limit: u64,
    /// How far the time of this project, and of all who use it, is ahead.
    ahead: Mutex<Duration>,
    /// How many of each kind others have beside servers.
    others: Mutex<BTreeMap<&'static str, usize>>,
    /// What was paid for so far.
    pub(super) paid: Mutex<Paid>,
    runtime: Runtime,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("machines", &self.machines).finish_non_exhaustive()
    }
}

impl Cloud {
    pub(super) fn new(machines: Machines, look_limit: u64) -> Arc<Self> {
        let backend: Arc<dyn Backend> = match machines {
            Machines::Answer => Arc::new(SshdBackend::new(SshdServers::Sound)),
            Machines::Build => Arc::new(ServerContainers::new()),
        };
        // An hour's requests of many builds are sent here within minutes.
        let options = Options { backend, request_limit: 100_000_000, ..Options::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let sim = runtime.block_on(Hcloud::start(options)).unwrap();
        Arc::new(Self {
            machines,
            sim,
            look_limit,
            ahead: Mutex::default(),
            others: Mutex::default(),
            paid: Mutex::default(),
            runtime,
        })
    }

    pub(super) fn sim(&self) -> &Hcloud {
        &self.sim
    }

    /// What a command of the project's needs in its environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HCLOUD_ENDPOINT", self.sim.url()),
            ("HCLOUD_TOKEN", self.sim.token()),
            ("LIAN_HCLOUD_SSH_FROM", SSH_FROM.to_owned()),
        ]
    }

    /// What such a command does otherwise than a user's: it is less patient with requests that got no answer, and its time is
    /// the cloud's.
    pub(super) fn failpoints(&self) -> Vec<String> {
        let ahead = self.ahead.lock().unwrap().as_secs();
        vec![format!("{}@look", self.look_limit), format!("{ahead}@clock")]
    }

    /// Moves everybody's time forward.
    pub(super) fn advance(&self, by: Duration) {
        *self.ahead.lock().unwrap() += by;
        self.sim.clock().advance(by);
    }

    /// What it has of a lease, one line each. Labels are not in it: those of another's lease that lives are renewed.
    pub(super) fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let servers = self.sim.servers().into_iter().filter(|server| server.name == lease.as_str());
        servers.map(|server| format!("server {}", server.id)).collect()
    }

    /// The server of a lease.
    pub(super) fn server(&self, lease: &LeaseId) -> Option<ServerView> {
        self.sim.servers().into_iter().find(|server| server.name == lease.as_str())
    }

    /// What there is now beside servers is other people's.
    pub(super) fn is_others(&self) {
        *self.others.lock().unwrap() = self.sim.leftovers().into();
    }

    /// Firewalls, addresses, keys and snapshots, where there are more than those of other people.
    pub(super) fn left_beside_servers(&self) -> Vec<String> {
        let others = self.others.lock().unwrap();
        let more = self
            .sim
            .leftovers()
            .into_iter()
            .filter(|(kind, count)| *count > others.get(kind).copied().unwrap_or_default());
        more.map(|(kind, count)| format!("{count} {kind}, and others have {:?}", others.get(kind))).collect()
    }

    /// Other people's things: a server with labels much like ours, one that says it is ours and not whose, one that has a name
    /// as ours have, one that is a runner of another owner's and leased on another machine, a firewall and a key.
    pub(super) fn foreign(self: &Arc<Self>, owner: &str) -> Vec<Box<dyn Foreign>> {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let mut other = crate::support::request("somebody-else", 4.0, jiff::Timestamp::now());
        other.holder = None;
        other.hard_deadline = other.created_at + jiff::SignedDuration::from_hours(24 * 30);
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
        servers.map(|view| Box::new(Planted { cloud: Arc::clone(self), view }) as Box<dyn Foreign>).collect()
    }

    /// Makes something, as somebody else would.
    pub(super) fn make(&self, path: &str, body: &serde_json::Value) {
        crate::support::install_tls();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}{path}", self.sim.url())).bearer_auth(self.sim.token()).json(body);
        let answer = self.runtime.block_on(request.send()).unwrap();
        assert_eq!(answer.status().as_u16(), 201, "{path}");
    }

    /// Waits until a request to make a server is here, and what stands in its way holds it.
    pub(super) fn wait_for_request(&self, after: usize) {
        wait_until("a server is asked for", || self.asked() > after);
    }

    /// How often a server was asked for.
    pub(super) fn asked(&self) -> usize {
        self.sim.audit().of("POST", "/v1/servers").len()
    }
}

/// Somebody else's server, as it looked at first.
struct Planted {
    cloud: Arc<Cloud>,
    view: ServerView,
}

impl Foreign for Planted {
    fn assert_untouched(&self) {
        let now = self.cloud.sim.servers().into_iter().find(|server| server.id == self.view.id);
        assert_eq!(now.as_ref(), Some(&self.view), "somebody else's server was touched");
    }
}
