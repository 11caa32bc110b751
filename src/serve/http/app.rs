//! [`App`]: answers requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Request, StatusCode};

use super::body;
use super::reply::{self, Reply};
use super::route::Route;
use crate::clock::SharedClock;
use crate::pool_api::{Code, CreateLease, IDEMPOTENCY_KEY, PoolLease, PostMetrics, RenewLease};
use crate::record::StateStore;
use crate::serve::audit::{Audit, AuditLine};
use crate::serve::history;
use crate::serve::numbers::code_name;
use crate::serve::pool::{Created, Pool};
use crate::serve::refusal::Refusal;
use crate::serve::row::{LeaseRow, Stage};
use crate::serve::token::Token;
use crate::serve::tokens::Tokens;

/// How long who releases a lease waits until it is verified gone. The pool goes on with it after that.
const RELEASE_LIMIT: Duration = Duration::from_secs(120);

/// How long any other request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// Answers requests.
#[derive(Debug)]
pub(in super::super) struct App {
    pub(in super::super) pool: Arc<Pool>,
    pub(in super::super) tokens: Tokens,
    pub(in super::super) store: Arc<dyn StateStore>,
    pub(in super::super) audit: Audit,
    pub(in super::super) clock: SharedClock,
}

/// What a request was about, for the audit log.
#[derive(Debug, Default)]
struct About {
    token: Option<Arc<Token>>,
    lease_id: Option<String>,
    workspace: Option<String>,
    runner_type: Option<String>,
}

impl About {
    fn row(&mut self, row: &LeaseRow) {
        self.lease_id = Some(row.lease_id.to_string());
        self.workspace = Some(row.wanted.workspace.to_string());
        self.runner_type = Some(row.wanted.tier.name.clone());
    }
}

