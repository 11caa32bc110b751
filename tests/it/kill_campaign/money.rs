//! The bill of the killed builds: never two servers for one lease, none whose meter runs after the sweep, and of each the
//! started hours that the plan promised, at the plan's price.

use std::collections::BTreeSet;
use std::time::Duration;

use lian_build::ids::LeaseId;
use lian_simulators::bill::Line;
use lian_simulators::faults::Fault;
use rust_decimal::Decimal;
use serde_json::Value;

use super::cloud::{Cloud, Machines};
use super::figures::Figures;
use super::provider::Provider;
use super::site::{Site, Victim};
use super::{kill, report};

/// Places before which no server was asked for.
const UNPAID: &[&str] = &["intent-writing", "intent-recorded", "intent-guarded", "server-announced", "firewall-made"];

/// How long a lease is nobody's at the latest, when its machine was lost with everything on it: its time to live, the allowance
/// for clocks that differ, and a minute.
const NOBODYS: Duration = Duration::from_secs((20 + 5 + 1) * 60);

/// The tax that prices are shown with and the bill is without.
const TAX: Decimal = Decimal::from_parts(119, 0, 0, false, 2);

/// What was promised, and what was paid for so far.
#[derive(Debug, Default)]
pub(super) struct Paid {
    /// One started hour, by the plan.
    hourly: Decimal,
    /// The most hours of one attempt, by the plan.
    most_hours: u64,
    /// What others pay for, by the cloud's ids.
    others: BTreeSet<String>,
    servers: usize,
    hours: u64,
}

impl Cloud {
    /// Notes what the plan of a build promises, and that what is paid for now is others'.
    pub(super) fn begins(&self, plan: &Value) {
        self.is_others();
        let money = &plan["plan"]["reach"]["money"];
        let mut paid = self.paid.lock().unwrap();
        assert_eq!((&money["each"], &money["hourly"]["currency"]), (&"hourly".into(), &"EUR".into()), "{plan}");
        paid.hourly = money["hourly"]["amount"].as_str().unwrap().parse().unwrap();
        paid.most_hours = money["hours"].as_u64().unwrap();
        paid.others = self.sim().bill().lines.into_iter().map(|line| line.id).collect();
    }

    /// How many servers the killed builds were billed for.
    pub(super) fn servers_paid(&self) -> usize {
        self.paid.lock().unwrap().servers
    }

    /// Nothing runs any more of what was made since the last look: at most `most` servers, each of a lease of its own, and each
    /// billed with so many hours.
    #[track_caller]
    pub(super) fn assert_paid(&self, most: usize, hours: u64) {
        let (bill, mut paid) = (self.sim().bill(), self.paid.lock().unwrap());
        let ours: Vec<&Line> = bill.lines.iter().filter(|line| !paid.others.contains(&line.id)).collect();
        assert!(ours.iter().all(|line| line.deleted.is_some()), "a meter runs: {ours:#?}");
        let servers: Vec<&Line> = bill.servers().filter(|line| !paid.others.contains(&line.id)).collect();
        let names: BTreeSet<&str> = servers.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names.len(), servers.len(), "one lease was paid for twice: {names:?}");
        let new = servers.get(paid.servers..).unwrap();
        assert!(new.len() <= most, "{most} at most: {new:#?}");
        for line in new {
            assert_eq!((line.hours, line.server_type.as_str()), (hours, super::cloud::SIZE), "{line:?}");
        }
        paid.servers = servers.len();
        paid.hours = servers.iter().map(|line| line.hours).sum();
        let net = ours.iter().map(|line| line.amount.to_string().parse::<Decimal>().unwrap()).sum::<Decimal>();
        let promised = paid.hourly * Decimal::from(paid.hours);
        assert_eq!((net * TAX).normalize(), promised.normalize(), "the bill is not the plan's: {ours:#?}");
    }

    /// The bill so far, in words.
    pub(super) fn bill_in_words(&self) -> String {
        let paid = self.paid.lock().unwrap();
        let amount = (paid.hourly * Decimal::from(paid.hours)).normalize();
        let beyond = paid.hours - u64::try_from(paid.servers).unwrap();
        let beyond = match beyond {
            0 => "one each".to_owned(),
            _ => format!("one each and {beyond} more, of a runner that was kept and whose caller's machine was lost"),
        };
        format!(
            "{} servers made, none left; {} started hours billed, {beyond}: {amount} EUR with tax. The plan said {} EUR for each \
             hour that is begun, and {} at most\n",
            paid.servers, paid.hours, paid.hourly, paid.most_hours
        )
    }
}

