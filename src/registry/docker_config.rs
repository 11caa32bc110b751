//! [`DockerConfig`]: the logins of Docker's client configuration, looked up by the host they are for and nothing else.
//!
//! Order, as in the Docker command: `DOCKER_AUTH_CONFIG`, the helper of `credHelpers` for the host, the helper of
//! `credsStore`, the file's own `auths`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::credentials::{Credential, FileEntry, push_json_string};
use crate::registry::reference::DOCKER_HUB;
use crate::registry::{helper, reference};
use crate::sanitise;
use crate::secret_bytes::SecretBytes;

/// The name Docker Hub's login is kept under.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Larger is no configuration.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Docker's client configuration, as far as logins go.
#[derive(Debug, Default)]
pub struct DockerConfig {
    path: Option<PathBuf>,
    variable: File,
    file: File,
    environment: Environment,
    found: tokio::sync::Mutex<BTreeMap<String, Option<Arc<Credential>>>>,
}

/// What [`DockerConfig::minimal_config`] gives.
#[derive(Debug)]
pub struct MinimalConfig {
    /// The file's content; `None` when there is no login for any of the hosts.
    pub json: Option<SecretBytes>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The parts of `config.json` that concern logins; the rest is the Docker command's own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, FileEntry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: String,
}

impl DockerConfig {
    /// Reads `config.json` of `DOCKER_CONFIG`, or of `~/.docker`, and `DOCKER_AUTH_CONFIG`. What is not there means no
    /// logins.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when the configuration cannot be read or is not what Docker writes.
    pub fn load(environment: &Environment) -> Result<Self> {
        let path = environment
            .path(env_vars::DOCKER_CONFIG)
            .or_else(|| environment.home().map(|home| home.join(".docker")))
            .map(|directory| directory.join("config.json"));
        let file = match path.as_deref().map(read) {
            Some(Ok(text)) => parse(&text, &path_text(path.as_deref()))?,
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => File::default(),
            Some(Err(error)) => {
                let place = path_text(path.as_deref());
                return Err(Error::new(ErrorKind::Credentials, format!("cannot read {place}")).because(error));
            }
            None => File::default(),
        };
        let variable = match environment.text(env_vars::DOCKER_AUTH_CONFIG) {
            Some(text) => parse(text, &format!("the variable `{}`", env_vars::DOCKER_AUTH_CONFIG))?,
            None => File::default(),
        };
        Ok(Self { path, variable, file, environment: environment.clone(), found: tokio::sync::Mutex::default() })
    }

    /// Where logins are looked for, for errors.
    pub fn place(&self) -> String {
        path_text(self.path.as_deref())
    }

    /// The login for `host` (`host[:port]`, `docker.io` for Docker Hub); each host is asked for once.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] naming the helper that failed, or the entry that is broken.
    pub async fn credential(&self, host: &str) -> Result<Option<Arc<Credential>>> {
        let mut found = self.found.lock().await;
        if let Some(known) = found.get(host) {
            return Ok(known.clone());
        }
        let credential = self.look_up(host).await?.map(Arc::new);
        found.insert(host.to_owned(), credential.clone());
        Ok(credential)
    }

    /// A `config.json` that holds the logins for these hosts and nothing else: no other host's login leaves this machine.
    /// Hosts without a login are left out. What is only pulled from may be public: a login that cannot be had is a
    /// warning there.
    ///
    /// # Errors
    /// As [`DockerConfig::credential`], for the hosts that are pushed to.
    pub async fn minimal_config(&self, pushed: &[&str], pulled: &[&str]) -> Result<MinimalConfig> {
        let mut keys = BTreeMap::new();
        for host in pushed {
            if let Some(credential) = self.credential(host).await? {
                keys.insert(key(host), credential);
            }
        }
        let mut warnings = Vec::new();
        for host in pulled.iter().filter(|host| !pushed.contains(host)) {
            match self.credential(host).await {
                Ok(Some(credential)) => {
                    keys.insert(key(host), credential);
                }
                Ok(None) => {}
                Err(error) => warnings.push(format!("images of `{host}` are pulled without a login: {error}")),
            }
        }
        if keys.is_empty() {
            return Ok(MinimalConfig { json: None, warnings });
        }
        let mut text = Zeroizing::new(String::from("{\"auths\":{"));
        for (index, (key, credential)) in keys.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            push_json_string(&mut text, key);
            text.push(':');
            credential.login.write_entry(&mut text);
        }
        text.push_str("}}");
        Ok(MinimalConfig { json: Some(SecretBytes::from(text.as_bytes().to_vec())), warnings })
    }

    async fn look_up(&self, host: &str) -> Result<Option<Credential>> {
        let variable = format!("the variable `{}`", env_vars::DOCKER_AUTH_CONFIG);
        if let Some(credential) = from_entries(&self.variable.auths, host, &variable)? {
            return Ok(Some(credential));
        }
        let name = self.file.helpers.get(key(host)).or_else(|| self.file.helpers.get(host)).unwrap_or(&self.file.store);
        if !name.is_empty()
            && let Some(login) = helper::get(name, key(host), &self.place(), &self.environment).await?
        {
            return Ok(Some(Credential { login, source: format!("the credential helper `docker-credential-{name}`") }));
        }
        from_entries(&self.file.auths, host, &self.place())
    }
}

/// The name a host's login is kept under.
fn key(host: &str) -> &str {
    if is_docker_hub(host) { DOCKER_HUB_KEY } else { host }
}

fn is_docker_hub(host: &str) -> bool {
    matches!(host, DOCKER_HUB | "index.docker.io" | reference::DOCKER_HUB_API)
}

