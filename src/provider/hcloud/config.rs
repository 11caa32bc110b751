//! [`HcloudConfig`]: which project, and what its runners are made of.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use url::Url;

use crate::env_vars::{self, Environment};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::directives::HcloudOptions;
use crate::own_machine::Supply;
use crate::provider::host::runtime_dir::runtime_dir;
use crate::sanitise;

/// The API, where nothing else is said.
const DEFAULT_ENDPOINT: &str = "https://api.hetzner.cloud/v1";

/// The image, where nothing else is said: Hetzner's own of Debian 12, for any architecture.
pub(super) const DEFAULT_IMAGE: &str = "debian-12";

/// How patient the provider is. Tests shorten it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// The pause before a request is sent again, and between two looks; each later one is longer.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a server is looked for whose request got no answer.
    pub look_limit: Duration,
    /// How long a machine may take from its creation until it answers with its own host key.
    pub boot_limit: Duration,
    /// How long an answer to whether a server lives is believed: whoever watches asks every other second, and a project may ask
    /// once a second in all.
    pub alive_for: Duration,
    /// How long a deletion may take in one attempt; whoever holds the lease tries again.
    pub delete_limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(5),
            look_limit: crate::failpoint::seconds("look", Duration::from_secs(60)),
            // One that is made from a snapshot takes minutes.
            boot_limit: crate::failpoint::seconds("boot", Duration::from_secs(600)),
            alive_for: Duration::from_secs(15),
            delete_limit: Duration::from_secs(50),
        }
    }
}

/// Which project, and what its runners are made of. It holds the project's token: it is shown nowhere, and goes to another
/// process through a socket only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HcloudConfig {
    /// The API's address, without a slash at the end.
    pub endpoint: String,
    /// The project's token, which may read and write.
    #[serde(with = "token")]
    pub token: SecretString,
    /// An SSH key of the project, by its name: with one, nobody is sent a password by mail. It opens nothing.
    pub ssh_key: Option<String>,
    /// The image or the snapshot that machines are made from, by its name or id.
    pub image: String,
    /// The location that was asked for; without one, those where the type is to be had, one after the other.
    pub location: Option<String>,
    /// Who may reach SSH, as addresses (CIDR); without any, everybody may try.
    pub sources: Vec<String>,
    /// Where BuildKit's programs come from.
    pub supply: Supply,
    /// Where this machine's programs are looked for.
    pub program_dirs: Vec<PathBuf>,
    /// Private and short: keys and sockets of leases.
    pub runtime_dir: PathBuf,
    /// How patient the provider is.
    pub pace: Pace,
}

impl HcloudConfig {
    /// The configuration of this user.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] without a token; [`ErrorKind::Usage`] for an address that cannot be used.
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        let token = environment.text(env_vars::HCLOUD_TOKEN).map(str::trim).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| {
            Error::new(
                ErrorKind::Credentials,
                format!(
                    "the provider `hcloud` needs a token of a Hetzner Cloud project in `{}`",
                    env_vars::HCLOUD_TOKEN
                ),
            )
            .hint("make one in the project's console, under Security, API tokens, that may read and write")
        })?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::new(
                ErrorKind::Credentials,
                format!("what `{}` holds is not a token", env_vars::HCLOUD_TOKEN),
            ));
        }
        let text = |name: &str| environment.text(name).map(|value| value.trim().to_owned());
        let sources = text(env_vars::LIAN_HCLOUD_SSH_FROM).unwrap_or_default();
        let sources = sources.split(',').map(str::trim).filter(|source| !source.is_empty());
        Ok(Self {
            endpoint: checked_endpoint(environment.text(env_vars::HCLOUD_ENDPOINT).unwrap_or(DEFAULT_ENDPOINT))?,
            token: token.to_owned().into(),
            ssh_key: text(env_vars::LIAN_HCLOUD_SSH_KEY),
            image: text(env_vars::LIAN_HCLOUD_IMAGE).unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
            location: text(env_vars::LIAN_HCLOUD_LOCATION),
            sources: sources.map(checked_source).collect::<Result<_>>()?,
            supply: Supply::from_environment(environment)?,
            program_dirs: environment.program_dirs(),
            runtime_dir: runtime_dir(environment),
            pace: Pace::default(),
        })
    }

    /// The same as directives ask for it.
    ///
    /// # Errors
    /// [`ErrorKind::OverPolicy`] for an image that the operator did not name: whoever chooses it sees secrets and logins.
    pub fn with_options(self, options: &HcloudOptions) -> Result<Self> {
        if let Some(asked) = options.image.as_deref().filter(|asked| *asked != self.image) {
            return Err(Error::new(
                ErrorKind::OverPolicy,
                format!(
                    "the directives ask for the image `{}`, and only the operator's own, `{}`, is used",
                    sanitise::line(asked),
                    self.image
                ),
            )
            .hint(format!("leave `image` out of the directives, or say the same in {}", env_vars::LIAN_HCLOUD_IMAGE)));
        }
        Ok(Self { location: options.location.clone().or(self.location), ..self })
    }

    /// The same, for machines that are made from Hetzner's own image.
    #[must_use]
    pub fn on_stock_image(self) -> Self {
        Self { image: DEFAULT_IMAGE.to_owned(), ..self }
    }

    /// Which project of which API, without telling the token.
    pub(super) fn backend(&self) -> String {
        let digest = sha2::Sha256::digest(format!("lian-build:{}", self.token.expose_secret()).as_bytes());
        let project: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}#{project}", self.endpoint)
    }

    /// True when machines are made from Hetzner's own image, and not from one of the operator's.
    pub(super) fn is_stock(&self) -> bool {
        self.image == DEFAULT_IMAGE
    }
}

