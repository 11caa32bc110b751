//! Chooses the provider by name, or says why it took the one it took. Choosing has no side effect.

use std::time::Duration;

use super::docker_local::{DockerLocalConfig, DockerLocalProvider};
use super::host;
use crate::env_vars::{self, Environment};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Every provider there is.
pub const KNOWN: &[&str] = &["local", "docker_local"];

/// Providers of the design that this version does not have yet: named so that the answer is not "unknown".
const PLANNED: &[&str] = &["hcloud", "proxmox", "vm_pool"];

/// How long Docker may take to answer when nobody asked for it.
const DOCKER_LIMIT: Duration = Duration::from_secs(1);

/// A provider's name and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The name.
    pub name: &'static str,
    /// Why, in words.
    pub reason: String,
}

/// Chooses: the name that was said, else by the machine: `local` as root, else `docker_local` where a daemon answers, else
/// rootless `local`.
///
/// # Errors
/// `Usage` for an unknown provider, and when the environment asks for one that this version does not have: nothing
/// falls back silently.
pub async fn choose(said: Option<&str>, environment: &Environment) -> Result<Choice> {
    if let Some(said) = said {
        return named(said);
    }
    if environment.text(env_vars::ORCHESTRATOR_URL).is_some() {
        // The address may hold a login, so it is not repeated.
        return Err(Error::usage(format!(
            "`{}` is set, but this version cannot lease from a vm-pool",
            env_vars::ORCHESTRATOR_URL
        ))
        .hint("unset it, or say `--provider local` or `--provider docker_local`"));
    }
    if host::is_root() {
        return Ok(Choice { name: "local", reason: "no provider was said; running as root".to_owned() });
    }
    let docker = DockerLocalProvider::new(DockerLocalConfig::from_environment(environment));
    Ok(without_root(docker.answers(DOCKER_LIMIT).await))
}

/// What is set in the environment and does nothing for this provider.
pub fn without_effect(name: &str, environment: &Environment) -> Option<String> {
    let image = env_vars::BUILDKIT_RUNNER_IMAGE;
    (name == "local" && environment.os(image).is_some())
        .then(|| format!("`{image}` is not used: a runner of the provider `local` is not started from an image"))
}

/// The provider that somebody named.
///
/// # Errors
/// `Usage` for one that is not known, or not part of this version.
pub fn named(said: &str) -> Result<Choice> {
    let name = said.strip_prefix('\'').unwrap_or(said);
    match KNOWN.iter().find(|known| **known == name) {
        Some(name) => Ok(Choice { name, reason: "--provider".to_owned() }),
        None => Err(unknown(said, name)),
    }
}

/// The choice of an ordinary user, by whether Docker answers.
fn without_root(docker: Result<()>) -> Choice {
    let reason = "no provider was said; running as an ordinary user";
    match docker {
        Ok(()) => Choice { name: "docker_local", reason: format!("{reason}, and Docker answers") },
        Err(error) => Choice { name: "local", reason: format!("{reason} (rootless): {}", error.message()) },
    }
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
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn nothing_falls_back_silently() {
        let pool = Environment::from_pairs([("ORCHESTRATOR_URL", "https://ann:hidden@pool")]);
        let refused = choose(None, &pool).await.unwrap_err();
        assert!(!format!("{refused:?}").contains("hidden"), "{refused:?}");
        assert_eq!(choose(Some("local"), &pool).await.unwrap().name, "local");
        for said in ["docker_local", "'docker_local"] {
            assert_eq!(choose(Some(said), &pool).await.unwrap().name, "docker_local");
        }
    }

    #[tokio::test]
    async fn without_a_daemon_it_is_this_machine() {
        let none = Environment::from_pairs([("DOCKER_HOST", "unix:///nowhere/docker.sock")]);
        assert_eq!(choose(None, &none).await.unwrap().name, "local");
    }

    #[test]
    fn an_image_is_for_containers() {
        let image = Environment::from_pairs([("BUILDKIT_RUNNER_IMAGE", "mine:1")]);
        assert!(without_effect("local", &image).is_some_and(|text| text.contains("BUILDKIT_RUNNER_IMAGE")));
        assert_eq!(without_effect("docker_local", &image), None);
        assert_eq!(without_effect("local", &Environment::default()), None);
    }

    #[test]
    fn an_ordinary_user_gets_docker_where_it_answers_and_is_told_why_not() {
        assert_eq!(without_root(Ok(())).name, "docker_local");
        let choice = without_root(Err(Error::new(ErrorKind::NoCapacity, "Docker is off")));
        assert_eq!(choice.name, "local");
        assert!(choice.reason.contains("rootless") && choice.reason.ends_with("Docker is off"), "{choice:?}");
    }

    #[tokio::test]
    async fn an_unknown_provider_names_the_nearest() {
        let error = choose(Some("locl"), &Environment::default()).await.unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("`local`")), "{error:?}");
        assert!(choose(Some("hcloud"), &Environment::default()).await.unwrap_err().message().contains("not part of"));
    }
}
