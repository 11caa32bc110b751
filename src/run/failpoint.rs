//! Failures on demand, for tests of what happens then. Compiled into debug builds only; a release build has none of it.

use crate::env_vars::Environment;

/// Names the place at which a debug build fails: `panic-on-lease`, `panic-in-build`.
#[cfg(debug_assertions)]
const VARIABLE: &str = "LIAN_FAILPOINT";

/// Panics when the environment asks for it at this place.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "that is what it is for")]
pub(super) fn panic_at(place: &str, environment: &Environment) {
    if environment.text(VARIABLE) == Some(place) {
        panic!("failpoint `{place}`");
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(super) fn panic_at(_place: &str, _environment: &Environment) {}
