//! [`Client`]: the API, as far as it is needed: <https://pve.proxmox.com/pve-docs/api-viewer/>. Form-encoded bodies of a known
//! length, for the server takes no chunks.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, redirect};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::{Url, form_urlencoded};

use super::failure::{CERTIFICATE, Failure};
use super::{ApiToken, Trust};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// How long a connection, and an answer, may take. A refused token is answered after three seconds, an agent that does not
/// answer after several.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// No answer that we need is larger.
const MAX_ANSWER: usize = 8 << 20;

/// How often a question is asked again whose answer did not come.
const RETRIES: usize = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Parameters of a call.
pub(super) type Form<'a> = &'a [(&'a str, &'a str)];

/// The API of one cluster, with one token.
#[derive(Debug)]
pub(super) struct Client {
    base: Url,
    token: ApiToken,
    trust: Trust,
    http: OnceCell<reqwest::Client>,
}

impl Client {
    /// Asks nothing yet. `base` is `https://HOST:PORT/`.
    pub(super) fn new(base: Url, token: ApiToken, trust: Trust) -> Self {
        Self { base, token, trust, http: OnceCell::new() }
    }

    /// Which API it is, and as whom: nothing secret.
    pub(super) fn fingerprint(&self) -> String {
        format!("{} as {}", self.base, self.token.id())
    }

    /// Asks, and again where no answer came: that changes nothing.
    pub(super) async fn get(&self, path: &[&str], query: Form<'_>) -> Result<Value, Failure> {
        let pauses = ExponentialBuilder::new().with_min_delay(RETRY_PAUSE).with_max_times(RETRIES).with_jitter();
        (|| self.send(Method::GET, path, query, None)).retry(pauses).when(Failure::is_passing).await
    }

    /// Asks once.
    pub(super) async fn get_once(&self, path: &[&str], query: Form<'_>) -> Result<Value, Failure> {
        self.send(Method::GET, path, query, None).await
    }

    /// Changes something, once.
    pub(super) async fn post(&self, path: &[&str], form: Form<'_>) -> Result<Value, Failure> {
        self.send(Method::POST, path, &[], Some(form)).await
    }

    /// Changes something, once.
    pub(super) async fn put(&self, path: &[&str], form: Form<'_>) -> Result<Value, Failure> {
        self.send(Method::PUT, path, &[], Some(form)).await
    }

    /// Takes something away. It has no body: what it is told stands in the query.
    pub(super) async fn delete(&self, path: &[&str], query: Form<'_>) -> Result<Value, Failure> {
        self.send(Method::DELETE, path, query, None).await
    }

    async fn http(&self) -> Result<&reqwest::Client> {
        self.http.get_or_try_init(|| async { self.connect() }).await
    }

    fn connect(&self) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .http1_only()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT);
        if self.base.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        if let Some(config) = self.trust.client_config()? {
            builder = builder.tls_backend_preconfigured(config);
        }
        builder.build().context(ErrorKind::Provider, || "no HTTPS client can be made".to_owned())
    }

    fn url(&self, path: &[&str], query: Form<'_>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // What stands in a segment cannot leave it.
            segments.pop_if_empty().extend(["api2", "json"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: Form<'_>,
        form: Option<Form<'_>>,
    ) -> Result<Value, Failure> {
        let fault = |error: Error| Failure::NotSent(error.message());
        let http = self.http().await.map_err(fault)?;
        let mut header = HeaderValue::from_str(self.token.header().expose_secret())
            .map_err(|_| Failure::NotSent("the token is no header".to_owned()))?;
        header.set_sensitive(true);
        let changes = method != Method::GET;
        let mut request = http.request(method, self.url(path, query)).header(AUTHORIZATION, header);
        if let Some(form) = form {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(CONTENT_LENGTH, body.len())
                .body(body);
        }
        let mut response = request.send().await.map_err(|error| self.transport(error, changes))?;
        let status = response.status();
        let reason = match response.extensions().get::<hyper::ext::ReasonPhrase>() {
            Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
            None => status.canonical_reason().unwrap_or_default().to_owned(),
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error, changes))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Failure::Unknown(format!("its answer is longer than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(Failure::of_answer(status.as_u16(), &reason, &body, |text| self.token.redact(text)));
        }
        let mut answer: Value = serde_json::from_slice(&body).map_err(|_| {
            Failure::Unknown("its answer is no JSON: is this the address of a Proxmox VE API?".to_owned())
        })?;
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// A request that got no answer.
    fn transport(&self, error: reqwest::Error, changes: bool) -> Failure {
        let host = self.base.host_str().unwrap_or_default().to_owned();
        let is_connect = error.is_connect();
        let why = words(&error.without_url());
        let redacted = |words: String| crate::sanitise::short(&self.token.redact(&words), 600);
        if why.contains("ApplicationVerificationFailure") {
            let its = format!("the certificate of `{host}` does not have the fingerprint that is configured");
            return Failure::Refused { status: CERTIFICATE, words: redacted(format!("{its}; nothing was sent to it")) };
        }
        if why.contains("certificate") {
            let its = format!("the certificate of `{host}` is not trusted: {why}");
            return Failure::Refused { status: CERTIFICATE, words: redacted(format!("{its}; nothing was sent to it")) };
        }
        let words = redacted(format!("`{host}` gave no answer: {why}"));
        if is_connect || !changes { Failure::NotSent(words) } else { Failure::Unknown(words) }
    }
}

/// The error with all its causes.
fn words(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let part = cause.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_path_or_query_stays_there() {
        let token = ApiToken::parse("a@pve!b=c").unwrap();
        let client = Client::new("https://pve.example:8006/".parse().unwrap(), token, Trust::System);
        let url = client.url(&["nodes", "a/../b?c", "qemu", "7"], &[("purge", "1"), ("x", "a&b=c")]);
        assert_eq!(url.as_str(), "https://pve.example:8006/api2/json/nodes/a%2F..%2Fb%3Fc/qemu/7?purge=1&x=a%26b%3Dc");
        assert_eq!(client.fingerprint(), "https://pve.example:8006/ as a@pve!b");
        let upid = "UPID:pve:0001:0002:6630:qmclone:7:a@pve!b:";
        assert!(client.url(&["tasks", upid], &[]).path().contains("UPID:pve:"));
    }
}