/// The token goes to this address: HTTPS, or a port of this machine.
fn checked_endpoint(text: &str) -> Result<String> {
    let place = || format!("`{}` has no address of an API: `{}`", env_vars::HCLOUD_ENDPOINT, sanitise::line(text));
    let url = Url::parse(text.trim()).context(ErrorKind::Usage, place)?;
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let fits = url.host().is_some() && url.query().is_none() && url.fragment().is_none();
    if !fits || !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage(format!("`{}` must be an address without login or query", env_vars::HCLOUD_ENDPOINT)));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        _ => {
            return Err(Error::usage(format!("{}: the token is sent over HTTPS only", place())));
        }
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// An address range, as firewalls write it.
fn checked_source(text: &str) -> Result<String> {
    let refused = || {
        Error::usage(format!(
            "`{}` names `{}`, which is no address",
            env_vars::LIAN_HCLOUD_SSH_FROM,
            sanitise::line(text)
        ))
        .hint("`203.0.113.7/32` is one address, `203.0.113.0/24` a range; several are separated by commas")
    };
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: std::net::IpAddr = address.parse().map_err(|_| refused())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 = length.map_or(Ok(longest), str::parse).map_err(|_| refused())?;
    if length > longest {
        return Err(refused());
    }
    Ok(format!("{address}/{length}"))
}

/// The token, on its way to another process of ours.
mod token {
    use secrecy::{ExposeSecret as _, SecretString};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(token.expose_secret())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
        String::deserialize(deserializer).map(SecretString::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<HcloudConfig> {
        let all = [("HCLOUD_TOKEN", "t0ken-of-the-project")].iter().chain(pairs).copied();
        HcloudConfig::from_environment(&Environment::from_pairs(all))
    }

    #[test]
    fn the_token_is_needed_and_shown_nowhere() {
        let none = HcloudConfig::from_environment(&Environment::default()).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::Credentials);
        let config = with(&[]).unwrap();
        assert!(!format!("{config:?}").contains("t0ken") && !config.backend().contains("t0ken"));
        let other = with(&[("HCLOUD_TOKEN", "another")]).unwrap();
        assert_ne!(config.backend(), other.backend());
        let back: HcloudConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(back.backend(), config.backend());
        let error = with(&[("HCLOUD_TOKEN", "t0ken\nHost: evil")]).unwrap_err();
        assert!(!format!("{error:?}").contains("t0ken"), "{error:?}");
    }

    #[test]
    fn the_token_is_sent_over_https_or_to_this_machine() {
        for good in ["https://api.example/v1/", "http://127.0.0.1:80/v1", "http://localhost:1", "http://[::1]:9/v1"] {
            assert!(!with(&[("HCLOUD_ENDPOINT", good)]).unwrap().endpoint.ends_with('/'), "{good}");
        }
        for bad in
            ["http://api.example/v1", "ftp://x", "x", "https://ann:pw@api.example", "http://127.0.0.1.evil.example"]
        {
            let error = with(&[("HCLOUD_ENDPOINT", bad)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{bad}");
        }
    }

    #[test]
    fn directives_choose_a_location_and_no_image() {
        let options = |location: Option<&str>, image: Option<&str>| HcloudOptions {
            location: location.map(str::to_owned),
            image: image.map(str::to_owned),
            ..HcloudOptions::default()
        };
        let config = with(&[("LIAN_HCLOUD_LOCATION", "nbg1")]).unwrap();
        assert_eq!(config.clone().with_options(&options(None, None)).unwrap().location.as_deref(), Some("nbg1"));
        let said = config.clone().with_options(&options(Some("hel1"), Some("debian-12"))).unwrap();
        assert_eq!(said.location.as_deref(), Some("hel1"));
        assert_eq!(config.with_options(&options(None, Some("4711"))).unwrap_err().kind(), ErrorKind::OverPolicy);
    }

    #[test]
    fn sources_are_addresses() {
        let config = with(&[("LIAN_HCLOUD_SSH_FROM", "203.0.113.7, 2001:db8::/32")]).unwrap();
        assert_eq!(config.sources, ["203.0.113.7/32", "2001:db8::/32"]);
        for bad in ["everybody", "203.0.113.0/33", "203.0.113.0/x", "1.2.3"] {
            assert_eq!(with(&[("LIAN_HCLOUD_SSH_FROM", bad)]).unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
    }
}
