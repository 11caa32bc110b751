//! [`pick`]: the lease that a user means by a lease id or the beginning of one.

use crate::error::{Error, Result};
use crate::ids::LeaseId;
use crate::nearest::nearest;
use crate::sanitise;

/// How many leases an ambiguous beginning lists.
const MOST_LISTED: usize = 5;

/// The one of `leases` that `said` is, or is the beginning of, with or without its `lb-`; else a whole id that nothing is
/// known of.
///
/// # Errors
/// `Usage` for a beginning that fits none, with the nearest, or that fits several.
pub(super) fn pick(said: &str, leases: &[LeaseId]) -> Result<LeaseId> {
    let fits = |lease: &&LeaseId| {
        let id = lease.as_str();
        id.starts_with(said) || id.strip_prefix("lb-").is_some_and(|digits| digits.starts_with(said))
    };
    let fitting: Vec<&LeaseId> = if said.is_empty() { Vec::new() } else { leases.iter().filter(fits).collect() };
    match (fitting.as_slice(), said.parse::<LeaseId>()) {
        ([one], _) => Ok((*one).clone()),
        ([], Ok(whole)) => Ok(whole),
        ([], Err(_)) => {
            let error = Error::usage(format!("there is no runner `{}`", sanitise::short(said, 80)));
            Err(match nearest(said, leases.iter().map(LeaseId::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("`lian-build runners list --all-owners` lists them"),
            })
        }
        (several, _) => {
            let error = Error::usage(format!("`{}` fits {} runners", sanitise::short(said, 80), several.len()));
            Err(several.iter().take(MOST_LISTED).fold(error, |error, lease| error.hint(format!("`{lease}`"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(digits: &str) -> LeaseId {
        format!("lb-{digits:0<32}").parse().unwrap()
    }

    #[test]
    fn a_beginning_that_fits_one_is_enough() {
        let leases = [lease("0192aa"), lease("0192ab")];
        assert_eq!(pick("lb-0192aa", &leases).unwrap(), leases[0]);
        assert_eq!(pick("0192ab", &leases).unwrap(), leases[1]);
        assert_eq!(pick(leases[1].as_str(), &leases).unwrap(), leases[1]);
    }

    #[test]
    fn what_fits_none_or_several_is_refused() {
        let leases = [lease("0192aa"), lease("0192ab")];
        for (said, text) in [("0192", "fits 2 runners"), ("", "there is no runner"), ("0193", "there is no runner")] {
            let error = pick(said, &leases).unwrap_err();
            assert!(error.message().contains(text), "{said}: {error}");
            assert!(!error.hints().is_empty(), "{said}");
        }
        let slip = pick("lb-0192ax", &leases).unwrap_err();
        assert!(slip.hints().iter().any(|hint| hint.contains("did you mean `lb-0192a")), "{slip:?}");
    }

    #[test]
    fn a_whole_id_that_is_not_known_any_more_is_still_one() {
        assert_eq!(pick(lease("0192ac").as_str(), &[lease("0192aa")]).unwrap(), lease("0192ac"));
    }
}
