//! Chooses the provider by name, or says why it took the one it took. Choosing has no side effect.

use crate::env_vars::{self, Environment};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Every provider there is.
pub const KNOWN: &[&str] = &["local"];

/// Providers of the design that this version does not have yet: named so that the answer is not "unknown".
const PLANNED: &[&str] = &["docker_local", "hcloud", "proxmox", "vm_pool"];

/// A provider's name and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The name.
    pub name: &'static str,
    /// Why, in words.
    pub reason: String,
}

/// Chooses: the name that was said, else by the machine.
///
/// # Errors
/// `Usage` for an unknown provider, and when the environment asks for one that this version does not have: nothing
/// falls back silently.
pub fn choose(said: Option<&str>, environment: &Environment) -> Result<Choice> {
    if let Some(said) = said {
        let name = said.strip_prefix('\'').unwrap_or(said);
        if let Some(name) = KNOWN.iter().find(|known| **known == name) {
            return Ok(Choice { name, reason: "--provider".to_owned() });
        }
        return Err(unknown(said, name));
    }
    if environment.text(env_vars::ORCHESTRATOR_URL).is_some() {
        // The address may hold a login, so it is not repeated.
        return Err(Error::usage(format!(
            "`{}` is set, but this version cannot lease from a vm-pool",
            env_vars::ORCHESTRATOR_URL
        ))
        .hint("unset it, or say `--provider local`"));
    }
    let user = if rustix::process::geteuid().is_root() { "root" } else { "an ordinary user (rootless)" };
    Ok(Choice { name: "local", reason: format!("no provider was said; running as {user}") })
}

fn unknown(said: &str, name: &str) -> Error {
    if PLANNED.contains(&name) {
        return Error::usage(format!("the provider `{said}` is not part of this version"))
            .hint(format!("providers are: {}", KNOWN.join(", ")));
    }
    let error = Error::usage(format!("the provider `{said}` is not known"));
    match nearest(name, KNOWN.iter().chain(PLANNED).copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("providers are: {}", KNOWN.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_falls_back_silently() {
        let pool = Environment::from_pairs([("ORCHESTRATOR_URL", "https://ann:hidden@pool")]);
        let refused = choose(None, &pool).unwrap_err();
        assert!(!format!("{refused:?}").contains("hidden"), "{refused:?}");
        assert_eq!(choose(Some("local"), &pool).unwrap().name, "local");
        assert_eq!(choose(None, &Environment::default()).unwrap().name, "local");
    }

    #[test]
    fn an_unknown_provider_names_the_nearest() {
        let error = choose(Some("locl"), &Environment::default()).unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("`local`")), "{error:?}");
        assert!(choose(Some("hcloud"), &Environment::default()).unwrap_err().message().contains("not part of"));
    }
}
