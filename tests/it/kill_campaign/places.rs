//! Every place where a build can be stopped on demand, and which builds pass it.

use std::collections::BTreeSet;
use std::path::Path;

/// Which builds pass a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passes {
    /// Any build.
    AnyBuild,
    /// Any build with `docker_local`.
    AnyContainer,
    /// One that fails, and whose runner is to be kept.
    KeptFailure,
}

/// All places. A place of the sources that is not here fails a test, and so does one that is here only.
pub(super) const PLACES: &[(&str, Passes)] = &[
    ("intent-recorded", Passes::AnyBuild),
    ("intent-guarded", Passes::AnyBuild),
    ("container-announced", Passes::AnyContainer),
    ("created-unrecorded", Passes::AnyBuild),
    ("created-recorded", Passes::AnyBuild),
    ("ready-unrecorded", Passes::AnyBuild),
    ("ready-recorded", Passes::AnyBuild),
    ("on-lease", Passes::AnyBuild),
    ("in-build", Passes::AnyBuild),
    ("kept-recorded", Passes::KeptFailure),
    ("releasing-recorded", Passes::AnyBuild),
    ("released-unrecorded", Passes::AnyBuild),
    ("released-recorded", Passes::AnyBuild),
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
