//! [`Address`]: where the Docker daemon listens.

use std::path::PathBuf;

use crate::env_vars;
use crate::error::{Error, Result};

/// Why a daemon is not asked that no socket and no port of this machine leads to.
const ANOTHER_MACHINE: &str =
    "it is another machine, and this version asks only a daemon that a socket or a port of this one leads to";

/// Where the Docker daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket of this machine; what stands behind it may be a virtual machine.
    Unix(PathBuf),
    /// A port on this machine's loopback, `host:port`.
    Loopback(String),
}

impl Address {
    /// Reads what `DOCKER_HOST` says.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for a daemon of another machine (its containers publish their ports on that
    /// machine's loopback, where we cannot reach them) and for anything that is not an address.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            Error::usage(format!(
                "the provider `docker_local` cannot use the Docker daemon at `{}`: {why}",
                shown(text)
            ))
            .hint(format!("set {} to a socket of this machine, `unix:///var/run/docker.sock`", env_vars::DOCKER_HOST))
        };
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err(refused("the socket's path is not absolute"))
            };
        }
        let Some(rest) = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")) else {
            return Err(refused(if text.starts_with("ssh://") {
                ANOTHER_MACHINE
            } else {
                "only `unix://` and `tcp://` are known"
            }));
        };
        let address = rest.trim_end_matches('/');
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            Ok(Self::Loopback(address.to_owned()))
        } else {
            Err(refused(ANOTHER_MACHINE))
        }
    }
}

/// The address without a login that may stand in it.
pub(super) fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let whole = if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") };
    crate::sanitise::line(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn this_machines_daemon_is_taken_and_another_machines_is_refused() {
        assert_eq!(Address::parse("unix:///run/d.sock").unwrap(), Address::Unix("/run/d.sock".into()));
        for loopback in ["tcp://127.0.0.1:2375", "tcp://localhost:2375/", "http://[::1]:2375"] {
            assert!(matches!(Address::parse(loopback).unwrap(), Address::Loopback(_)), "{loopback}");
        }
        for other in ["tcp://10.0.0.7:2375", "tcp://ann:s3cret@build:2376", "ssh://ann@build", "unix://d.sock", "x", ""]
        {
            let error = Address::parse(other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{other}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
