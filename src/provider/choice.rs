//! Who may lease a runner: the providers that were said, or the one that the machine decides, with the reason. Choosing has
//! no side effect.

use std::time::Duration;

use super::ProviderConfig;
use super::docker_local::{DockerLocalConfig, DockerLocalProvider};
use super::host;
use super::proxmox::ProxmoxConfig;
use crate::dirs::Dirs;
use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::candidate::Candidate;
use crate::inputs::directives::{
    ComputeProviderRef, DockerLocalOptions, HcloudOptions, LocalOptions, ProxmoxOptions, VmPoolOptions,
};
use crate::inputs::origin::By;
use crate::nearest::nearest;
use crate::sanitise;

/// Every provider there is.
pub const KNOWN: &[&str] = &["local", "docker_local", "hcloud", "proxmox", "vm_pool"];

/// How long Docker may take to answer when nobody asked for it.
const DOCKER_LIMIT: Duration = Duration::from_secs(1);

/// A provider with its options, and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which, and with what options.
    pub provider: ComputeProviderRef,
    /// Why, in words.
    pub reason: String,
}

impl Choice {
    /// The provider's name.
    pub fn name(&self) -> &'static str {
        self.provider.name()
    }

    /// What it is called where several candidates are told apart: `hcloud (cax31 at fsn1)`.
    pub fn label(&self) -> String {
        let (tier, place) = match &self.provider {
            ComputeProviderRef::Hcloud(options) => (options.runner_type.as_deref(), options.location.as_deref()),
            ComputeProviderRef::Proxmox(options) => (options.runner_type.as_deref(), options.node.as_deref()),
            ComputeProviderRef::VmPool(options) => (options.runner_type.as_deref(), options.provider.as_deref()),
            ComputeProviderRef::Local(_) | ComputeProviderRef::DockerLocal(_) => (None, None),
        };
        match (tier, place) {
            (None, None) => self.name().to_owned(),
            (Some(tier), None) => format!("{} ({tier})", self.name()),
            (None, Some(place)) => format!("{} ({place})", self.name()),
            (Some(tier), Some(place)) => format!("{} ({tier} at {place})", self.name()),
        }
    }

    /// The tier that this candidate alone asks for.
    pub fn runner_type(&self) -> Option<&str> {
        match &self.provider {
            ComputeProviderRef::Hcloud(options) => options.runner_type.as_deref(),
            ComputeProviderRef::Proxmox(options) => options.runner_type.as_deref(),
            ComputeProviderRef::VmPool(options) => options.runner_type.as_deref(),
            ComputeProviderRef::Local(_) | ComputeProviderRef::DockerLocal(_) => None,
        }
    }

    /// True when its machines are rented by the names of tiers, so that each architecture has tiers of its own.
    pub const fn rents_by_name(&self) -> bool {
        matches!(self.provider, ComputeProviderRef::Hcloud(_))
    }

    /// What is needed to open it.
    ///
    /// # Errors
    /// `Usage` for one that this version does not have, and for a variable that cannot be used; `OverPolicy` for a runner
    /// image that is not the operator's.
    pub fn config(&self, environment: &Environment, dirs: &Dirs) -> Result<ProviderConfig> {
        named(self.name())?;
        if let ComputeProviderRef::Proxmox(options) = &self.provider {
            let config = ProxmoxConfig::from_environment(environment, options)?;
            return Ok(ProviderConfig::Proxmox(Box::new(config)));
        }
        let config = ProviderConfig::from_environment(self.name(), environment, dirs)?;
        Ok(match (config, &self.provider) {
            (ProviderConfig::DockerLocal(config), ComputeProviderRef::DockerLocal(options)) => {
                check_image(options.image.as_deref(), &config.image)?;
                ProviderConfig::DockerLocal(config)
            }
            (ProviderConfig::VmPool(config), ComputeProviderRef::VmPool(options)) => {
                ProviderConfig::VmPool(config.asking_for(options.provider.as_deref())?)
            }
            (ProviderConfig::Hcloud(config), ComputeProviderRef::Hcloud(options)) => {
                ProviderConfig::Hcloud(Box::new(config.with_options(options)?))
            }
            (config, _) => config,
        })
    }
}

