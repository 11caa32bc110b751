//! The calls below `/_sim/`: what a test does in-process, for scripts. They need no token and are not logged.
//!
//! | call | does |
//! |---|---|
//! | `GET`, `POST`, `DELETE /_sim/faults` | shows, adds one ([`Fault`]'s JSON), takes all away and lets go |
//! | `POST /_sim/let_go` | lets all held calls go on |
//! | `GET`, `POST /_sim/clock` | shows; moves it: `{ "advance_s": 3600 }`, `{ "follow": false }` |
//! | `GET /_sim/audit` · `/_sim/mails` · `/_sim/bill` · `/_sim/servers` | every request · e-mails · what is owed · the servers |

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::audit::{Entry, Mail};
use crate::bill::Bill;
use crate::core::Core;
use crate::faults::Fault;
use crate::serve::Dialect;

#[derive(Clone)]
struct Admin {
    core: Core,
    dialect: Arc<dyn Dialect>,
}

/// The admin calls of a simulator.
pub fn router(core: Core, dialect: Arc<dyn Dialect>) -> Router {
    Router::new()
        .route("/_sim/faults", get(faults).post(script).delete(heal))
        .route("/_sim/let_go", post(let_go))
        .route("/_sim/clock", get(clock).post(move_clock))
        .route("/_sim/audit", get(audit))
        .route("/_sim/mails", get(mails))
        .route("/_sim/bill", get(bill))
        .route("/_sim/servers", get(servers))
        .with_state(Admin { core, dialect })
}

async fn faults(State(admin): State<Admin>) -> Json<Vec<Fault>> {
    Json(admin.core.faults.scripted())
}

async fn script(State(admin): State<Admin>, Json(fault): Json<Fault>) -> StatusCode {
    admin.core.faults.script(fault);
    StatusCode::NO_CONTENT
}

async fn heal(State(admin): State<Admin>) -> StatusCode {
    admin.core.faults.heal();
    StatusCode::NO_CONTENT
}

async fn let_go(State(admin): State<Admin>) -> StatusCode {
    admin.core.faults.let_go();
    StatusCode::NO_CONTENT
}

async fn clock(State(admin): State<Admin>) -> Json<Value> {
    let clock = &admin.core.clock;
    Json(json!({ "now": clock.now(), "follows": clock.follows() }))
}

/// How the clock is moved.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    #[serde(default)]
    advance_s: u64,
    follow: Option<bool>,
}

async fn move_clock(State(admin): State<Admin>, Json(wanted): Json<Move>) -> Json<Value> {
    let clock = &admin.core.clock;
    clock.advance(Duration::from_secs(wanted.advance_s));
    match wanted.follow {
        Some(true) => clock.follow(),
        Some(false) => clock.stand(),
        None => {}
    }
    Json(json!({ "now": clock.now(), "follows": clock.follows() }))
}

async fn audit(State(admin): State<Admin>) -> Json<Vec<Entry>> {
    Json(admin.core.audit.entries())
}

async fn mails(State(admin): State<Admin>) -> Json<Vec<Mail>> {
    Json(admin.core.audit.mails())
}

async fn bill(State(admin): State<Admin>) -> Json<Bill> {
    Json(admin.core.bill())
}

async fn servers(State(admin): State<Admin>) -> Json<Value> {
    Json(admin.dialect.servers())
}