impl App {
    /// Answers a request. Whatever it is, there is an answer.
    pub(super) async fn answer(&self, request: Request<Incoming>, from: SocketAddr) -> Reply {
        let started = self.clock.monotonic();
        let (head, incoming) = request.into_parts();
        let path = head.uri.path();
        let route = match Route::of(&head.method, path) {
            Ok(route) => route,
            Err(refusal) => {
                self.pool.numbers.answered("other", refusal.status(), self.clock.monotonic() - started);
                return reply::refused(&refusal);
            }
        };
        let mut about = About::default();
        let work = self.carry_out(route, &head.headers, head.uri.query(), incoming, &mut about);
        let limit = if matches!(route, Route::Release(_)) { RELEASE_LIMIT * 2 } else { REQUEST_LIMIT };
        let answered = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            Err(Refusal::new(
                Code::Internal,
                "the pool did not answer in time; what was asked may be done all the same",
            ))
        });
        let outcome = answered.as_ref().map_or_else(|refusal| code_name(refusal.code), |_| "ok");
        let reply = answered.unwrap_or_else(|refusal| reply::refused(&refusal));
        let status = reply.status().as_u16();
        self.pool.numbers.answered(route.name(), status, self.clock.monotonic() - started);
        // Who is refused for the lack of a token is counted, and not written down: that would fill the disk for anybody.
        if route.is_audited() && about.token.is_some() {
            self.write_down(route, &about, status, outcome, from);
        }
        reply
    }

    async fn carry_out(
        &self,
        route: Route<'_>,
        headers: &HeaderMap,
        query: Option<&str>,
        incoming: Incoming,
        about: &mut About,
    ) -> Result<Reply, Refusal> {
        if route.is_open() {
            return Ok(match route {
                Route::Metrics => reply::text("text/plain; version=0.0.4", self.pool.numbers.text(&self.leases())),
                Route::OpenApi => reply::text("application/json", crate::pool_api::openapi().to_string()),
                _ => reply::done(StatusCode::OK, serde_json::json!({ "status": "ok" })),
            });
        }
        let token = self.token(headers).await?;
        about.token = Some(Arc::clone(&token));
        let lease = |row: &LeaseRow| -> PoolLease { row.answer(self.clock.now()) };
        match route {
            Route::Create => {
                let key = key(headers)?;
                let body: CreateLease = body::json(incoming).await?;
                let (row, created) = self.pool.create(&token, &key, body).await?;
                about.row(&row);
                let status = if created == Created::Now { StatusCode::CREATED } else { StatusCode::OK };
                Ok(reply::done(status, lease(&row)))
            }
            Route::List => {
                let leases: Vec<PoolLease> = self.pool.list(&token).iter().map(lease).collect();
                Ok(reply::done(StatusCode::OK, leases))
            }
            Route::Get(id) => Ok(reply::done(StatusCode::OK, lease(&self.pool.get(&token, id).await?))),
            Route::Renew(id) => {
                let body: RenewLease = body::json(incoming).await?;
                let row = self.pool.renew(&token, id, body.ttl_s).await?;
                about.row(&row);
                Ok(reply::done(StatusCode::OK, lease(&row)))
            }
            Route::Release(id) => {
                let row = self.pool.release(&token, id, RELEASE_LIMIT).await?;
                about.row(&row);
                // Gone is gone, however it came to that.
                let released = PoolLease { state: crate::pool_api::PoolState::Released, ..lease(&row) };
                Ok(reply::done(StatusCode::OK, released))
            }
            Route::P95 => match history::p95(self.store.as_ref(), &token, query.unwrap_or_default()).await? {
                Some(p95) => Ok(reply::done(StatusCode::OK, p95)),
                None => Ok(reply::nothing()),
            },
            Route::PostMetrics => {
                let body: PostMetrics = body::json(incoming).await?;
                about.workspace = Some(crate::sanitise::short(&body.workspace, 63));
                let accepted =
                    history::record(self.store.as_ref(), &token, &self.pool.tiers, body, self.clock.now()).await?;
                Ok(reply::done(StatusCode::OK, accepted))
            }
            Route::Health | Route::Metrics | Route::OpenApi => Err(Refusal::internal()),
        }
    }

    /// The token of a request: `Authorization: Bearer …`, once, and nothing else.
    async fn token(&self, headers: &HeaderMap) -> Result<Arc<Token>, Refusal> {
        let refused = || Refusal::new(Code::Unauthorized, "a token of this pool is needed: `Authorization: Bearer …`");
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else { return Err(refused()) };
        let value = value.to_str().map_err(|_| refused())?;
        let (scheme, text) = value.split_once(' ').ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        self.tokens.prove(text.trim(), self.clock.now()).await.ok_or_else(refused)
    }

    /// How many leases are held, by provider and stage.
    fn leases(&self) -> BTreeMap<(String, &'static str), u64> {
        let stages = ["pending", "ready", "ending"];
        let providers = self.pool.custodians.iter().map(|custodian| custodian.provider().name().to_owned());
        // A series that is not there is no zero.
        let mut leases: BTreeMap<_, _> =
            providers.flat_map(|provider| stages.map(|stage| ((provider.clone(), stage), 0))).collect();
        for slot in self.pool.held() {
            let (provider, stage) = slot.with(|row| (row.provider.clone(), row.stage));
            let stage = match stage {
                Stage::Pending => "pending",
                Stage::Ready => "ready",
                Stage::Ending | Stage::Ended => "ending",
            };
            *leases.entry((provider, stage)).or_default() += 1;
        }
        leases
    }

    fn write_down(&self, route: Route<'_>, about: &About, status: u16, outcome: &str, from: SocketAddr) {
        let asked = match route {
            Route::Get(id) | Route::Renew(id) | Route::Release(id) => Some(crate::sanitise::short(id, 64)),
            _ => None,
        };
        let token = about.token.as_deref();
        self.audit.add(&AuditLine {
            at: self.clock.now().to_string(),
            token_id: token.map(|token| token.id.as_str()),
            token: token.map(|token| token.name.as_str()),
            action: route.name(),
            lease_id: about.lease_id.as_deref().or(asked.as_deref()),
            workspace: about.workspace.as_deref(),
            runner_type: about.runner_type.as_deref(),
            status,
            outcome,
            from: from.ip().to_string(),
        });
    }
}

/// The key of a request to create.
fn key(headers: &HeaderMap) -> Result<String, Refusal> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => key.to_str().map(str::to_owned).map_err(|_| Refusal::invalid("the key is no plain text")),
        _ => Err(Refusal::invalid(format!("the header `{IDEMPOTENCY_KEY}` is needed, once"))),
    }
}
