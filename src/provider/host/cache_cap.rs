//! The size cap of kept BuildKit caches, as the user says it.

use crate::env_vars::{self, Environment};
use crate::error::{Error, Result};

/// The cap where nothing is said, in GB.
const DEFAULT_GB: u64 = 20;

/// The most that is kept of BuildKit's state for each workspace and actor, in bytes; 0 keeps nothing.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] for a `LIAN_LOCAL_CACHE_GB` that is not a whole number.
pub(in crate::provider) fn cache_cap_bytes(environment: &Environment) -> Result<u64> {
    let Some(text) = environment.text(env_vars::LIAN_LOCAL_CACHE_GB) else { return Ok(DEFAULT_GB << 30) };
    let gb = text.parse::<u64>().ok().filter(|gb| *gb <= 1 << 20);
    gb.map(|gb| gb << 30).ok_or_else(|| {
        Error::usage(format!("`{text}` in `{}` is not a number of GB", env_vars::LIAN_LOCAL_CACHE_GB))
            .hint("give a whole number; 0 keeps no cache")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_cap_is_a_whole_number_of_gb() {
        let with = |value: &str| cache_cap_bytes(&Environment::from_pairs([("LIAN_LOCAL_CACHE_GB", value)]));
        assert_eq!(with("0").unwrap(), 0);
        assert_eq!(with("3").unwrap(), 3 << 30);
        assert_eq!(cache_cap_bytes(&Environment::default()).unwrap(), 20 << 30);
        for bad in ["-1", "1.5", "lots", "99999999999999"] {
            assert_eq!(with(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
    }
}
