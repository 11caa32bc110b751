//! The `ssh_config` and `known_hosts` that are generated for one lease.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::lease::Endpoint;

/// Seconds after which an idle master ends by itself: the bound on how long it outlives a killed parent.
const PERSIST_SECONDS: u32 = 60;

/// A connection that went dead without a word is noticed when this many questions, asked this far apart, had no answer:
/// after 20 s, for `ssh` gives up when the next one would be due. Shorter, and a runner under memory pressure would be
/// taken for a broken line.
const ALIVE_COUNT: u32 = 3;
const ALIVE_INTERVAL_SECONDS: u32 = 5;

/// The configuration file's text. `known_hosts` and `control` are this session's own files.
///
/// # Errors
/// [`ErrorKind::Provider`] when a value cannot stand in the file.
pub(super) fn render(endpoint: &Endpoint, known_hosts: &Path, control: &Path) -> Result<String> {
    let lines = [
        ("Host", endpoint.lease_id.to_string()),
        ("HostName", checked("host", &endpoint.host)?),
        ("Port", endpoint.port.to_string()),
        ("User", checked("user", &endpoint.user)?),
        ("IdentityFile", quoted_path(&endpoint.identity_file)?),
        ("IdentitiesOnly", "yes".to_owned()),
        ("IdentityAgent", "none".to_owned()),
        ("HostKeyAlias", endpoint.lease_id.to_string()),
        ("UserKnownHostsFile", quoted_path(known_hosts)?),
        ("GlobalKnownHostsFile", "/dev/null".to_owned()),
        ("StrictHostKeyChecking", "yes".to_owned()),
        ("UpdateHostKeys", "no".to_owned()),
        ("BatchMode", "yes".to_owned()),
        ("PreferredAuthentications", "publickey".to_owned()),
        ("ForwardAgent", "no".to_owned()),
        ("ForwardX11", "no".to_owned()),
        ("RequestTTY", "no".to_owned()),
        ("ConnectTimeout", "20".to_owned()),
        ("ServerAliveInterval", ALIVE_INTERVAL_SECONDS.to_string()),
        ("ServerAliveCountMax", ALIVE_COUNT.to_string()),
        ("TCPKeepAlive", "yes".to_owned()),
        ("LogLevel", "ERROR".to_owned()),
        ("ControlPath", quoted_path(control)?),
        ("ControlPersist", PERSIST_SECONDS.to_string()),
    ];
    let mut text = String::new();
    for (keyword, value) in lines {
        text.push_str(keyword);
        text.push(' ');
        text.push_str(&value);
        text.push('\n');
    }
    Ok(text)
}

/// The line that pins the host key.
///
/// # Errors
/// [`ErrorKind::Provider`] when it is not one key.
pub(super) fn known_hosts(endpoint: &Endpoint) -> Result<String> {
    let mut words = endpoint.host_key.split_whitespace();
    let (Some(kind), Some(key), false) = (words.next(), words.next(), endpoint.host_key.contains(['\n', '\r', '#']))
    else {
        return Err(Error::new(ErrorKind::Provider, "the provider gave no usable SSH host key"));
    };
    Ok(format!("{} {kind} {key}\n", endpoint.lease_id))
}

/// A host or user name: nothing that could be read as a second directive, an option or a pattern.
fn checked(what: &str, value: &str) -> Result<String> {
    let fits = !value.is_empty()
        && !value.starts_with('-')
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'));
    if fits {
        Ok(value.to_owned())
    } else {
        Err(Error::new(ErrorKind::Provider, format!("the provider gave `{value}` as the runner's {what}")))
    }
}

/// A path in quotes. `%` starts a token and `"` ends the quotes; neither can be written in every keyword.
fn quoted_path(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains(['"', '\n', '\r', '$', '\\']) => Ok(format!("\"{}\"", text.replace('%', "%%"))),
        _ => Err(Error::new(ErrorKind::State, format!("`ssh` cannot be given the path `{}`", path.to_string_lossy()))
            .hint("set XDG_CACHE_HOME to a directory with a plain name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_bring_a_directive() {
        assert!(checked("host", "127.0.0.1").is_ok());
        assert!(checked("host", "fe80::1").is_ok());
        for bad in ["", "-oProxyCommand=id", "a\nProxyCommand id", "a b", "*"] {
            assert!(checked("host", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_are_quoted_or_refused() {
        assert_eq!(quoted_path(Path::new("/a b/c")).unwrap(), "\"/a b/c\"");
        assert_eq!(quoted_path(Path::new("/a%h")).unwrap(), "\"/a%%h\"");
        assert!(quoted_path(Path::new("/a\"b")).is_err());
        assert!(quoted_path(Path::new("/a\nb")).is_err());
    }
}
