//! [`PoolAddress`]: where a pool is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::env_vars::ORCHESTRATOR_URL;
use crate::error::{Error, Result};

/// Where a pool is: `https`, or plain HTTP on this machine; without a login, a query or a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PoolAddress(Url);

impl PoolAddress {
    /// The address of what stands below it: `/api/v1/…`.
    pub(super) fn at(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// True when the pool is on this machine, which no proxy can reach.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for PoolAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for PoolAddress {
    type Err = Error;

    /// Nothing of what is refused is repeated: it may hold a login.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| Error::usage(format!("`{ORCHESTRATOR_URL}` is no address of a vm-pool: {why}"));
        let url = Url::parse(text.trim()).map_err(|error| refused(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("there is a login in it")
                .hint("a pool is told who asks by a token: leave the login out, and set ORCHESTRATOR_TOKEN"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it has a query or a fragment").hint("it ends with a host, a port or a path"));
        }
        if url.host().is_none() {
            return Err(refused("it names no host").hint("it looks like `https://pool.example`"));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err(refused("`http` would send the token, and what is built, in the clear")
                .hint("use `https`; plain `http` is for a pool on this machine only")),
            _ => Err(refused("it has to begin with `https://`")),
        }
    }
}

impl TryFrom<String> for PoolAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PoolAddress> for String {
    fn from(address: PoolAddress) -> Self {
        address.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_on_this_machine() {
        for (good, shown, leases) in [
            ("https://pool.example", "https://pool.example", "https://pool.example/api"),
            (" https://pool.example:8443/a/b/ ", "https://pool.example:8443/a/b", "https://pool.example:8443/a/b/api"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9", "http://127.0.0.1:9/api"),
            ("http://[::1]:9/", "http://[::1]:9", "http://[::1]:9/api"),
            ("http://localhost", "http://localhost", "http://localhost/api"),
        ] {
            let address: PoolAddress = good.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.at("/api", &[]).as_str(), leases);
            assert_eq!(address.is_loopback(), good.contains("http:"));
        }
        let address: PoolAddress = "https://pool.example".parse().unwrap();
        assert_eq!(address.at("/p", &[("w", "a&b"), ("x", "c/d")]).as_str(), "https://pool.example/p?w=a%26b&x=c%2Fd");
    }

    #[test]
    fn anything_else_is_refused_and_not_repeated() {
        for bad in [
            "http://pool.example",
            "http://127.0.0.1.example",
            "ftp://hidden.example",
            "https://ann:hidden@pool.example",
            "https://hidden@pool.example",
            "https://pool.example/?token=hidden",
            "https://pool.example/#hidden",
            "unix:/run/hidden.sock",
            "hidden",
            "",
        ] {
            let error = bad.parse::<PoolAddress>().unwrap_err();
            assert!(error.message().contains("ORCHESTRATOR_URL"), "{error}");
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
    }
}
