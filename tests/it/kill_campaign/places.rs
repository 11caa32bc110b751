//! Every place where a build can be stopped on demand, and which builds pass it.

use std::collections::BTreeSet;
use std::path::Path;

/// Which builds pass a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passes {
    /// Any build.
    AnyBuild,
    /// Any build whose runner runs a step.
    AnyStep,
    /// Any build with `docker_local`.
    AnyContainer,
    /// Any build with `hcloud`.
    AnyServer,
    /// Any build with `proxmox`.
    AnyGuest,
    /// One that fails, and whose runner is to be kept.
    KeptFailure,
    /// No build: the process of a pool, when somebody leases from it. It is killed there in the tests of `serve`.
    Pool,
}

/// All places. A place of the sources that is not here fails a test, and so does one that is here only.
pub(super) const PLACES: &[(&str, Passes)] = &[
    ("intent-writing", Passes::AnyBuild),
    ("intent-recorded", Passes::AnyBuild),
    ("intent-guarded", Passes::AnyBuild),
    ("container-announced", Passes::AnyContainer),
    ("server-announced", Passes::AnyServer),
    ("firewall-made", Passes::AnyServer),
    ("clone-announced", Passes::AnyGuest),
    ("created-unrecorded", Passes::AnyBuild),
    ("created-writing", Passes::AnyBuild),
    ("created-recorded", Passes::AnyBuild),
    ("ready-unrecorded", Passes::AnyBuild),
    ("ready-writing", Passes::AnyBuild),
    ("ready-recorded", Passes::AnyBuild),
    ("on-lease", Passes::AnyBuild),
    ("in-build", Passes::AnyStep),
    ("kept-recorded", Passes::KeptFailure),
    ("releasing-recorded", Passes::AnyBuild),
    ("released-unrecorded", Passes::AnyBuild),
    ("released-recorded", Passes::AnyBuild),
    ("pool-intent-writing", Passes::Pool),
    ("pool-intent-written", Passes::Pool),
    ("pool-made-written", Passes::Pool),
    ("pool-ready-written", Passes::Pool),
];

/// The names in `reach("…")` below `dir`.
fn in_sources(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_sources(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let names = text.split("failpoint::reach(").skip(1);
        found.extend(names.map(|rest| rest.split('"').nth(1).unwrap_or("no plain name").to_owned()));
    }
}

#[test]
fn every_place_of_the_sources_is_killed_at() {
    let mut found = BTreeSet::new();
    in_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let listed: BTreeSet<String> = PLACES.iter().map(|(place, _)| (*place).to_owned()).collect();
    assert_eq!(found, listed);
}