/// The entry whose key is the host, or a URL or path on that host as older Docker versions wrote.
fn from_entries(entries: &BTreeMap<String, FileEntry>, host: &str, place: &str) -> Result<Option<Credential>> {
    let entry = entries.get(key(host)).map(|entry| (key(host), entry)).or_else(|| {
        entries
            .iter()
            .find(|(key, _)| host_of(key) == host || (is_docker_hub(host) && is_docker_hub(host_of(key))))
            .map(|(key, entry)| (key.as_str(), entry))
    });
    let Some((key, entry)) = entry else { return Ok(None) };
    let login = entry.login().map_err(|_| {
        let key = sanitise::line(key);
        Error::new(ErrorKind::Credentials, format!("the login of `{key}` in {place} is not base64 of `user:password`"))
            .hint(format!("log in again: `docker login {host}`"))
    })?;
    Ok(login.map(|login| Credential { login, source: place.to_owned() }))
}

/// The host of an `auths` key, which may be a URL.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

fn read(path: &std::path::Path) -> std::io::Result<Zeroizing<String>> {
    use std::io::Read as _;
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)?.take(MAX_CONFIG_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The parser's own message is left out, because it may quote a secret.
fn parse(text: &str, place: &str) -> Result<File> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Error::new(
            ErrorKind::Credentials,
            format!(
                "{place} is not a Docker configuration: line {line}, column {column} is not what is expected there"
            ),
        )
    })
}

fn path_text(path: Option<&std::path::Path>) -> String {
    path.map_or_else(|| "Docker's configuration".to_owned(), |path| format!("`{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::registry::Login;

    fn config(json: &str) -> DockerConfig {
        DockerConfig { file: parse(json, "here").unwrap(), ..DockerConfig::default() }
    }

    async fn user(config: &DockerConfig, host: &str) -> Option<String> {
        match &config.credential(host).await.unwrap()?.login {
            Login::Basic { username, .. } => Some(username.clone()),
            other => panic!("{other:?}"),
        }
    }

    const TWO: &str = r#"{"auths":{
        "https://index.docker.io/v1/":{"username":"hub","password":"x"},
        "registry.example.com:5000":{"username":"mine","password":"y"},
        "https://old.example.com/v2/":{"username":"old","password":"z"}},
        "HttpHeaders":{"a":"b"}}"#;

    #[tokio::test]
    async fn a_login_is_found_for_its_own_host_only() {
        let config = config(TWO);
        assert_eq!(user(&config, "docker.io").await.as_deref(), Some("hub"));
        assert_eq!(user(&config, "registry.example.com:5000").await.as_deref(), Some("mine"));
        assert_eq!(user(&config, "old.example.com").await.as_deref(), Some("old"));
        for other in
            ["registry.example.com", "registry.example.com:5001", "example.com", "evil-registry.example.com:5000"]
        {
            assert_eq!(user(&config, other).await, None, "{other}");
        }
    }

    async fn minimal(json: &str, pushed: &[&str], pulled: &[&str]) -> Option<String> {
        let minimal = config(json).minimal_config(pushed, pulled).await.unwrap();
        assert_eq!(minimal.warnings, [""; 0]);
        minimal.json.map(|json| String::from_utf8(json.expose_secret().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_minimal_config_holds_only_the_hosts_named() {
        let text = minimal(TWO, &["registry.example.com:5000"], &["nowhere.example.com"]).await.unwrap();
        assert_eq!(text, r#"{"auths":{"registry.example.com:5000":{"auth":"bWluZTp5"}}}"#);
        let hub = minimal(TWO, &["docker.io"], &["docker.io"]).await.unwrap();
        assert_eq!(hub, r#"{"auths":{"https://index.docker.io/v1/":{"auth":"aHViOng="}}}"#);
        assert_eq!(minimal(TWO, &[], &["docker.io"]).await.unwrap(), hub);
    }

    #[tokio::test]
    async fn without_a_login_there_is_no_minimal_config() {
        assert_eq!(minimal(TWO, &[], &[]).await, None);
        assert_eq!(minimal(TWO, &["nowhere.example.com"], &["elsewhere.example.com"]).await, None);
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_a_warning_where_nothing_is_pushed() {
        let absent = config(
            r#"{"credHelpers":{"public.example.com":"absent"},
            "auths":{"mine.example.com":{"username":"u","password":"p"}}}"#,
        );
        let minimal = absent.minimal_config(&["mine.example.com"], &["public.example.com"]).await.unwrap();
        assert!(minimal.json.is_some());
        assert!(
            matches!(minimal.warnings.as_slice(), [one] if one.contains("docker-credential-absent")),
            "{minimal:?}"
        );
        let error = absent.minimal_config(&["public.example.com"], &["public.example.com"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
    }

    #[tokio::test]
    async fn the_variable_goes_before_the_file() {
        let mut config = config(TWO);
        config.variable = parse(r#"{"auths":{"docker.io":{"auth":"dmFyOng="}}}"#, "there").unwrap();
        assert_eq!(user(&config, "docker.io").await.as_deref(), Some("var"));
        assert_eq!(user(&config, "old.example.com").await.as_deref(), Some("old"));
    }

    #[test]
    fn a_broken_file_is_an_error_that_does_not_quote_it() {
        let error = parse(r#"{"auths":{"h":{"auth":["hunter2"]},"x":"hunter2"}}"#, "here").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn no_file_is_no_login_and_an_unreadable_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs([(env_vars::DOCKER_CONFIG, directory.path().as_os_str())]);
        assert!(DockerConfig::load(&environment).is_ok());
        std::fs::create_dir(directory.path().join("config.json")).unwrap();
        assert_eq!(DockerConfig::load(&environment).unwrap_err().kind(), ErrorKind::Credentials);
    }
}
