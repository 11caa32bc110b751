//! [`Client`]: the two questions we ask a registry ourselves: may we push here, and what was pushed.
//!
//! It uses the login of the registry's own host and no other (see [`super::DockerConfig`]); redirects to another host
//! lose it. Plain HTTP is spoken where BuildKit speaks it: to registries on this machine, and to hosts that the user
//! listed as insecure. Nothing falls back from HTTPS to HTTP.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use url::Url;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::registry::challenge::Challenge;
use crate::registry::failure::{Failure, read_bounded, words};
use crate::registry::reference::{DEFAULT_TAG, DOCKER_HUB, DOCKER_HUB_API, is_digest, is_loopback_host};
use crate::registry::{Credential, DockerConfig, Reference, token};

/// The distribution specification asks registries to take manifests of 4 MiB at least; twice that is read.
const MAX_MANIFEST_BYTES: usize = 8 << 20;
const MAX_REDIRECTS: usize = 5;
const DIGEST_HEADER: &str = "Docker-Content-Digest";
/// Without these a registry may convert a manifest to an old form, whose digest is another one.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// How registries are talked to.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Hosts (`host[:port]`) that plain HTTP is spoken to although they are not on this machine.
    pub insecure: Vec<String>,
    /// The longest time one request may take, its answer included.
    pub request_timeout: Duration,
    /// How often a request that failed for a passing reason is sent again.
    pub retries: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { insecure: Vec::new(), request_timeout: Duration::from_secs(20), retries: 3 }
    }
}

/// A registry client that uses each login for its own host only.
#[derive(Debug)]
pub struct Client {
    options: ClientOptions,
    config: Arc<DockerConfig>,
    http: Http,
    /// For registries on this machine, which no proxy can reach.
    direct: Http,
}

/// HTTP clients, each made when it is first needed: it reads every certificate that this machine trusts.
#[derive(Debug, Default)]
struct Http {
    registry: OnceCell<reqwest::Client>,
    /// Follows no redirect: a request for a token carries a login in its body or its headers.
    token: OnceCell<reqwest::Client>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Registry,
    Token,
}

/// One repository as it is talked to.
struct Target<'a> {
    client: &'a Client,
    http: &'a reqwest::Client,
    host: &'a str,
    repository: &'a str,
    base: Url,
    credential: Option<Arc<Credential>>,
    /// Where logins are looked for.
    place: String,
    /// `pull` or `pull,push`.
    actions: &'static str,
}

impl Client {
    /// A client with the logins of `config`. The process-wide TLS provider must be installed before it is used.
    pub fn new(options: ClientOptions, config: Arc<DockerConfig>) -> Self {
        Self { options, config, http: Http::default(), direct: Http::default() }
    }

    /// True when plain HTTP is spoken to `host`: what BuildKit must be told, too.
    pub fn is_plain_http(&self, host: &str) -> bool {
        is_loopback_host(host) || self.options.insecure.iter().any(|insecure| insecure == host)
    }

    /// Proves that a push to `reference` will be allowed, by opening an upload and cancelling it.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when the registry refuses us; [`ErrorKind::Usage`] when it has no such repository and
    /// makes none; [`ErrorKind::Network`] when it cannot be reached or does not take pushes.
    pub async fn check_push(&self, reference: &Reference) -> Result<()> {
        let target = self.target(reference, "pull,push").await?;
        self.retry(|| target.open_upload()).await
    }

    /// The digest of the manifest that `reference` names, as the registry has it now: by its digest, else its tag, else
    /// `latest`.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] when it is not there or cannot be had; [`ErrorKind::Credentials`] when reading is refused.
    pub async fn manifest_digest(&self, reference: &Reference) -> Result<String> {
        let target = self.target(reference, "pull").await?;
        let name = reference.digest().or(reference.tag()).unwrap_or(DEFAULT_TAG);
        let digest = self.retry(|| target.manifest_digest(name)).await?;
        match reference.digest() {
            Some(asked) if asked != digest => Err(Error::new(
                ErrorKind::Network,
                format!("the registry `{}` answered with `{digest}` when asked for `{asked}`", target.host),
            )),
            _ => Ok(digest),
        }
    }

