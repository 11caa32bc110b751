//! [`LiveHcloud`]: the harness of a real account.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use lian_build::ids::LeaseId;
use lian_build::lease::LeaseRequest;
use lian_build::plan::Tier;
use lian_build::provider::ComputeProvider;
use lian_build::provider::hcloud::{HcloudConfig, HcloudProvider, Pace};
use tempfile::TempDir;

use super::account::{Account, Seen};
use super::settings::Settings;
use super::spending::Spending;
use super::sweep::{OWNER, PLANTED, owner};
use crate::conformance::{Declared, Harness, Renewal, Second};
use crate::support::{LabelMap, request};

/// A real account, and what a caller of it has on this machine.
pub(super) struct LiveHcloud {
    pub(super) account: Account,
    pub(super) spending: Arc<Spending>,
    settings: Settings,
    tier: Tier,
    architecture: String,
    home: TempDir,
    planted: Mutex<Vec<Seen>>,
}

impl LiveHcloud {
    pub(super) fn new(settings: Settings, account: Account, spending: Arc<Spending>, architecture: String) -> Self {
        let home = tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap();
        let mut settings = settings;
        settings.config.runtime_dir = home.path().join("r");
        let tier = tier(&settings, &account);
        Self { account, spending, settings, tier, architecture, home, planted: Mutex::default() }
    }

    fn plant(&self, labels: &[(&str, &str)]) -> LeaseId {
        self.spending.one_more();
        let lease = LeaseId::new();
        let owner = owner();
        let labels = labels.iter().copied().chain([(PLANTED, owner.as_str())]);
        let labels: LabelMap = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let made = self.account.make_server(lease.as_str(), &self.settings, &labels);
        self.planted.lock().unwrap().push(made);
        lease
    }

    fn uproot(&self, lease: &LeaseId) {
        let server = self.account.server(lease.as_str()).unwrap();
        let path = format!("/servers/{}", server.id);
        for _ in 0..180 {
            if self.account.find("servers", server.id).is_none() {
                return;
            }
            self.account.send(&reqwest::Method::DELETE, &path, None);
            std::thread::sleep(self.account.pause);
        }
        panic!("the server {lease} that was planted stays");
    }
}

/// What is leased: the size that was said, as the account knows it.
pub(super) fn tier(settings: &Settings, account: &Account) -> Tier {
    let size = account.size(&settings.server_type);
    let number = |name: &str| u32::try_from(size[name].as_u64().unwrap()).unwrap();
    let memory_gb = size["memory"].as_f64().unwrap();
    Tier { name: settings.server_type.clone(), cpu: number("cores"), memory_gb, disk_gb: number("disk") }
}

/// A request that nothing is counted for.
pub(super) fn plain_request(tier: &Tier, architecture: &str) -> LeaseRequest {
    let plain = request(OWNER, tier.memory_gb, Timestamp::now());
    LeaseRequest { tier: tier.clone(), architecture: architecture.to_owned(), ..plain }
}

#[async_trait::async_trait]
impl Harness for LiveHcloud {
    fn declared(&self) -> Declared {
        Declared { second: Second::IsRefused, renewal: Renewal::Moves, enforces_memory: true }
    }

    fn provider(&self) -> Arc<dyn ComputeProvider> {
        Arc::new(HcloudProvider::new(self.settings.config.clone()))
    }

    /// The server is made, and nobody has the time to wait until it answers.
    fn failing_provider(&self) -> Arc<dyn ComputeProvider> {
        let programs = self.home.path().join("programs");
        std::fs::create_dir_all(&programs).unwrap();
        let deaf = programs.join("ssh-keyscan");
        std::fs::write(&deaf, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&deaf, std::fs::Permissions::from_mode(0o755)).unwrap();
        let pace = Pace { boot_limit: Duration::ZERO, ..self.settings.config.pace };
        let mut config = HcloudConfig { pace, ..self.settings.config.clone() };
        config.program_dirs.insert(0, programs);
        Arc::new(HcloudProvider::new(config))
    }

    fn request(&self) -> LeaseRequest {
        self.spending.one_more();
        plain_request(&self.tier, &self.architecture)
    }

    /// The server, a firewall of its name, and what is on this machine.
    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let server = self.account.server(lease.as_str());
        let mut found: Vec<String> = server.iter().map(|server| format!("server {server:?}")).collect();
        let firewalls = self.account.list("firewalls", &format!("name={lease}"));
        found.extend(firewalls.iter().map(|firewall| format!("firewall {}", firewall["id"])));
        let dir = self.settings.config.runtime_dir.join("hcloud");
        let files = [dir.join(lease.as_str()), dir.join(format!("{lease}.lock"))];
        found.extend(files.iter().filter(|file| file.exists()).map(|file| file.display().to_string()));
        found
    }

    /// Those of live runs: what else the account has comes and goes as it likes.
    fn runners(&self) -> Vec<String> {
        let owner = owner();
        let of = |label: &str| self.account.servers(&format!("label_selector={label}=={owner}"));
        let mut names: Vec<String> =
            ["lian-owner", PLANTED].iter().flat_map(|label| of(label)).map(|server| server.name).collect();
        names.sort();
        names
    }

    fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        self.account.server(lease.as_str()).map(|server| server.labels)
    }

    fn stop(&self, lease: &LeaseId) {
        self.account.switch_off(lease.as_str());
    }

    async fn plant_foreign(&self) -> LeaseId {
        self.plant(&[("managed", "1"), ("lian-build", "1"), ("lian-managed", "no")])
    }

    async fn uproot_foreign(&self, lease: &LeaseId) {
        self.uproot(lease);
    }

    fn plant_unreadable(&self) -> LeaseId {
        self.plant(&[("lian-managed", "1")])
    }

    fn uproot_unreadable(&self, lease: &LeaseId) {
        self.uproot(lease);
    }
}
