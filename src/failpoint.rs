//! Failures on demand, for tests of what happens then. Compiled into debug builds only; a release build has none of it.

use std::time::Duration;

use crate::env_vars::Environment;

/// What a debug build does where, separated by commas: `panic@on-lease`, `stop@intent-recorded`, `2@reconnect`. `stop`
/// says so on stderr and stands still for ever, so that a test can kill whatever it wants at exactly this place. Anything
/// else is a value that replaces the one used there.
#[cfg(debug_assertions)]
const VARIABLE: &str = "LIAN_FAILPOINT";

#[cfg(debug_assertions)]
static ARMED: std::sync::OnceLock<Vec<(String, String)>> = std::sync::OnceLock::new();

/// Reads what the environment asks for. Called once, at the start.
#[cfg(debug_assertions)]
pub(crate) fn arm(environment: &Environment) {
    let asked = environment.text(VARIABLE).unwrap_or_default().split(',').filter_map(|one| one.split_once('@'));
    let _ = ARMED.set(asked.map(|(action, place)| (action.to_owned(), place.to_owned())).collect());
}

/// The value that the environment gives for this place.
#[cfg(debug_assertions)]
pub(crate) fn value(place: &str) -> Option<&'static str> {
    let mut armed = ARMED.get()?.iter();
    armed.find(|(_, at)| at == place).map(|(action, _)| action.as_str())
}

/// There is none.
#[cfg(not(debug_assertions))]
pub(crate) fn value(_place: &str) -> Option<&'static str> {
    None
}

/// A duration, or the seconds that the environment gives for this place.
pub(crate) fn seconds(place: &str, usual: Duration) -> Duration {
    value(place).and_then(|text| text.parse().ok()).map_or(usual, Duration::from_secs)
}

/// Does what the environment asked for, if it is this place.
#[cfg(debug_assertions)]
#[expect(clippy::panic, clippy::print_stderr, reason = "that is what it is for")]
pub(crate) fn reach(place: &str) {
    match value(place) {
        Some("panic") => panic!("failpoint `{place}`"),
        Some("stop") => {
            eprintln!("failpoint: stopped at {place}");
            loop {
                std::thread::park();
            }
        }
        _ => {}
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn arm(_environment: &Environment) {}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn reach(_place: &str) {}
