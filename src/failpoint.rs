//! Failures on demand, for tests of what happens then. Compiled into debug builds only; a release build has none of it.

use crate::env_vars::Environment;

/// What a debug build does where: `panic@on-lease`, `stop@intent-recorded`. `stop` says so on stderr and stands still for
/// ever, so that a test can kill whatever it wants at exactly this place.
#[cfg(debug_assertions)]
const VARIABLE: &str = "LIAN_FAILPOINT";

#[cfg(debug_assertions)]
static ARMED: std::sync::OnceLock<(String, String)> = std::sync::OnceLock::new();

/// Reads what the environment asks for. Called once, at the start.
#[cfg(debug_assertions)]
pub(crate) fn arm(environment: &Environment) {
    if let Some((action, place)) = environment.text(VARIABLE).and_then(|text| text.split_once('@')) {
        let _ = ARMED.set((action.to_owned(), place.to_owned()));
    }
}

/// Does what the environment asked for, if it is this place.
#[cfg(debug_assertions)]
#[expect(clippy::panic, clippy::print_stderr, reason = "that is what it is for")]
pub(crate) fn reach(place: &str) {
    match ARMED.get() {
        Some((action, at)) if at == place && action == "panic" => panic!("failpoint `{place}`"),
        Some((action, at)) if at == place && action == "stop" => {
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