/// Cleans up on another machine after one was lost with everything on it. Before its deadline nobody can know that a server is
/// nobody's; after it anybody does who has the project's token. Yields how many hours that is.
pub(super) fn clean_elsewhere(site: &Site, cloud: &Cloud, leases: &[LeaseId], state: &str) -> u64 {
    let there = || leases.iter().filter_map(|lease| cloud.server(lease)).collect::<Vec<_>>();
    let before = there();
    site.gc_elsewhere();
    let ids =
        |servers: &[lian_simulators::hcloud::ServerView]| servers.iter().map(|server| server.id).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&there()), "it was taken before its time");
    let wait = match before.first() {
        // It may be kept, so only its hard deadline counts.
        Some(server) if state == "kept" => {
            let hard: i64 = server.labels["lian-max"].parse().unwrap();
            let left = u64::try_from(hard - cloud.sim().clock().now().as_second()).unwrap();
            Duration::from_secs(left + 6 * 60)
        }
        _ => NOBODYS,
    };
    cloud.advance(wait);
    site.gc_elsewhere();
    // It was made within the minute before.
    (wait.as_secs() + 60).div_ceil(3600)
}

/// Kills at every place in every way where nothing has to be built, and pays exactly for what was made.
pub(super) fn kill_at_places(machines: Machines) {
    let cloud = Cloud::new(machines, 2);
    let provider = Provider::Hcloud(std::sync::Arc::clone(&cloud));
    let (site, mut figures) = (Site::new(provider.clone()), Figures::default());
    for (place, passes) in super::PLACES.iter().filter(|(_, passes)| provider.passes(*passes)) {
        for way in provider.ways() {
            println!("{way} at {place}");
            let before = cloud.servers_paid();
            let victim = site.start_until(place, *passes);
            figures.add(kill(&site, victim, *way, 0));
            assert_eq!(cloud.servers_paid() - before, usize::from(!UNPAID.contains(place)), "{way} at {place}");
        }
    }
    site.close();
    report("every place", &provider, &figures);
}

/// Kills while the request to make the server is under way: carried out already and not answered, and carried out only after
/// the kill. Whoever cleans up finds the server that nobody was told of.
pub(super) fn kill_during_the_request() {
    let cloud = Cloud::new(Machines::Answer, 20);
    let provider = Provider::Hcloud(std::sync::Arc::clone(&cloud));
    let (site, mut figures) = (Site::new(provider.clone()), Figures::default());
    for fault in [Fault::held_after(), Fault::held()] {
        for way in provider.ways() {
            println!("{way} during the request, {:?}", fault.effect);
            let (before, asked) = (cloud.servers_paid(), cloud.asked());
            cloud.sim().faults().script(fault.clone().on("POST", "/v1/servers"));
            let victim = site.start();
            cloud.wait_for_request(asked);
            figures.add(kill(&site, victim, *way, 0));
            assert_eq!(cloud.servers_paid() - before, 1, "{way}");
        }
    }
    site.close();
    report("during the request for the server", &provider, &figures);
}

/// The token is nowhere: in no file of the killed command's, and in no argument of what it started.
pub(super) fn assert_secret(site: &Site, victim: &Victim, token: &str) {
    let needle = &token.as_bytes()[..10];
    for dir in [victim.home.path().to_owned(), site.run_dir()] {
        for file in walkdir::WalkDir::new(dir).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
            let bytes = std::fs::read(file.path()).unwrap_or_default();
            assert!(memchr::memmem::find(&bytes, needle).is_none(), "the token is in {}", file.path().display());
        }
    }
    for pid in super::in_namespace(victim.namespace) {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(memchr::memmem::find(&words, needle).is_none(), "process {pid} has the token as an argument");
    }
}

#[test]
fn a_meter_that_runs_is_found() {
    let cloud = Cloud::new(Machines::Answer, 2);
    let money = serde_json::json!({ "each": "hourly", "hours": 1, "hourly": { "amount": "0.01", "currency": "EUR" } });
    let plan = serde_json::json!({ "plan": { "reach": { "money": money } } });
    cloud.begins(&plan);
    cloud.assert_paid(0, 1);
    let server = serde_json::json!({ "name": LeaseId::new().as_str(), "server_type": super::cloud::SIZE, "image": "debian-12",
        "location": "fsn1", "start_after_create": false });
    cloud.make("/servers", &server);
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cloud.assert_paid(1, 1)));
    assert!(found.is_err(), "a meter runs, and nobody says so");
}