/// Whoever chooses the image chooses what runs with `SYS_ADMIN` at the daemon and sees secrets and logins. Only directives
/// can ask for one, and they come with the source: what they say has to be what the operator says.
fn check_image(asked: Option<&str>, own: &str) -> Result<()> {
    let Some(asked) = asked.filter(|asked| *asked != own) else { return Ok(()) };
    Err(Error::new(
        ErrorKind::OverPolicy,
        format!(
            "the directives ask for the runner image `{}`, and only the operator's own, `{own}`, is started",
            sanitise::line(asked)
        ),
    )
    .hint(format!("leave `image` out of the directives, or say the same in {}", env_vars::BUILDKIT_RUNNER_IMAGE)))
}

/// Who may lease: those that were said, in order; else the pool that the environment names; else one by the machine: `local`
/// as root, else `docker_local` where a daemon answers, else rootless `local`.
///
/// # Errors
/// None so far. A pool that cannot be used is refused when it is opened: nothing falls back silently.
pub async fn candidates(said: &[Candidate], environment: &Environment) -> Result<Vec<Choice>> {
    let count = said.len();
    if count > 0 {
        let choose = |(index, candidate): (usize, &Candidate)| Choice {
            provider: candidate.provider.clone(),
            reason: match count {
                1 => candidate.from.clone(),
                _ => format!("{}, candidate {} of {count}", candidate.from, index + 1),
            },
        };
        return Ok(said.iter().enumerate().map(choose).collect());
    }
    if environment.text(env_vars::ORCHESTRATOR_URL).is_some() {
        // The address may hold a login, so it is not repeated.
        let reason = format!("no provider was said; {} is set", env_vars::ORCHESTRATOR_URL);
        return Ok(vec![Choice { provider: ComputeProviderRef::VmPool(VmPoolOptions::default()), reason }]);
    }
    if host::is_root() {
        return Ok(vec![local("no provider was said; running as root".to_owned())]);
    }
    let docker = DockerLocalProvider::new(DockerLocalConfig::from_environment(environment));
    Ok(vec![without_root(docker.answers(DOCKER_LIMIT).await)])
}

/// One candidate by its name, without options. `from` is what said it.
///
/// # Errors
/// `Usage` for a name that no provider has.
pub fn candidate(said: &str, from: &str) -> Result<Candidate> {
    Ok(Candidate { provider: by_name(said)?, from: from.to_owned(), by: By::Flag })
}

fn local(reason: String) -> Choice {
    Choice { provider: ComputeProviderRef::Local(LocalOptions::default()), reason }
}

/// What is set in the environment and does nothing for this provider.
pub fn without_effect(name: &str, environment: &Environment) -> Option<String> {
    let image = env_vars::BUILDKIT_RUNNER_IMAGE;
    environment.os(image)?;
    match name {
        "local" => {
            Some(format!("`{image}` is not used: a runner of the provider `local` is not started from an image"))
        }
        "vm_pool" => {
            Some(format!("`{image}` is not used: what a pool's runner is started from is the pool's business"))
        }
        _ => None,
    }
}

/// The providers that can be asked for their runners without more being said: one that is elsewhere only where the environment
/// says where, and as whom.
pub fn at_hand(environment: &Environment) -> impl Iterator<Item = &'static str> {
    KNOWN.iter().copied().filter(|name| match *name {
        "vm_pool" => environment.os(env_vars::ORCHESTRATOR_URL).is_some(),
        "proxmox" => environment.os(env_vars::PROXMOX_VE_ENDPOINT).is_some(),
        "hcloud" => environment.os(env_vars::HCLOUD_TOKEN).is_some(),
        _ => true,
    })
}

