//! Turns a registry's challenge and our login into an `Authorization` header.
//!
//! Where a login may go: a password goes to the registry itself, over TLS, over loopback, or in plain HTTP when the user
//! listed that host as insecure. It goes to a token server only when [`realm_is_trustworthy`]: a registry reached over
//! TLS may name any HTTPS realm (Docker Hub's is on another host), one reached in plain HTTP only itself.

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::registry::challenge::Challenge;
use crate::registry::credentials::{Credential, Login, encode_basic};
use crate::registry::failure::{Failure, read_bounded, words};
use crate::registry::reference::is_loopback_host;
use crate::sanitise;

/// Tokens of a few KiB are usual.
const MAX_TOKEN_BYTES: usize = 1 << 20;
const CLIENT_ID: &str = "lian-build";

/// What a token is asked for.
pub(super) struct Request<'a> {
    /// The registry as the user named it.
    pub(super) host: &'a str,
    /// The registry's base address, as it was reached.
    pub(super) base: &'a Url,
    pub(super) credential: Option<&'a Credential>,
    /// Where logins are looked for.
    pub(super) place: &'a str,
    /// `repository:NAME:ACTIONS`.
    pub(super) scope: String,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Request<'_> {
    /// The header that answers `challenge`; `None` when nothing can be said without a login.
    /// `http` must not follow redirects: whoever they lead to would get the login.
    pub(super) async fn authorization(
        &self,
        http: &reqwest::Client,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>, Failure> {
        let login = self.credential.map(|credential| &credential.login);
        match (challenge, login) {
            (_, Some(Login::RegistryToken(token))) => self.header("Bearer", token.expose_secret()).map(Some),
            (Challenge::Basic, Some(Login::Basic { username, password })) => {
                self.header("Basic", &encode_basic(username, password)).map(Some)
            }
            (Challenge::Basic, Some(Login::IdentityToken(_))) => Err(Failure::Final(Error::new(
                ErrorKind::Credentials,
                format!("the registry `{}` asks for user and password, but the login is a token", self.host),
            ))),
            (Challenge::Basic, None) => Ok(None),
            (Challenge::Bearer { realm, service }, login) => {
                let token = self.fetch(http, realm, service.as_deref(), login).await?;
                self.header("Bearer", token.expose_secret()).map(Some)
            }
        }
    }

    async fn fetch(
        &self,
        http: &reqwest::Client,
        realm: &str,
        service: Option<&str>,
        login: Option<&Login>,
    ) -> Result<SecretString, Failure> {
        let mut realm =
            Url::parse(realm).ok().filter(|realm| realm_is_trustworthy(self.base, realm)).ok_or_else(|| {
                Failure::Final(self.network(format!(
                    "sends us to `{}` for a token: no login is sent there, because the way is not safe",
                    sanitise::line(realm)
                )))
            })?;
        let refresh = match login {
            Some(Login::IdentityToken(token)) => Some(token),
            _ => None,
        };
        let request = if let Some(token) = refresh {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("client_id", CLIENT_ID)
                .append_pair("service", service.unwrap_or_default())
                .append_pair("scope", &self.scope)
                .append_pair("refresh_token", token.expose_secret());
            http.post(realm).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
        } else {
            let mut query = realm.query_pairs_mut();
            query.append_pair("client_id", CLIENT_ID).append_pair("scope", &self.scope);
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            if let Some(Login::Basic { username, .. }) = login {
                query.append_pair("account", username);
            }
            drop(query);
            match login {
                Some(Login::Basic { username, password }) => {
                    http.get(realm).header(AUTHORIZATION, self.header("Basic", &encode_basic(username, password))?)
                }
                _ => http.get(realm),
            }
        };
        let response = request.send().await.map_err(|error| self.transport(error))?;
        self.read(response).await
    }

    async fn read(&self, response: reqwest::Response) -> Result<SecretString, Failure> {
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) {
            let said = words(response).await;
            return Err(Failure::Final(self.refused(&format!("its token server answered {}{said}", status.as_u16()))));
        }
        if !status.is_success() {
            let said = words(response).await;
            return Err(Failure::status(self.host, self.is_plain_http(), "for a token", status, &said));
        }
        let body = read_bounded(response, MAX_TOKEN_BYTES).await.map_err(|error| self.transport(error))?;
        let body = Zeroizing::new(body.unwrap_or_default());
        serde_json::from_slice::<Answer>(&body)
            .ok()
            .and_then(|answer| answer.token.or(answer.access_token))
            .filter(|token| !token.is_empty())
            .map(SecretString::from)
            .ok_or_else(|| Failure::Final(self.network("has a token server that answers without a token".to_owned())))
    }

    /// The error of a login that the registry does not accept, or that is missing.
    pub(super) fn refused(&self, why: &str) -> Error {
        let login = match self.credential {
            Some(Credential { login: Login::Basic { username, .. }, source }) => {
                format!("the login of `{}` from {source} was used", sanitise::line(username))
            }
            Some(Credential { source, .. }) => format!("the token from {source} was used"),
            None => format!("{} holds no login for it", self.place),
        };
        Error::new(ErrorKind::Credentials, format!("the registry `{}` does not accept us: {why} ({login})", self.host))
    }

    fn header(&self, scheme: &str, value: &str) -> Result<HeaderValue, Failure> {
        let text = Zeroizing::new(format!("{scheme} {value}"));
        let mut header = HeaderValue::from_str(&text).map_err(|_| {
            Failure::Final(self.network("was to be sent a login that does not fit a header".to_owned()))
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn network(&self, why: String) -> Error {
        Error::new(ErrorKind::Network, format!("the registry `{}` {why}", self.host))
    }

    fn transport(&self, error: reqwest::Error) -> Failure {
        Failure::transport(self.host, self.is_plain_http(), error)
    }

    fn is_plain_http(&self) -> bool {
        self.base.scheme() == "http"
    }
}

/// See the module's head. Whoever can change a plain-HTTP answer on its way could otherwise have the login sent to
/// themselves.
fn realm_is_trustworthy(registry: &Url, realm: &Url) -> bool {
    let is_local = |url: &Url| url.host_str().is_some_and(is_loopback_host);
    let plain_on_itself = registry.scheme() == "http" && realm.host_str() == registry.host_str();
    match realm.scheme() {
        "https" => registry.scheme() == "https" || is_local(registry) || plain_on_itself,
        "http" => (is_local(registry) && is_local(realm)) || plain_on_itself,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_goes_only_where_the_way_is_safe() {
        let trustworthy = |registry: &str, realm: &str| {
            realm_is_trustworthy(&Url::parse(registry).unwrap(), &Url::parse(realm).unwrap())
        };
        assert!(trustworthy("https://registry-1.docker.io/", "https://auth.docker.io/token"));
        assert!(trustworthy("http://127.0.0.1:5000/", "http://localhost:5001/token"));
        assert!(trustworthy("http://lan:5000/", "http://lan:5001/token"));
        assert!(!trustworthy("https://r.example.com/", "http://r.example.com/token"));
        assert!(!trustworthy("http://lan:5000/", "https://elsewhere.example.com/token"));
        assert!(!trustworthy("http://lan:5000/", "http://127.0.0.1/token"));
        assert!(!trustworthy("https://r.example.com/", "file:///etc/passwd"));
    }
}
