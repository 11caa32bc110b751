//! [`ProxmoxConfig`]: which cluster, with which token, and what is made there from what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{ApiToken, Trust, VmidRange};
use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::directives::ProxmoxOptions;
use crate::provider::host::runtime_dir::runtime_dir;
use crate::sanitise;

/// The API's port, where the address names none.
const PORT: u16 = 8006;

/// Which cluster, with which token, and what is made there from what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxmoxConfig {
    /// `https://HOST:PORT/`.
    #[serde(with = "url_text")]
    pub endpoint: Url,
    /// The credential.
    pub token: ApiToken,
    /// By what the API's certificate is known.
    pub trust: Trust,
    /// The node that machines are made on; `None` for the template's.
    pub node: Option<String>,
    /// The template that is cloned: its id, or its name. Without one nothing can be leased.
    pub template: Option<String>,
    /// The resource pool that machines belong to.
    pub pool: Option<String>,
    /// The storage that machines' disks are copied to; `None` for clones that share the template's.
    pub storage: Option<String>,
    /// The ids that machines get.
    pub vmids: VmidRange,
    /// Where programs are looked for.
    pub program_dirs: Vec<PathBuf>,
    /// Private and short: keys and sockets of leases.
    pub runtime_dir: PathBuf,
}

impl ProxmoxConfig {
    /// The configuration of this user, where the operator's word counts more than that of the directives.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] without a token; [`ErrorKind::Usage`] for what is missing or cannot be used;
    /// [`ErrorKind::OverPolicy`] where directives ask for something else than the operator says.
    pub fn from_environment(environment: &Environment, options: &ProxmoxOptions) -> Result<Self> {
        let endpoint = environment.text(env_vars::PROXMOX_VE_ENDPOINT).ok_or_else(|| {
            Error::usage(format!(
                "the provider `proxmox` needs the address of a Proxmox VE API, and {} is not set",
                env_vars::PROXMOX_VE_ENDPOINT
            ))
            .hint("set it to `https://HOST:8006`; docs/proxmox.md has the whole set-up")
        })?;
        let token = environment.text(env_vars::PROXMOX_VE_API_TOKEN).ok_or_else(|| {
            Error::new(
                ErrorKind::Credentials,
                format!("the provider `proxmox` needs an API token, and {} is not set", env_vars::PROXMOX_VE_API_TOKEN),
            )
            .hint("`pveum user token add USER TOKENID` makes one; docs/proxmox.md says which privileges it needs")
        })?;
        let (node, pool) = (env_vars::PROXMOX_VE_NODE, env_vars::PROXMOX_VE_POOL);
        let template = chosen("template", options.template.as_deref(), env_vars::PROXMOX_VE_TEMPLATE, environment)?;
        let storage = environment.text(env_vars::PROXMOX_VE_STORAGE).map(str::to_owned);
        let config = Self {
            endpoint: parse_endpoint(endpoint)?,
            token: ApiToken::parse(token)?,
            trust: trust(environment)?,
            node: chosen("node", options.node.as_deref(), node, environment)?,
            template,
            pool: chosen("pool", options.pool.as_deref(), pool, environment)?,
            storage,
            vmids: environment.text(env_vars::PROXMOX_VE_VMID_RANGE).map_or(Ok(VmidRange::default()), str::parse)?,
            program_dirs: environment.program_dirs(),
            runtime_dir: runtime_dir(environment),
        };
        for name in [&config.node, &config.template, &config.pool, &config.storage].into_iter().flatten() {
            if !is_name(name) {
                return Err(Error::usage(format!("`{}` is no name that Proxmox VE knows", sanitise::short(name, 100))));
            }
        }
        Ok(config)
    }
}

/// An address as text.
mod url_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use url::Url;

    pub(super) fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the directives ask for, unless the operator says something. Directives come with the source: they may choose what
/// nobody else has chosen, within what the token may do, and nothing else.
fn chosen(what: &str, asked: Option<&str>, variable: &str, environment: &Environment) -> Result<Option<String>> {
    match (asked, environment.text(variable)) {
        (Some(asked), Some(own)) if asked != own => Err(Error::new(
            ErrorKind::OverPolicy,
            format!(
                "the directives ask for the {what} `{}` of Proxmox VE, and the operator's is `{}`",
                sanitise::line(asked),
                sanitise::line(own)
            ),
        )
        .hint(format!("leave `{what}` out of the directives, or say the same in {variable}"))),
        (asked, own) => Ok(own.or(asked).map(str::to_owned)),
    }
}

fn trust(environment: &Environment) -> Result<Trust> {
    let file = environment.path(env_vars::PROXMOX_VE_CA_FILE);
    match (file, environment.text(env_vars::PROXMOX_VE_FINGERPRINT)) {
        (Some(_), Some(_)) => Err(Error::usage(format!(
            "both {} and {} are set, and one of them is enough",
            env_vars::PROXMOX_VE_CA_FILE,
            env_vars::PROXMOX_VE_FINGERPRINT
        ))),
        (Some(file), None) => Trust::from_file(&file),
        (None, Some(fingerprint)) => Trust::from_fingerprint(fingerprint),
        (None, None) => Ok(Trust::System),
    }
}

