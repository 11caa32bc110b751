//! The kill campaign: whatever is killed, and wherever, nothing of ours stays, and nothing of anybody else's goes.
//!
//! `ci/test` kills at every place of [`places`] and at 20 random instants in each of three ways ([`Way`]). `ci/faults` does
//! more of them, and prints the figures: `LIAN_TEST_KILLS` is the number of instants, `LIAN_TEST_SEED` repeats a run, and
//! `LIAN_TEST_FIGURES` is a file that gets the table.
//!
//! With `hcloud` and `proxmox`, on simulated clouds ([`cloud`]), there is a fourth way: the whole machine is lost ([`remote`]); of
//! what has a price, the money is counted as well ([`money`]). Everything takes longer there, so it is a tenth of the random
//! instants.
#![expect(clippy::print_stdout, reason = "a campaign says what it does, and its figures")]

mod cloud;
mod cluster;
mod decoys;
mod figures;
mod money;
mod places;
mod project;
mod provider;
mod remote;
mod site;
mod victim;
mod way;

use std::time::{Duration, Instant};

use cloud::Machines;
use cluster::Cluster;
use figures::{Figures, Kill};
use lian_build::ids::LeaseId;
use places::PLACES;
use project::Project;
use provider::Provider;
use rustix::process::Signal;
use site::{Site, Victim};
use way::{Way, in_namespace, runs_our_program, signal_all};

use crate::support::{Leftovers, Sandbox, environment};

/// How long a reaper, or the kernel, may take. Nothing needs it: it ends a test that would wait for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// How many random instants there are of each way, if nothing is said.
const INSTANTS: u64 = 20;

/// What cleans up now and then.
const NEXT_BUILD: &str = "the next build";

/// What cleans up what was kept.
const RELEASE: &str = "`runners release`";

/// Random numbers that can be repeated (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Some part of this time.
    fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

fn number(variable: &str) -> Option<u64> {
    environment().text(variable).map(|text| text.parse().unwrap_or_else(|_| panic!("`{variable}` is no number")))
}

#[expect(clippy::disallowed_methods, reason = "the figures are about real time")]
fn now() -> Instant {
    Instant::now()
}

