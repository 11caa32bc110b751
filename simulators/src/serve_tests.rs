//! The pipeline around an API, over real sockets.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::Extension;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::any;
use serde_json::json;

use super::*;
use crate::backend::NullBackend;
use crate::clock::Clock;
use crate::faults::Fault;

/// A cloud that says its errors in one line.
struct Plain;

impl Dialect for Plain {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, format!("{}: {}", refusal.code, refusal.message)).into_response()
    }

    fn subject(&self, call: &Call) -> Subject {
        Subject { location: call.json()["location"].as_str().map(str::to_owned), ..Subject::default() }
    }

    fn servers(&self) -> Value {
        json!(["one"])
    }
}

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An API that says how many effects struck, and the core beside it.
async fn plain(identity: Option<&Identity>) -> (Listening, Core) {
    let core = Core::new(Clock::standing(jiff::Timestamp::UNIX_EPOCH), Arc::new(NullBackend::default()));
    let api = Router::new().route("/do", any(|Extension(Struck(effects))| async move { effects.len().to_string() }));
    (serve(core.clone(), Arc::new(Plain), api, ANYWHERE, identity).await.unwrap(), core)
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn post(sim: &Listening, body: &str) -> Option<(u16, String)> {
    let request = client().post(format!("{}/do", sim.origin())).bearer_auth("a".repeat(64)).body(body.to_owned());
    let response = request.send().await.ok()?;
    Some((response.status().as_u16(), response.text().await.unwrap()))
}

#[tokio::test]
async fn faults_strike_in_the_clouds_own_words_and_everything_is_logged() {
    let (sim, core) = plain(None).await;
    core.faults.script(Fault::rate_limited().at("fsn1"));
    core.faults.script(Fault::reply_lost());
    assert_eq!(post(&sim, "{}").await.unwrap().0, 504);
    assert_eq!(post(&sim, r#"{"location":"nbg1"}"#).await.unwrap(), (200, "0".to_owned()));
    let (status, text) = post(&sim, r#"{"location":"fsn1"}"#).await.unwrap();
    assert_eq!(status, 429);
    assert!(text.contains(&format!("'{}'", "a".repeat(32))), "{text}");
    let statuses: Vec<u16> = core.audit.entries().iter().map(crate::audit::Entry::status).collect();
    assert_eq!(statuses, [504, 200, 429]);
    assert!(core.audit.received("nbg1") && !core.audit.received("hel1"));
}

#[tokio::test]
async fn a_dropped_connection_has_no_answer_and_a_held_one_waits() {
    let (sim, core) = plain(None).await;
    core.faults.script(Fault::dropped());
    core.faults.script(Fault::held_after().after(1));
    assert_eq!(post(&sim, "{}").await, None);
    assert_eq!(core.audit.entries().first().unwrap().answer, None);
    let (held, ()) = tokio::join!(post(&sim, "{}"), async {
        core.faults.wait_held(1).await;
        core.faults.let_go();
    });
    assert_eq!(held.unwrap(), (200, "1".to_owned()));
}

#[tokio::test]
async fn tls_is_an_identity_that_clients_can_trust_by_its_certificate() {
    let identity = Identity::self_signed(&[Ipv4Addr::LOCALHOST.into()]).unwrap();
    let (sim, _core) = plain(Some(&identity)).await;
    let url = format!("{}/do", sim.origin());
    assert!(url.starts_with("https://127.0.0.1:"));
    assert_eq!(identity.fingerprint.len(), 95);
    assert!(client().get(&url).send().await.is_err(), "nobody knows this certificate");
    let authority = reqwest::Certificate::from_pem(identity.certificate_pem.as_bytes()).unwrap();
    let trusting = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
    assert_eq!(trusting.get(&url).send().await.unwrap().text().await.unwrap(), "0");
}

#[tokio::test]
async fn scripts_do_the_same_over_http() {
    let (sim, core) = plain(None).await;
    let url = |path: &str| format!("{}/_sim/{path}", sim.origin());
    let fault = json!({ "effect": { "kind": "drop", "done": true }, "method": "POST", "path": "/do", "times": null });
    let added = client().post(url("faults")).json(&fault).send().await.unwrap();
    assert_eq!(added.status(), 204);
    assert_eq!(post(&sim, "{}").await, None);
    assert_eq!(client().delete(url("faults")).send().await.unwrap().status(), 204);
    assert_eq!(post(&sim, "{}").await.unwrap().0, 200);
    let moved = client().post(url("clock")).json(&json!({ "advance_s": 90 })).send().await.unwrap();
    assert_eq!(moved.json::<Value>().await.unwrap()["now"], "1970-01-01T00:01:30Z");
    assert_eq!(core.clock.now().as_second(), 90);
    let audit: Value = client().get(url("audit")).send().await.unwrap().json().await.unwrap();
    assert_eq!(audit.as_array().unwrap().len(), 2);
    let bill: Value = client().get(url("bill")).send().await.unwrap().json().await.unwrap();
    assert_eq!(bill["total"], "0.00");
    assert_eq!(client().get(url("servers")).send().await.unwrap().json::<Value>().await.unwrap(), json!(["one"]));
}