fn parse_endpoint(text: &str) -> Result<Url> {
    // The address may hold a login, so it is not repeated.
    let refused = |why: &str| {
        Error::usage(format!("{} cannot be used: {why}", env_vars::PROXMOX_VE_ENDPOINT))
            .hint("write `https://HOST:8006`")
    };
    let mut url = Url::parse(text.trim()).map_err(|error| refused(&error.to_string()))?;
    if url.scheme() != "https" {
        return Err(refused("the API is only spoken to over HTTPS"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it has a login in it, and the API takes tokens"));
    }
    if !matches!(url.path().trim_end_matches('/'), "" | "/api2/json")
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(refused("there is something behind the port"));
    }
    url.set_path("/");
    // The default of the scheme, 443, is not shown by the parser: said aloud it is meant.
    if url.port().is_none() && !text.trim().trim_end_matches('/').trim_end_matches("/api2/json").ends_with(":443") {
        url.set_port(Some(PORT)).map_err(|()| refused("it has no host"))?;
    }
    Ok(url)
}

/// Names of nodes, templates, pools and storages, as far as they can be told from mistakes.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 100
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: [(&str, &str); 3] = [
        ("PROXMOX_VE_ENDPOINT", "https://pve.example"),
        ("PROXMOX_VE_API_TOKEN", "a@pve!b=s3cret"),
        ("PROXMOX_VE_TEMPLATE", "9000"),
    ];

    fn config(more: &[(&str, &str)], options: &ProxmoxOptions) -> Result<ProxmoxConfig> {
        let pairs = BASE.iter().chain(more).filter(|(_, value)| !value.is_empty());
        // A later one replaces.
        ProxmoxConfig::from_environment(&Environment::from_pairs(pairs.copied()), options)
    }

    #[test]
    fn three_variables_are_enough() {
        let config = config(&[], &ProxmoxOptions::default()).unwrap();
        assert_eq!(config.endpoint.as_str(), "https://pve.example:8006/");
        assert_eq!((config.template.as_deref(), config.trust), (Some("9000"), Trust::System));
        for (said, read) in [
            ("https://10.0.0.1:8443/", "https://10.0.0.1:8443/"),
            ("https://pve.example:443", "https://pve.example/"),
            ("https://pve.example/api2/json", "https://pve.example:8006/"),
            ("https://[fd00::1]", "https://[fd00::1]:8006/"),
        ] {
            assert_eq!(parse_endpoint(said).unwrap().as_str(), read, "{said}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_before_anything_is_asked() {
        for (name, value) in [
            ("PROXMOX_VE_ENDPOINT", "http://pve.example"),
            ("PROXMOX_VE_ENDPOINT", "https://ann:s3cret@pve.example"),
            ("PROXMOX_VE_ENDPOINT", "pve.example"),
            ("PROXMOX_VE_ENDPOINT", "https://pve.example/else"),
            ("PROXMOX_VE_API_TOKEN", "s3cret"),
            ("PROXMOX_VE_FINGERPRINT", "AB:CD"),
            ("PROXMOX_VE_CA_FILE", "/nowhere/ca.pem"),
            ("PROXMOX_VE_VMID_RANGE", "7"),
            ("PROXMOX_VE_TEMPLATE", "../x"),
            ("PROXMOX_VE_STORAGE", "a b"),
        ] {
            let error = config(&[(name, value)], &ProxmoxOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{name}={value}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        for (missing, kind) in
            [("PROXMOX_VE_ENDPOINT", ErrorKind::Usage), ("PROXMOX_VE_API_TOKEN", ErrorKind::Credentials)]
        {
            let pairs = BASE.iter().filter(|(name, _)| *name != missing).copied();
            let error = ProxmoxConfig::from_environment(&Environment::from_pairs(pairs), &ProxmoxOptions::default());
            let error = error.unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(error.message().contains(missing), "{error:?}");
        }
    }

    #[test]
    fn directives_choose_only_what_the_operator_has_not() {
        let asked = |node: Option<&str>, template: Option<&str>| ProxmoxOptions {
            node: node.map(str::to_owned),
            template: template.map(str::to_owned),
            ..ProxmoxOptions::default()
        };
        assert_eq!(config(&[], &asked(Some("pve2"), Some("9000"))).unwrap().node.as_deref(), Some("pve2"));
        let refused = config(&[], &asked(None, Some("secrets"))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OverPolicy);
        assert!(refused.message().contains("`secrets`") && refused.message().contains("`9000`"), "{refused}");
        let refused = config(&[("PROXMOX_VE_NODE", "pve1")], &asked(Some("pve2"), None)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OverPolicy);
    }
}