/// Looks until nothing is left, while `clean` is done once; yields how long that took.
fn until_clean(site: &Site, victim: &Victim, leases: &[LeaseId], clean: impl FnOnce()) -> Duration {
    let started = now();
    clean();
    loop {
        let left = site.left(victim, leases);
        if left.is_empty() {
            return started.elapsed();
        }
        assert!(started.elapsed() < LIMIT, "still there after {} s: {left:#?}", LIMIT.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As a sweep that must leave a runner which is kept after a failure, and then its release by name.
fn release_kept(site: &Site, victim: &Victim, home: &Sandbox, leases: &[LeaseId]) {
    site.gc(home);
    let [lease] = leases else { panic!("not one lease: {leases:?}") };
    let left = site.left(victim, leases);
    assert!(left.len() > 2, "the runner that was kept is gone: {left:#?}");
    site.release(home, lease);
}

/// Kills a build in one of the ways, sees to it that what is to clean up does, and looks.
fn kill(site: &Site, mut victim: Victim, way: Way, number: u64) -> Kill {
    // It stands still while we note what there is: nothing that it makes later escapes the look afterwards.
    signal_all(&[victim.pid()], Signal::STOP);
    let (leases, state) = (site.leases(&victim.home), victim.state());
    let all = in_namespace(victim.namespace);
    let killed: Vec<i32> = match way {
        Way::Command => vec![victim.pid()],
        // Right at the start it is still what puts it into its namespace.
        Way::CommandAndReaper => all.into_iter().filter(|pid| *pid == victim.pid() || runs_our_program(*pid)).collect(),
        // Of a cloud, the runner is another machine.
        Way::Machine => all,
        Way::TreeAndHome if site.provider.cloud().is_some() => all,
        Way::TreeAndHome => {
            let of_runners = leases.iter().flat_map(|lease| Leftovers::of(lease.as_str(), []).process_dirs());
            let of_runners = of_runners.filter_map(|process| process.file_name()?.to_str()?.parse().ok());
            all.into_iter().chain(of_runners).collect()
        }
    };
    // All stand still before the first one dies: else the reaper begins to clean up before it is killed itself.
    signal_all(&killed, Signal::STOP);
    if let Some(cloud) = site.provider.cloud() {
        remote::assert_secret(site, &victim, &cloud.secret());
    }
    signal_all(&killed, Signal::KILL);
    victim.child.wait().unwrap();
    if let Some(cloud) = site.provider.cloud() {
        // A request that was under way is carried out, or answered, now that nobody listens.
        cloud.core().faults.let_go();
    }
    let found = site.left(&victim, &leases).len();
    let (mut cleaner, mut hours) = (way.cleaner(), 1);
    let clean_after = match way {
        Way::Command => {
            let took = until_clean(site, &victim, &leases, || ());
            // Between the record and the reaper's knowing of it nothing has been asked for, and a file is all there is.
            // The next sweep takes it away.
            if !victim.records().is_empty() {
                // It may have come there while the command was being stopped, just after we looked.
                assert!(["none", "intent"].contains(&state), "its reaper left it on record: `{state}`");
                site.gc(&victim.home);
            }
            took
        }
        Way::CommandAndReaper if state == "kept" => {
            cleaner = RELEASE;
            until_clean(site, &victim, &leases, || release_kept(site, &victim, &victim.home, &leases))
        }
        Way::TreeAndHome if state == "kept" => {
            cleaner = RELEASE;
            victim.delete_home();
            until_clean(site, &victim, &leases, || release_kept(site, &victim, &Sandbox::new(), &leases))
        }
        Way::CommandAndReaper if number % 4 == 3 => {
            cleaner = NEXT_BUILD;
            until_clean(site, &victim, &leases, || site.build(&victim.home))
        }
        Way::CommandAndReaper => until_clean(site, &victim, &leases, || site.gc(&victim.home)),
        Way::TreeAndHome => {
            victim.delete_home();
            until_clean(site, &victim, &leases, || site.gc(&Sandbox::new()))
        }
        Way::Machine => {
            victim.delete_home();
            site.lose_machine(&leases);
            let cloud = site.provider.cloud().unwrap();
            until_clean(site, &victim, &leases, || hours = remote::clean_elsewhere(site, cloud, &leases, state))
        }
    };
    assert_eq!(victim.records(), Vec::<String>::new(), "left on record");
    site.assert_others_untouched();
    if let Some(cloud) = site.provider.cloud() {
        assert!(!victim.said().contains(&cloud.secret()), "the token was said");
        // One that was killed after its release has no lease any more, and had a machine.
        cloud.assert_gone(leases.len().max(1) + usize::from(cleaner == NEXT_BUILD), hours);
    }
    println!("  {state}: {found} left, none after {} ms", clean_after.as_millis());
    Kill { way, cleaner, state, found, clean_after }
}

/// Kills at every journal edge, in every way.
fn kill_at_every_place(provider: Provider) {
    let (site, mut figures) = (Site::new(provider.clone()), Figures::default());
    for (place, passes) in PLACES.iter().filter(|(_, passes)| provider.passes(*passes)) {
        for way in provider.ways() {
            println!("{way} at {place}");
            let victim = site.start_until(place, *passes);
            figures.add(kill(&site, victim, *way, 0));
        }
    }
    site.close();
    report("every place", &provider, &figures);
}

/// Kills at random instants of a build, in every way.
fn kill_at_random_instants(provider: Provider) {
    let seed = number("LIAN_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 0x5eed);
    println!("LIAN_TEST_SEED={seed}");
    let (site, mut figures, mut random) = (Site::new(provider.clone()), Figures::default(), Random(seed));
    let home = Sandbox::new();
    let started = now();
    site.build(&home);
    let whole = started.elapsed();
    if let Some(cloud) = provider.cloud() {
        cloud.assert_gone(1, 1);
    }
    for number in 0..provider.instants(number("LIAN_TEST_KILLS").unwrap_or(INSTANTS)) {
        for &way in provider.ways() {
            let instant = random.part_of(whole);
            println!("{way} after {} of {} ms", instant.as_millis(), whole.as_millis());
            let victim = site.start();
            std::thread::sleep(instant);
            figures.add(kill(&site, victim, way, number));
        }
    }
    site.close();
    report("random instants", &provider, &figures);
    assert!(figures.hits() > 0, "no kill hit anything");
}

fn report(what: &str, provider: &Provider, figures: &Figures) {
    let made =
        |cloud: &dyn cloud::Cloud| format!("\n{} machines made, none left\n{}", cloud.made(), cloud.paid_in_words());
    let made = provider.cloud().map(made).unwrap_or_default();
    let text = format!("\n{what}, `{provider}`\n\n{figures}{made}");
    println!("{text}");
    if let Some(path) = environment().path("LIAN_TEST_FIGURES") {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn local_killed_at_every_place() {
    kill_at_every_place(Provider::Local);
}

#[test]
fn local_killed_at_random_instants() {
    kill_at_random_instants(Provider::Local);
}

#[test]
fn docker_local_killed_at_every_place() {
    kill_at_every_place(Provider::DockerLocal);
}

#[test]
fn docker_local_killed_at_random_instants() {
    kill_at_random_instants(Provider::DockerLocal);
}

/// All places but those in a build, with servers that answer on SSH.
#[test]
fn hcloud_killed_at_every_place() {
    remote::kill_at_places(Provider::Hcloud(Project::new(Machines::Answer, 2)));
}

#[test]
fn hcloud_killed_while_its_server_is_asked_for() {
    remote::kill_during_the_request(Provider::Hcloud(Project::new(Machines::Answer, 20)));
}

/// The rest of the places, with servers that build.
#[test]
fn hcloud_killed_in_a_build_and_while_it_is_kept() {
    remote::kill_at_places(Provider::Hcloud(Project::new(Machines::Build, 2)));
}

#[test]
fn hcloud_killed_at_random_instants() {
    kill_at_random_instants(Provider::Hcloud(Project::new(Machines::Build, 2)));
}

#[test]
fn proxmox_killed_at_every_place() {
    remote::kill_at_places(Provider::Proxmox(Cluster::new(Machines::Answer, 2)));
}

#[test]
fn proxmox_killed_while_its_machine_is_asked_for() {
    remote::kill_during_the_request(Provider::Proxmox(Cluster::new(Machines::Answer, 20)));
}

#[test]
fn proxmox_killed_in_a_build_and_while_it_is_kept() {
    remote::kill_at_places(Provider::Proxmox(Cluster::new(Machines::Build, 2)));
}

#[test]
fn proxmox_killed_at_random_instants() {
    kill_at_random_instants(Provider::Proxmox(Cluster::new(Machines::Build, 2)));
}