/// The provider that somebody named.
///
/// # Errors
/// `Usage` for one that is not known.
pub fn named(said: &str) -> Result<Choice> {
    Ok(Choice { provider: by_name(said)?, reason: "--provider".to_owned() })
}

/// The choice of an ordinary user, by whether Docker answers.
fn without_root(docker: Result<()>) -> Choice {
    let reason = "no provider was said; running as an ordinary user";
    match docker {
        Ok(()) => Choice {
            provider: ComputeProviderRef::DockerLocal(DockerLocalOptions::default()),
            reason: format!("{reason}, and Docker answers"),
        },
        Err(error) => local(format!("{reason} (rootless): {}", error.message())),
    }
}

/// A provider of the design by its name, without options.
fn by_name(said: &str) -> Result<ComputeProviderRef> {
    match said.strip_prefix('\'').unwrap_or(said) {
        "local" => Ok(ComputeProviderRef::Local(LocalOptions::default())),
        "docker_local" => Ok(ComputeProviderRef::DockerLocal(DockerLocalOptions::default())),
        "hcloud" => Ok(ComputeProviderRef::Hcloud(HcloudOptions::default())),
        "proxmox" => Ok(ComputeProviderRef::Proxmox(ProxmoxOptions::default())),
        "vm_pool" => Ok(ComputeProviderRef::VmPool(VmPoolOptions::default())),
        name => {
            let error = Error::usage(format!("the provider `{said}` is not known"));
            Err(match nearest(name, KNOWN.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("providers are: {}", KNOWN.join(", "))),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> Vec<Candidate> {
        names.iter().map(|name| candidate(name, "--provider").unwrap()).collect()
    }

    #[tokio::test]
    async fn nothing_falls_back_silently() {
        let pool = Environment::from_pairs([("ORCHESTRATOR_URL", "https://ann:hidden@pool"), ("HOME", "/h")]);
        let chosen = candidates(&[], &pool).await.unwrap();
        assert_eq!(chosen[0].name(), "vm_pool");
        let refused = chosen[0].config(&pool, &Dirs::from_environment(&pool).unwrap()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
        assert!(!format!("{refused:?} {chosen:?}").contains("hidden"), "{refused:?}");
        assert_eq!(candidates(&said(&["local"]), &pool).await.unwrap()[0].name(), "local");
        for name in ["docker_local", "'docker_local"] {
            assert_eq!(candidates(&said(&[name]), &pool).await.unwrap()[0].name(), "docker_local");
        }
    }

    #[tokio::test]
    async fn candidates_keep_their_order_and_say_their_place() {
        let several = candidates(&said(&["hcloud", "local"]), &Environment::default()).await.unwrap();
        let shown: Vec<_> = several.iter().map(|choice| (choice.name(), choice.reason.as_str())).collect();
        assert_eq!(shown, [("hcloud", "--provider, candidate 1 of 2"), ("local", "--provider, candidate 2 of 2")]);
        assert_eq!(candidates(&said(&["local"]), &Environment::default()).await.unwrap()[0].reason, "--provider");
    }

    #[test]
    fn directives_start_no_image_that_the_operator_did_not_name() {
        let environment = Environment::from_pairs([("BUILDKIT_RUNNER_IMAGE", "theirs:1"), ("HOME", "/h")]);
        let dirs = Dirs::from_environment(&environment).unwrap();
        let image_of = |image: Option<&str>| {
            let options = DockerLocalOptions { image: image.map(str::to_owned) };
            let choice = Choice { provider: ComputeProviderRef::DockerLocal(options), reason: String::new() };
            choice.config(&environment, &dirs).map(|config| match config {
                ProviderConfig::DockerLocal(config) => config.image,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(image_of(None).unwrap(), "theirs:1");
        assert_eq!(image_of(Some("theirs:1")).unwrap(), "theirs:1");
        let refused = image_of(Some("evil.example/x:1")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OverPolicy);
        assert!(refused.message().contains("`evil.example/x:1`") && refused.message().contains("`theirs:1`"));
    }

    #[test]
    fn candidates_of_one_provider_are_told_apart() {
        let hcloud = |runner_type: Option<&str>, location: Option<&str>| {
            let [runner_type, location] = [runner_type, location].map(|text| text.map(str::to_owned));
            let options = HcloudOptions { runner_type, location, ..HcloudOptions::default() };
            Choice { provider: ComputeProviderRef::Hcloud(options), reason: String::new() }
        };
        for (tier, place, label) in [
            (None, None, "hcloud"),
            (Some("cax31"), None, "hcloud (cax31)"),
            (None, Some("fsn1"), "hcloud (fsn1)"),
            (Some("cax31"), Some("fsn1"), "hcloud (cax31 at fsn1)"),
        ] {
            assert_eq!(hcloud(tier, place).label(), label);
        }
        assert!(hcloud(None, None).rents_by_name());
        assert!(!local(String::new()).rents_by_name() && local(String::new()).label() == "local");
    }

    #[test]
    fn a_pool_is_asked_for_what_the_directives_say() {
        let environment = Environment::from_pairs([
            ("ORCHESTRATOR_URL", "https://pool"),
            ("ORCHESTRATOR_PROVIDER", "docker_local"),
            ("HOME", "/h"),
        ]);
        let dirs = Dirs::from_environment(&environment).unwrap();
        let asks_for = |provider: Option<&str>| {
            let options = VmPoolOptions { provider: provider.map(str::to_owned), ..VmPoolOptions::default() };
            let choice = Choice { provider: ComputeProviderRef::VmPool(options), reason: String::new() };
            match choice.config(&environment, &dirs).unwrap() {
                ProviderConfig::VmPool(config) => config.asks_for,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asks_for(Some("hcloud")).as_deref(), Some("hcloud"));
        assert_eq!(asks_for(None).as_deref(), Some("docker_local"));
    }

    #[test]
    fn what_is_elsewhere_is_at_hand_where_it_is_named() {
        let all = [("ORCHESTRATOR_URL", "https://pool"), ("HCLOUD_TOKEN", "t"), ("PROXMOX_VE_ENDPOINT", "https://pve")];
        assert_eq!(at_hand(&Environment::from_pairs(all)).collect::<Vec<_>>(), KNOWN);
        assert_eq!(at_hand(&Environment::default()).collect::<Vec<_>>(), ["local", "docker_local"]);
    }

    #[tokio::test]
    async fn without_a_daemon_it_is_this_machine() {
        let none = Environment::from_pairs([("DOCKER_HOST", "unix:///nowhere/docker.sock")]);
        assert_eq!(candidates(&[], &none).await.unwrap()[0].name(), "local");
    }

    #[test]
    fn an_image_is_for_containers() {
        let image = Environment::from_pairs([("BUILDKIT_RUNNER_IMAGE", "mine:1")]);
        assert!(without_effect("local", &image).is_some_and(|text| text.contains("BUILDKIT_RUNNER_IMAGE")));
        assert!(without_effect("vm_pool", &image).is_some_and(|text| text.contains("BUILDKIT_RUNNER_IMAGE")));
        assert_eq!(without_effect("docker_local", &image), None);
        assert_eq!(without_effect("local", &Environment::default()), None);
    }

    #[test]
    fn an_ordinary_user_gets_docker_where_it_answers_and_is_told_why_not() {
        assert_eq!(without_root(Ok(())).name(), "docker_local");
        let choice = without_root(Err(Error::new(ErrorKind::NoCapacity, "Docker is off")));
        assert_eq!(choice.name(), "local");
        assert!(choice.reason.contains("rootless") && choice.reason.ends_with("Docker is off"), "{choice:?}");
    }

    #[test]
    fn an_unknown_provider_names_the_nearest() {
        let error = candidate("locl", "--provider").unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("`local`")), "{error:?}");
        for name in KNOWN {
            assert_eq!(candidate(name, "--provider").unwrap().provider.name(), *name);
        }
    }
}
