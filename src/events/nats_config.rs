//! [`NatsConfig`]: which NATS servers, and how to log in. Holds secrets: `Debug` and `Display` show addresses only.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::error::{Error, Result};

/// Which NATS servers, and how to log in.
#[derive(Clone)]
pub struct NatsConfig {
    /// Without user information, so that no log of the client library can show it.
    servers: Vec<Url>,
    user: Option<(String, SecretString)>,
    token: Option<SecretString>,
    seed: Option<SecretString>,
}

impl NatsConfig {
    /// Reads what `NATS_URL` holds: one address or several with commas, `nats://` (also when no scheme is written) or
    /// `tls://`, with `user:password@` or `token@` where the server asks for it. The first address that has a login
    /// gives it for all. `seed` is an NKey seed.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when an address cannot be read. The message shows no login.
    pub fn new(addresses: &str, seed: Option<SecretString>) -> Result<Self> {
        let mut config = Self { servers: Vec::new(), user: None, token: None, seed };
        for address in addresses.split(',').map(str::trim) {
            let mut url = parse(address)?;
            if config.user.is_none() && config.token.is_none() && !url.username().is_empty() {
                let name = percent_decoded(url.username());
                match url.password() {
                    Some(password) => config.user = Some((name, percent_decoded(password).into())),
                    None => config.token = Some(name.into()),
                }
            }
            // Both can only fail for addresses without a host, which `parse` refuses.
            let _ = (url.set_username(""), url.set_password(None));
            config.servers.push(url);
        }
        Ok(config)
    }

    /// The addresses, without logins.
    pub(super) fn servers(&self) -> &[Url] {
        &self.servers
    }

    /// Options that log in as configured.
    pub(super) fn login(&self) -> async_nats::ConnectOptions {
        let mut options = async_nats::ConnectOptions::new();
        if let Some((name, password)) = &self.user {
            options = options.user_and_password(name.clone(), password.expose_secret().to_owned());
        }
        if let Some(token) = &self.token {
            options = options.token(token.expose_secret().to_owned());
        }
        if let Some(seed) = &self.seed {
            options = options.nkey(seed.expose_secret().trim().to_owned());
        }
        options
    }
}

impl fmt::Display for NatsConfig {
    /// The addresses without logins: `nats://host:4222`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, server) in self.servers.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{}", server.as_str().trim_end_matches('/'))?;
        }
        Ok(())
    }
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsConfig({self})")
    }
}

/// Reads one address. What it says of a bad one never quotes it: it may hold a password.
fn parse(address: &str) -> Result<Url> {
    let refuse = |why: &str| {
        Error::usage(format!("the NATS address is not usable: {why}"))
            .hint("write it as `nats://host:4222` or `tls://host:4222`, several with commas between them")
    };
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("nats://{address}") };
    let url = Url::parse(&with_scheme).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "nats" | "tls") {
        return Err(refuse(&format!("the scheme `{}` is not known", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("it names no host"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("something follows the host and port"));
    }
    Ok(url)
}

/// Undoes percent encoding; a `%` that starts no code stays.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(addresses: &str) -> NatsConfig {
        NatsConfig::new(addresses, None).unwrap()
    }

    #[test]
    fn addresses_are_read_as_nats_writes_them() {
        assert_eq!(config("localhost").to_string(), "nats://localhost");
        assert_eq!(config("nats://a:4222, tls://b").to_string(), "nats://a:4222,tls://b");
        assert_eq!(config("nats://[::1]:4222/").to_string(), "nats://[::1]:4222");
        for bad in ["", "nats://", "http://host", "nats://host/path", "nats://host?x", "a,,b", "nats://host:port"] {
            assert!(NatsConfig::new(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn logins_are_taken_out_of_the_address() {
        let user = config("nats://ann:p%40ss%2f@host:4222,nats://other");
        let (name, password) = user.user.as_ref().unwrap();
        assert_eq!((name.as_str(), password.expose_secret()), ("ann", "p@ss/"));
        let token = config("nats://s3cret@host");
        assert_eq!(token.token.as_ref().unwrap().expose_secret(), "s3cret");
        assert!(token.user.is_none());
    }

    #[test]
    fn no_text_shows_a_login() {
        let config = NatsConfig::new("nats://ann:hidden@host:4222", Some("SUAHIDDEN".to_owned().into())).unwrap();
        for text in [format!("{config}"), format!("{config:?}"), format!("{:?}", config.login())] {
            assert!(!text.to_lowercase().contains("hidden"), "{text}");
        }
        for bad in ["nats://ann:hidden@host:bad", "nats://ann:hidden@", "http://ann:hidden@host", "ann:hidden@host/x"] {
            let error = NatsConfig::new(bad, None).unwrap_err();
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn any_address_is_read_or_refused(text in ".{0,60}") {
            let _ = NatsConfig::new(&text, None);
        }
    }
}
