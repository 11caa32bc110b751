//! [`PoolClient`]: the requests of the vm-pool API.
//!
//! The token goes to the pool's own address and nowhere else: no redirect is followed, and a pool on this machine is spoken to
//! past any proxy. Answers are read up to a limit, within a time, and nothing of them is shown as it came.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::body::{is_json, read_bounded};
use super::failure::{Failure, Refused};
use super::{PoolAddress, Token};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::pool_api::{
    Accepted, Answer, CreateLease, IDEMPOTENCY_KEY, LEASES, METRICS_PATH, P95, P95_PATH, PoolLease, PostMetrics,
    RenewLease,
};
use crate::sanitise;

/// How long one request may take, its answer included.
const USUAL: Duration = Duration::from_secs(20);

/// The same of a deletion: a pool may answer only when the runner is gone.
const DELETION: Duration = Duration::from_secs(50);

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest answer about one lease, in bytes.
const ONE: usize = 256 << 10;

/// The longest list, in bytes.
const LIST: usize = 16 << 20;

/// The longest part of a pool's own words that is shown.
const SHOWN: usize = 300;

/// The pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Speaks to one pool, with one token.
#[derive(Debug)]
pub(crate) struct PoolClient {
    address: PoolAddress,
    token: Option<Token>,
    /// The address as messages name it.
    shown: String,
    /// Made when it is first needed: it reads every certificate that this machine trusts.
    http: OnceCell<reqwest::Client>,
}

/// One request.
struct Call<'a> {
    method: Method,
    path: String,
    query: &'a [(&'a str, &'a str)],
    /// What it is meant to do: `lease a runner`.
    doing: &'a str,
    key: Option<&'a LeaseId>,
    body: Option<Vec<u8>>,
    /// The longest answer, in bytes.
    most: usize,
    limit: Duration,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: impl Into<String>, doing: &'a str) -> Self {
        Self { method, path: path.into(), query: &[], doing, key: None, body: None, most: ONE, limit: USUAL }
    }

    fn body(self, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body).context(ErrorKind::Provider, || format!("cannot ask to {}", self.doing));
        Ok(Self { body: Some(body.map_err(Failure::Final)?), ..self })
    }
}

impl PoolClient {
    pub(super) fn new(address: PoolAddress, token: Option<Token>) -> Self {
        Self { shown: address.to_string(), address, token, http: OnceCell::new() }
    }

    /// The pool as messages name it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Something that the pool said, safe to show: bounded, without anything that drives a terminal, and without the token.
    pub(super) fn quote(&self, text: &str) -> String {
        let text = match &self.token {
            Some(token) => token.hide_in(text),
            None => text.to_owned(),
        };
        sanitise::short(&sanitise::line(&text), SHOWN)
    }

    /// Asks for a runner. The same request with the same key is the same runner.
    pub(super) async fn create(&self, key: &LeaseId, request: &CreateLease) -> Result<PoolLease, Failure> {
        let call = Call { key: Some(key), ..Call::new(Method::POST, LEASES, "lease a runner") };
        self.one(call.body(request)?).await
    }

    /// Where a lease stands, as `T` reads it.
    pub(super) async fn get<T: DeserializeOwned>(&self, lease: &LeaseId) -> Result<T, Failure> {
        self.one(Call::new(Method::GET, format!("{LEASES}/{lease}"), "say where a lease stands")).await
    }

    /// All leases of the token, each as it was written: one that cannot be read must not hide the others.
    pub(super) async fn list(&self, limit: Duration) -> Result<Vec<Value>, Failure> {
        let call = Call { most: LIST, limit, ..Call::new(Method::GET, LEASES, "list its leases") };
        Ok(self.call(call).await?.unwrap_or_default())
    }

    /// Moves the end of a lease.
    pub(super) async fn renew(&self, lease: &LeaseId, ttl_s: u64) -> Result<(), Failure> {
        let call = Call::new(Method::POST, format!("{LEASES}/{lease}/renew"), "renew a lease");
        self.call::<Value>(call.body(&RenewLease { ttl_s })?).await.map(drop)
    }

    /// Gives a lease back; true when the pool says that it is released by now.
    pub(super) async fn delete(&self, lease: &LeaseId) -> Result<bool, Failure> {
        let call = Call::new(Method::DELETE, format!("{LEASES}/{lease}"), "release a lease");
        let said = self.call::<Value>(Call { limit: DELETION, ..call }).await?;
        Ok(said.is_some_and(|said| said.get("state").and_then(Value::as_str) == Some("released")))
    }

    /// What past runs of a workspace say; `None` when the pool knows of none.
    pub(crate) async fn p95(&self, workspace: &str, platform: &str, limit: Duration) -> Result<Option<P95>, Failure> {
        let query = [("workspace", workspace), ("platform", platform)];
        let call = Call::new(Method::GET, P95_PATH, "say what past runs needed");
        self.call(Call { query: &query, limit, ..call }).await
    }

