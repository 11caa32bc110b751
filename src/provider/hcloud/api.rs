//! [`Api`]: calls of the Hetzner Cloud API, over HTTPS with the project's token.
//!
//! What is only read, and what may be repeated, is sent again when it may succeed a moment later, with pauses that grow. What
//! makes something is sent once: who asked for it has to look first. The limit on requests (3600 an hour, one more each
//! second) is kept by waiting that second when nothing is left.

use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::config::{HcloudConfig, Pace};
use super::failure::Failure;
use super::wire::{Action, ErrorBody, Meta};
use crate::error::{Context as _, ErrorKind, Result};

/// How long one call may take, its answer included.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How often a call is sent in all.
const ATTEMPTS: usize = 6;

/// The longest answer that is read: fifty servers with everything that is said of their types.
const LONGEST_ANSWER: usize = 16 << 20;

/// The most entries that a page may have.
const PAGE: &str = "50";

/// The most pages of a list.
const PAGES: u64 = 10_000;

/// The most actions that one call asks for.
const ACTIONS: usize = 25;

/// In which one more request is allowed again.
const REFILL: Duration = Duration::from_secs(1);

/// What a call needs beside its path.
type Query<'a> = &'a [(&'a str, &'a str)];

/// Calls of the API with one project's token.
pub(super) struct Api {
    endpoint: String,
    token: SecretString,
    pace: Pace,
    http: OnceCell<reqwest::Client>,
    /// No call goes out before: the last answer said that none is left.
    not_before: std::sync::Mutex<Option<Instant>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Api {
    pub(super) fn new(config: &HcloudConfig) -> Self {
        Self {
            endpoint: config.endpoint.clone(),
            token: config.token.clone(),
            pace: config.pace,
            http: OnceCell::new(),
            not_before: std::sync::Mutex::default(),
        }
    }

    /// Pauses between two looks, without end.
    pub(super) fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.pace.first_pause)
            .with_max_delay(self.pace.longest_pause)
            .with_factor(1.5)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// Reads one thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: Query<'_>) -> Result<T, Failure> {
        self.repeat(Method::GET, path, query, None).await
    }

    /// All entries of a list, whatever the size of its pages.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        field: &str,
        query: Query<'_>,
    ) -> Result<Vec<T>, Failure> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            meta: Meta,
            #[serde(flatten)]
            rest: serde_json::Map<String, Value>,
        }
        let mut all = Vec::new();
        let mut page = 1;
        loop {
            let number = page.to_string();
            let query: Vec<(&str, &str)> =
                query.iter().copied().chain([("page", number.as_str()), ("per_page", PAGE)]).collect();
            let mut answer: Page = self.get(path, &query).await?;
            let entries = answer.rest.remove(field).unwrap_or_default();
            let entries: Vec<T> = serde_json::from_value(entries).map_err(|_| not_understood())?;
            all.extend(entries);
            match answer.meta.pagination.and_then(|pagination| pagination.next_page) {
                Some(next) if next > page && next < PAGES => page = next,
                _ => return Ok(all),
            }
        }
    }

    /// Replaces something: may be repeated.
    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.repeat(Method::PUT, path, &[], Some(body)).await
    }

    /// Takes something away: may be repeated.
    pub(super) async fn delete<T: DeserializeOwned + Default>(&self, path: &str) -> Result<T, Failure> {
        self.repeat(Method::DELETE, path, &[], None).await
    }

    /// Makes something, or begins to. Sent again only where the API says that nothing was done.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        let mut pauses = self.pauses();
        for _ in 1..ATTEMPTS {
            match self.send(Method::POST, path, &[], Some(body)).await {
                Err(failure) if failure.is_passing() => self.pause(pauses.next()).await,
                answer => return answer,
            }
        }
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Waits until all of these have ended.
    ///
    /// # Errors
    /// The first that ended badly, or that cannot be asked for any more.
    pub(super) async fn wait(&self, actions: impl IntoIterator<Item = Action>) -> Result<(), Failure> {
        let mut waiting: Vec<Action> = actions.into_iter().collect();
        let mut pauses = self.pauses();
        loop {
            if let Some(action) = waiting.iter().find(|action| action.status == "error") {
                let mut error = action.error.clone().unwrap_or_default();
                if error.code.is_empty() {
                    error.code = "action_failed".to_owned();
                }
                error.message = format!("{}: {}", action.command, error.message);
                return Err(Failure::refused(error, &self.token));
            }
            waiting.retain(|action| action.status != "success");
            if waiting.is_empty() {
                return Ok(());
            }
            self.pause(pauses.next()).await;
            let ids: Vec<String> = waiting.iter().map(|action| action.id.to_string()).collect();
            let mut now = Vec::with_capacity(ids.len());
            for some in ids.chunks(ACTIONS) {
                let query: Vec<(&str, &str)> = some.iter().map(|id| ("id", id.as_str())).collect();
                now.extend(self.list::<Action>("/actions", "actions", &query).await?);
            }
            // One that is not told of any more has ended, as far as anybody can say.
            waiting = now;
        }
    }

    pub(super) async fn pause(&self, pause: Option<Duration>) {
        tokio::time::sleep(pause.unwrap_or(self.pace.longest_pause)).await;
    }

    async fn repeat<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let mut pauses = self.pauses();
        for _ in 1..ATTEMPTS {
            match self.send(method.clone(), path, query, body).await {
                Err(failure) if failure.is_passing() || failure.is_unknown() => {
                    tracing::debug!(%failure, "asking again");
                    self.pause(pauses.next()).await;
                }
                answer => return answer,
            }
        }
        self.send(method, path, query, body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let held_back = *self.not_before.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(until) = held_back {
            tokio::time::sleep_until(until).await;
        }
        let http = self.http().await.map_err(|error| Failure::Lost(error.message()))?;
        let mut url = url::Url::parse(&format!("{}{path}", self.endpoint)).map_err(|_| not_understood())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = http.request(method, url).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| lost(&error))?;
        self.note_limit(&response);
        let status = response.status();
        let answer = read(response).await?;
        if status.is_success() {
            let answer = if answer.is_empty() { b"{}".as_slice() } else { answer.as_slice() };
            return serde_json::from_slice(answer).map_err(|_| not_understood());
        }
        Err(match serde_json::from_slice::<ErrorBody>(&answer) {
            Ok(body) if !body.error.code.is_empty() => Failure::refused(body.error, &self.token),
            // Something between us and the API answered.
            _ => unexplained(status),
        })
    }

    /// Takes up what an answer says of the limit on requests.
    fn note_limit(&self, response: &Response) {
        let left = response.headers().get("RateLimit-Remaining").and_then(|value| value.to_str().ok()?.parse().ok());
        let is_used_up = left == Some(0_u64) || response.status() == StatusCode::TOO_MANY_REQUESTS;
        *self.not_before.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            is_used_up.then(|| Instant::now() + REFILL.min(self.pace.longest_pause));
    }

    /// Made when it is first needed: it reads every certificate that this machine trusts.
    async fn http(&self) -> Result<&reqwest::Client> {
        let build = || async {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("lian-build/", env!("CARGO_PKG_VERSION")))
                .timeout(CALL_LIMIT)
                .connect_timeout(Duration::from_secs(10))
                // The token goes to one address only.
                .redirect(reqwest::redirect::Policy::none());
            let builder = if self.endpoint.starts_with("http://") { builder.no_proxy() } else { builder };
            builder.build().context(ErrorKind::Network, || "cannot set up TLS for Hetzner Cloud".to_owned())
        };
        self.http.get_or_try_init(build).await
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Failure::Lost("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The chain of causes, without the address.
fn lost(error: &reqwest::Error) -> Failure {
    let mut why = if error.is_timeout() { "no answer came in time".to_owned() } else { "no answer came".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        why = format!("{why}: {source}");
        cause = source.source();
    }
    Failure::Lost(crate::sanitise::short(&why, 200))
}

fn unexplained(status: StatusCode) -> Failure {
    Failure::Lost(format!("the answer was HTTP {} without a word of the API's", status.as_u16()))
}

fn not_understood() -> Failure {
    Failure::Lost("its answer was not understood".to_owned())
}