    async fn target<'a>(&'a self, reference: &'a Reference, actions: &'static str) -> Result<Target<'a>> {
        let host = reference.host();
        let scheme = if self.is_plain_http(host) { "http" } else { "https" };
        let address = if host == DOCKER_HUB { DOCKER_HUB_API } else { host };
        let base = Url::parse(&format!("{scheme}://{address}/v2/"))
            .context(ErrorKind::Usage, || format!("`{host}` is no registry's address"))?;
        Ok(Target {
            client: self,
            http: self.http(host, Purpose::Registry).await?,
            host,
            repository: reference.repository(),
            base,
            credential: self.config.credential(host).await?,
            place: self.config.place(),
            actions,
        })
    }

    async fn http(&self, host: &str, purpose: Purpose) -> Result<&reqwest::Client> {
        let direct = is_loopback_host(host);
        let http = if direct { &self.direct } else { &self.http };
        let (cell, redirects) = match purpose {
            Purpose::Registry => (&http.registry, reqwest::redirect::Policy::custom(follow)),
            Purpose::Token => (&http.token, reqwest::redirect::Policy::none()),
        };
        let build = || async {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("lian-build/", env!("CARGO_PKG_VERSION")))
                .timeout(self.options.request_timeout)
                .connect_timeout(self.options.request_timeout.min(Duration::from_secs(10)))
                .redirect(redirects);
            let builder = if direct { builder.no_proxy() } else { builder };
            builder.build().context(ErrorKind::Network, || "cannot set up TLS for registries".to_owned())
        };
        cell.get_or_try_init(build).await
    }

    async fn retry<T, F: Future<Output = Result<T, Failure>>>(&self, attempt: impl FnMut() -> F) -> Result<T> {
        let delays = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(4))
            .with_max_times(self.options.retries)
            .with_jitter();
        attempt
            .retry(delays)
            .when(Failure::is_passing)
            .notify(|failure, delay| tracing::debug!(?failure, ?delay, "ask the registry again"))
            .await
            .map_err(Failure::into_error)
    }
}