    /// Tells the pool's history of an attempt.
    pub(crate) async fn post_metrics(&self, metrics: &PostMetrics, limit: Duration) -> Result<(), Failure> {
        let call = Call { limit, ..Call::new(Method::POST, METRICS_PATH, "take the metrics of an attempt") };
        match self.one::<Accepted>(call.body(metrics)?).await? {
            Accepted { accepted: true } => Ok(()),
            Accepted { accepted: false } => {
                Err(Failure::Final(self.error(ErrorKind::Provider, "did not take the metrics of an attempt")))
            }
        }
    }

    /// Sends the same request again, after pauses, for as long as the failures may pass, and for `limit` at the most.
    pub(super) async fn persist<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        limit: Duration,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LAST_PAUSE)
            .without_max_times()
            .with_total_delay(Some(limit))
            .with_jitter();
        attempt
            .retry(pauses)
            .when(Failure::is_passing)
            .adjust(|failure: &Failure, pause| pause.map(|pause| failure.pause(pause)))
            .notify(|failure, pause| tracing::debug!(error = %failure.error(), ?pause, "ask the pool again"))
            .await
    }

    /// An error about the pool. `what` is safe to show.
    pub(super) fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("the pool `{}` {what}", self.shown))
    }

    async fn one<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Failure> {
        let doing = call.doing;
        let said = self.call(call).await?;
        said.ok_or_else(|| self.unreadable(doing, "there is no `data` in it"))
    }

    /// Sends a request once; yields its `data`.
    async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, Failure> {
        let (doing, most, creates) = (call.doing, call.most, call.key.is_some());
        let response = self.send(call).await?;
        let status = response.status();
        if status.is_redirection() {
            let message = format!("answered with a redirect (status {}) when asked to {doing}", status.as_u16());
            return Err(Failure::Final(self.error(ErrorKind::Provider, &message).hint(
                "no redirect is followed, for the token is for this address only: name where the pool really is",
            )));
        }
        let (json, after) = (is_json(&response), retry_after(&response));
        let refused = |code, said| {
            Failure::refused(Refused {
                pool: &self.shown,
                doing,
                status: status.as_u16(),
                code,
                said,
                after,
                with_token: self.token.is_some(),
                creates,
            })
        };
        if !json {
            if status.is_success() {
                return Err(self.unreadable(doing, "it is not JSON: is there a vm-pool?"));
            }
            // Whoever answers so is something in between, or no pool at all.
            return Err(refused(None, String::new()));
        }
        let body = read_bounded(response, most).await.map_err(|error| self.transport(error))?;
        let Some(body) = body else {
            return Err(self.unreadable(doing, &format!("it is longer than {most} bytes")));
        };
        let answer: Answer<Value> = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(error) if status.is_success() => return Err(self.unreadable(doing, &self.quote(&error.to_string()))),
            Err(_) => return Err(refused(None, String::new())),
        };
        if !status.is_success() || !answer.success {
            let said = answer.error.map(|text| self.quote(&text)).filter(|text| !text.is_empty());
            return Err(refused(answer.code, said.map(|text| format!(": {text}")).unwrap_or_default()));
        }
        match answer.data {
            None | Some(Value::Null) => Ok(None),
            Some(data) => serde_json::from_value(data)
                .map(Some)
                .map_err(|error| self.unreadable(doing, &self.quote(&error.to_string()))),
        }
    }

    async fn send(&self, call: Call<'_>) -> Result<Response, Failure> {
        let http = self.http().await.map_err(Failure::Final)?;
        let url = self.address.at(&call.path, call.query);
        let mut request = http.request(call.method, url).timeout(call.limit).header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header().map_err(Failure::Final)?);
        }
        if let Some(key) = call.key {
            request = request.header(IDEMPOTENCY_KEY, key.as_str());
        }
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        request.send().await.map_err(|error| self.transport(error))
    }

    async fn http(&self) -> Result<&reqwest::Client> {
        let build = || async {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("lian-build/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .redirect(reqwest::redirect::Policy::none());
            let builder = if self.address.is_loopback() { builder.no_proxy() } else { builder };
            builder.build().context(ErrorKind::Provider, || "cannot set up TLS for the pool".to_owned())
        };
        self.http.get_or_try_init(build).await
    }

    fn unreadable(&self, doing: &str, why: &str) -> Failure {
        let message = format!("gave an answer that cannot be used when asked to {doing}: {why}");
        Failure::Unreadable(self.error(ErrorKind::Provider, &message))
    }

    /// A request without an answer: whether it was carried out is not known.
    fn transport(&self, error: reqwest::Error) -> Failure {
        let what = if error.is_timeout() {
            "did not answer in time"
        } else if error.is_connect() {
            "cannot be reached"
        } else {
            "broke the connection"
        };
        // The address holds no login, and is in the message already.
        let error = self.error(ErrorKind::Provider, what).because(error.without_url());
        Failure::passing(error.hint(format!("is it running, and is {} right?", crate::env_vars::ORCHESTRATOR_URL)))
    }
}

/// In seconds; dates are not taken.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
