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
    /// `tls://`, with `user:password@` or `token@` where the server asks for it. Of several addresses all have
    /// the same login, or none has: a login is used for the servers it was written for. `seed` is an NKey seed.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when an address cannot be read, or when the addresses have different logins. The
    /// message shows no login.
    pub fn new(addresses: &str, seed: Option<SecretString>) -> Result<Self> {
        let urls = addresses.split(',').map(|address| parse(address.trim())).collect::<Result<Vec<_>>>()?;
        let mut config = Self { servers: Vec::new(), user: None, token: None, seed };
        if let Some((first, others)) = urls.split_first() {
            if others.iter().any(|other| (other.username(), other.password()) != (first.username(), first.password())) {
                return Err(Error::usage("the NATS addresses do not all have the same login")
                    .hint("a login is used only for the servers it was written for: write it into each address"));
            }
            config.take_login(first);
        }
        for mut url in urls {
            // Both can only fail for addresses without a host, which `parse` refuses.
            let _ = (url.set_username(""), url.set_password(None));
            config.servers.push(url);
        }
        Ok(config)
    }

    fn take_login(&mut self, url: &Url) {
        let name = percent_decoded(url.username());
        match url.password() {
            Some(password) => self.user = Some((name, percent_decoded(password).into())),
            None if !name.is_empty() => self.token = Some(name.into()),
            None => {}
        }
    }

    /// The addresses, without logins.
    pub(super) fn servers(&self) -> &[Url] {
        &self.servers
    }

    /// True when `other` means the same servers, whatever the logins.
    pub fn has_servers_of(&self, other: &Self) -> bool {
        let of = |config: &Self| {
            let mut servers = config.addresses();
            servers.sort();
            servers
        };
        of(self) == of(other)
    }

    /// True when there is anything to log in with.
    pub fn has_login(&self) -> bool {
        self.user.is_some() || self.token.is_some() || self.seed.is_some()
    }

    /// The addresses, without logins and with their ports: `nats://host:4222`.
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(address).collect()
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

/// The port of an address that names none.
const PORT: u16 = 4222;

/// An address in one form. The scheme counts: a login for a server behind TLS is not sent without it.
fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_lowercase();
    format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(PORT))
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
        let user = config("nats://ann:p%40ss%2f@host:4222,nats://ann:p%40ss%2f@other");
        let (name, password) = user.user.as_ref().unwrap();
        assert_eq!((name.as_str(), password.expose_secret()), ("ann", "p@ss/"));
        let token = config("nats://s3cret@host");
        assert_eq!(token.token.as_ref().unwrap().expose_secret(), "s3cret");
        assert!(token.user.is_none());
    }

    #[test]
    fn a_login_is_not_used_for_an_address_that_does_not_have_it() {
        for mixed in [
            "nats://ann:hidden@host,nats://other",
            "nats://other,nats://ann:hidden@host",
            "nats://hidden@host,nats://other",
            "nats://ann:hidden@host,nats://ann:else@other",
        ] {
            let error = NatsConfig::new(mixed, None).unwrap_err();
            assert!(error.message().contains("same login") && !format!("{error:?}").contains("hidden"), "{error:?}");
        }
        assert!(config("nats://a,nats://b").user.is_none());
    }

    #[test]
    fn the_same_servers_are_known_in_every_form() {
        for (one, other, same) in [
            ("host", "nats://HOST:4222/", true),
            ("nats://ann:secret@host", "host", true),
            ("a,b", "b,a", true),
            ("nats://host", "tls://host", false),
            ("nats://host:4223", "nats://host", false),
            ("a", "a,b", false),
            ("host", "host.evil.example", false),
        ] {
            assert_eq!(config(one).has_servers_of(&config(other)), same, "{one} {other}");
        }
        assert!(config("token@host").has_login() && !config("host").has_login());
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
