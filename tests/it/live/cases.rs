//! The cases of the conformance suite, each with how many servers it asks for at most.

use std::pin::Pin;

use crate::conformance::{Harness, acquiring, listing, releasing};

/// A case of the suite, under way.
type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One case.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// How many servers it asks for at most.
    pub(super) servers: u32,
    pub(super) run: fn(&dyn Harness) -> Work<'_>,
}

macro_rules! case {
    ($module:ident :: $name:ident, $servers:literal) => {
        Case { name: stringify!($name), servers: $servers, run: |harness| Box::pin($module::$name(harness)) }
    };
}

/// All of them. The cheapest first: what is wrong with an account shows before much is paid.
pub(super) const CASES: &[Case] = &[
    case!(listing::the_backend_is_the_same_for_all_processes, 0),
    case!(acquiring::a_check_changes_nothing, 1),
    case!(acquiring::the_endpoint_is_what_was_declared, 1),
    case!(acquiring::labels_are_there_when_it_is_created, 1),
    case!(acquiring::the_same_name_is_the_same_runner, 1),
    case!(acquiring::another_process_never_doubles_a_runner, 1),
    case!(acquiring::a_failed_acquisition_leaves_nothing_after_its_release, 1),
    case!(acquiring::a_cancelled_acquisition_leaves_nothing_after_its_release, 1),
    case!(acquiring::a_dropped_acquisition_leaves_nothing_after_its_release, 1),
    case!(releasing::releasing_is_idempotent, 1),
    case!(releasing::what_is_not_ours_is_refused, 1),
    case!(releasing::a_runner_lives_as_long_as_was_declared, 1),
    case!(releasing::a_stopped_runner_is_released, 1),
    case!(listing::the_list_shows_whose_a_runner_is, 1),
    case!(listing::the_list_shows_what_cannot_be_read, 1),
    case!(listing::liveness_is_the_providers_word, 1),
    case!(listing::renewing_is_what_was_declared, 1),
];

#[test]
fn every_case_of_the_suite_is_here() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance");
    let mut found = Vec::new();
    for file in ["acquiring.rs", "listing.rs", "releasing.rs"] {
        let text = std::fs::read_to_string(dir.join(file)).unwrap();
        let names = text.split("pub(crate) async fn ").skip(1).map(|rest| rest.split('(').next().unwrap().to_owned());
        found.extend(names);
    }
    let mut listed: Vec<String> = CASES.iter().map(|case| case.name.to_owned()).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
}