impl Target<'_> {
    async fn open_upload(&self) -> Result<(), Failure> {
        let doing = format!("for a push to `{}`", self.repository);
        let url = self.url("blobs/uploads/")?;
        let (response, authorization) =
            self.send(&doing, || self.http.request(Method::POST, url.clone()).header(CONTENT_LENGTH, 0)).await?;
        let status = response.status();
        if status.is_success() {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let upload = location.and_then(|location| response.url().join(location).ok());
            // An upload that is not cancelled is swept by the registry; its own address is the only place the header
            // goes to.
            if let Some(upload) = upload.filter(|upload| upload.origin() == url.origin()) {
                let mut request = self.http.delete(upload);
                if let Some(authorization) = authorization {
                    request = request.header(AUTHORIZATION, authorization);
                }
                let _ = request.send().await;
            }
            return Ok(());
        }
        let said = words(response).await;
        Err(match status {
            StatusCode::NOT_FOUND => Failure::Final(
                Error::usage(format!(
                    "the registry `{}` has no repository `{}` and makes none{said}",
                    self.host, self.repository
                ))
                .hint("create the repository (or its project) there first, or correct the name"),
            ),
            StatusCode::METHOD_NOT_ALLOWED => Failure::Final(Error::new(
                ErrorKind::Network,
                format!("the registry `{}` takes no pushes: it is read-only{said}", self.host),
            )),
            _ => Failure::status(self.host, self.is_plain_http(), &doing, status, &said),
        })
    }

    async fn manifest_digest(&self, name: &str) -> Result<String, Failure> {
        let doing = format!("for the manifest `{name}` of `{}`", self.repository);
        let url = self.url(&format!("manifests/{name}"))?;
        let request = |method: Method| self.http.request(method, url.clone()).header(ACCEPT, MANIFEST_TYPES);
        let (response, _) = self.send(&doing, || request(Method::HEAD)).await?;
        match response.status() {
            status if status.is_success() => {
                if let Some(digest) = digest_header(&response) {
                    return Ok(digest);
                }
            }
            // Some registries and proxies only know GET.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_REQUEST => {}
            status => return Err(self.unexpected(&doing, status, response).await),
        }
        let (response, _) = self.send(&doing, || request(Method::GET)).await?;
        if !response.status().is_success() {
            return Err(self.unexpected(&doing, response.status(), response).await);
        }
        let claimed = digest_header(&response);
        let body = read_bounded(response, MAX_MANIFEST_BYTES).await.map_err(|error| self.transport(error))?;
        let Some(body) = body else {
            return Err(Failure::Final(self.network(format!("sent more than {MAX_MANIFEST_BYTES} bytes {doing}"))));
        };
        let computed = sha256(&body);
        match claimed {
            Some(claimed) if claimed.starts_with("sha256:") && claimed != computed => Err(Failure::Final(
                self.network(format!("sent a manifest of digest `{computed}` and called it `{claimed}`")),
            )),
            _ => Ok(computed),
        }
    }

    /// Sends a request; when the registry asks who we are, once more with an answer. Gives the `Authorization` that was
    /// used in the end.
    async fn send(
        &self,
        doing: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<(Response, Option<reqwest::header::HeaderValue>), Failure> {
        let response = request().send().await.map_err(|error| self.transport(error))?;
        if response.status() == StatusCode::FORBIDDEN {
            return Err(self.refused(doing, response).await);
        }
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok((response, None));
        }
        let offers = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let Some(challenge) = Challenge::choose(offers) else { return Err(self.refused(doing, response).await) };
        // A redirect may have led elsewhere: whoever answers there has no say in where our login goes.
        if response.url().origin() != self.base.origin() {
            return Err(self.refused(doing, response).await);
        }
        let http = self.client.http(self.host, Purpose::Token).await.map_err(Failure::Final)?;
        let answer = self.token_request().authorization(http, &challenge).await.map_err(|f| self.advise(f))?;
        let Some(authorization) = answer else {
            return Err(self.refused(doing, response).await);
        };
        let response = request()
            .header(AUTHORIZATION, authorization.clone())
            .send()
            .await
            .map_err(|error| self.transport(error))?;
        if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(self.refused(doing, response).await);
        }
        Ok((response, Some(authorization)))
    }

    fn token_request(&self) -> token::Request<'_> {
        token::Request {
            host: self.host,
            base: &self.base,
            credential: self.credential.as_deref(),
            place: &self.place,
            scope: format!("repository:{}:{}", self.repository, self.actions),
        }
    }

    async fn refused(&self, doing: &str, response: Response) -> Failure {
        let status = response.status().as_u16();
        let said = words(response).await;
        let error = self.token_request().refused(&format!("it answered {status} when asked {doing}{said}"));
        self.advise(Failure::Final(error))
    }

    /// Adds what to do about a refused login.
    fn advise(&self, failure: Failure) -> Failure {
        let login = if self.host == DOCKER_HUB { String::new() } else { format!(" {}", self.host) };
        match failure {
            Failure::Final(error) if error.kind() == ErrorKind::Credentials => Failure::Final(
                error
                    .hint(format!("log in: `docker login{login}` (or set `DOCKER_CONFIG` to where that login is)"))
                    .hint(format!("the login needs the right to {} `{}`", self.right(), self.repository)),
            ),
            other => other,
        }
    }

    fn right(&self) -> &'static str {
        if self.actions == "pull" { "pull from" } else { "push to" }
    }

    async fn unexpected(&self, doing: &str, status: StatusCode, response: Response) -> Failure {
        let said = words(response).await;
        Failure::status(self.host, self.is_plain_http(), doing, status, &said)
    }

    fn url(&self, rest: &str) -> Result<Url, Failure> {
        self.base
            .join(&format!("{}/{rest}", self.repository))
            .map_err(|error| Failure::Final(self.network(format!("has no address for `{rest}`")).because(error)))
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

/// Redirects are followed within bounds, never from HTTPS to plain HTTP. `reqwest` drops `Authorization` on the way to
/// another host.
fn follow(attempt: reqwest::redirect::Attempt) -> reqwest::redirect::Action {
    let downgrade = attempt.url().scheme() != "https" && attempt.previous().iter().any(|url| url.scheme() == "https");
    if downgrade {
        attempt.error("a redirect from HTTPS to plain HTTP")
    } else if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}

/// A registry's word on a digest, when it has the form of one.
fn digest_header(response: &Response) -> Option<String> {
    let value = response.headers().get(DIGEST_HEADER)?.to_str().ok()?;
    is_digest(value).then(|| value.to_owned())
}

fn sha256(bytes: &[u8]) -> String {
    let hex: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}
