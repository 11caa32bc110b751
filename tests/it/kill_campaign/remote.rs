//! Kills of builds whose runners are machines of a simulated cloud: at every place, and while the machine is asked for; and what
//! only they have: a machine of the caller's that is lost, and a credential.

use std::time::Duration;

use lian_build::ids::LeaseId;
use lian_simulators::faults::Fault;

use super::cloud::Cloud;
use super::figures::Figures;
use super::provider::Provider;
use super::site::{Site, Victim};
use super::{kill, report};

/// Places before which no machine was asked for.
const UNASKED: &[&str] =
    &["intent-writing", "intent-recorded", "intent-guarded", "server-announced", "firewall-made", "clone-announced"];

/// How long a lease is nobody's at the latest, when its machine was lost with everything on it: its time to live, the allowance
/// for clocks that differ, and a minute.
const NOBODYS: Duration = Duration::from_secs((20 + 5 + 1) * 60);

/// Cleans up on another machine after one was lost with everything on it. Before its deadline nobody can know that a runner is
/// nobody's; after it anybody does who has the cloud's credential. Yields how many hours that is.
pub(super) fn clean_elsewhere(site: &Site, cloud: &dyn Cloud, leases: &[LeaseId], state: &str) -> u64 {
    let there = || leases.iter().flat_map(|lease| cloud.traces(lease)).collect::<Vec<_>>();
    let before = there();
    site.gc_elsewhere();
    let after = there();
    assert!(
        before.iter().all(|machine| after.contains(machine)),
        "it was taken before its time: {before:?}, {after:?}"
    );
    let wait = match leases.first().and_then(|lease| cloud.label(lease, "lian-max")) {
        // It may be kept, so only its hard deadline counts.
        Some(hard) if state == "kept" => {
            let left = hard.parse::<i64>().unwrap() - cloud.core().clock.now().as_second();
            Duration::from_secs(u64::try_from(left).unwrap() + 6 * 60)
        }
        _ => NOBODYS,
    };
    cloud.advance(wait);
    site.gc_elsewhere();
    // It was made within the minute before.
    (wait.as_secs() + 60).div_ceil(3600)
}

/// Kills at every place in every way that is for what stands behind this cloud's machines: there is just the one machine for each
/// that was asked for.
pub(super) fn kill_at_places(provider: Provider) {
    let (site, mut figures) = (Site::new(provider.clone()), Figures::default());
    let cloud = provider.cloud().unwrap();
    for (place, passes) in super::PLACES.iter().filter(|(_, passes)| provider.passes(*passes)) {
        for way in provider.ways() {
            println!("{way} at {place}");
            let before = cloud.made();
            let victim = site.start_until(place, *passes);
            figures.add(kill(&site, victim, *way, 0));
            assert_eq!(cloud.made() - before, usize::from(!UNASKED.contains(place)), "{way} at {place}");
        }
    }
    site.close();
    report("every place", &provider, &figures);
}

/// Kills while the request to make the machine is under way: carried out already and not answered, and carried out only after
/// the kill. Whoever cleans up finds the machine that nobody was told of.
pub(super) fn kill_during_the_request(provider: Provider) {
    let (site, mut figures) = (Site::new(provider.clone()), Figures::default());
    let cloud = provider.cloud().unwrap();
    for fault in [Fault::held_after(), Fault::held()] {
        for way in provider.ways() {
            println!("{way} during the request, {:?}", fault.effect);
            let (before, asked) = (cloud.made(), cloud.asked());
            cloud.strike(fault.clone());
            let victim = site.start();
            cloud.wait_for_request(asked);
            figures.add(kill(&site, victim, *way, 0));
            assert_eq!(cloud.made() - before, 1, "{way}");
        }
    }
    site.close();
    report("during the request for the machine", &provider, &figures);
}

/// The credential is nowhere: in no file of the killed command's, and in no argument of what it started.
pub(super) fn assert_secret(site: &Site, victim: &Victim, secret: &str) {
    let needle = secret.as_bytes();
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
