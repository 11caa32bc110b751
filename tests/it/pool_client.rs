//! The `'vm_pool` client: what it asks, what it makes of refusals and of lost replies, and what it leaves behind.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lian_build::error::{Error, ErrorKind};
use lian_build::ids::LeaseId;
use lian_build::lease::LeaseRequest;
use lian_build::provider::vm_pool::{Token, VmPoolConfig, VmPoolProvider};
use lian_build::provider::{ComputeProvider, Liveness, Released, RunnerStatus};
use lian_build::record::{HttpStore, StateStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::http_server::{answer, hang_up};
use crate::support::{FakePool, Sandbox, TOKEN, Trick, install_tls, json_answer, pool_config, refusal, request};

/// A client of a pool, with directories of its own.
struct Client {
    dir: TempDir,
    config: VmPoolConfig,
}

impl Client {
    fn of(pool: &FakePool) -> Self {
        install_tls();
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        Self { config: pool_config(&pool.url(), dir.path()), dir }
    }

    fn provider(&self) -> VmPoolProvider {
        VmPoolProvider::new(self.config.clone())
    }

    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("run/pool")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

fn a_request() -> LeaseRequest {
    request("test", 1.0, Timestamp::now())
}

async fn acquire(provider: &VmPoolProvider, request: &LeaseRequest) -> Result<(), Error> {
    provider.acquire(request, &|_: &str| (), &CancellationToken::new()).await.map(drop)
}

#[tokio::test]
async fn a_lease_is_asked_for_with_all_that_it_carries() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    let provider = client.provider();
    let endpoint = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap();
    let asked = pool.request(request.lease_id.as_str());
    assert_eq!(asked["labels"], serde_json::to_value(request.labels().to_map()).unwrap());
    for (field, value) in [
        ("workspace", json!("test")),
        ("provider", json!("docker_local")),
        ("runner_type", json!("test")),
        ("cpu", json!(1)),
        ("memory_gb", json!(1.0)),
        ("arch", json!(request.architecture)),
        ("ttl_s", json!(20 * 60)),
        ("max_ttl_s", json!(2 * 60 * 60)),
    ] {
        assert_eq!(asked[field], value, "{field}");
    }
    // The private half stays here, for its owner alone.
    let public = std::fs::read_to_string(endpoint.identity_file.with_extension("pub")).unwrap();
    assert_eq!(asked["ssh_public_key"], public.trim());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(endpoint.identity_file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.user.as_str()), ("127.0.0.1", 9, "root"));
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert_eq!(client.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reply_that_is_lost_after_it_was_carried_out_makes_no_second_runner() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    pool.trick("POST", Trick::ReplyLost, 1);
    pool.trick("POST", Trick::Instead(hang_up()), 1);
    pool.trick("POST", Trick::Instead(refusal(500, "internal", "oh no")), 1);
    pool.trick("POST", Trick::Instead(answer(502).body("<html>")), 1);
    let provider = client.provider();
    acquire(&provider, &request).await.unwrap();
    assert_eq!((pool.count("POST"), pool.leases()), (5, vec![request.lease_id.to_string()]));
    pool.trick("DELETE", Trick::ReplyLost, 1);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert_eq!((pool.leases().len(), client.left().len()), (0, 0));
}

#[tokio::test]
async fn who_is_told_to_slow_down_waits_as_long_as_was_said() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    pool.trick("POST", Trick::Instead(refusal(429, "quota", "too fast").header("retry-after", "1")), 1);
    let provider = client.provider();
    acquire(&provider, &request).await.unwrap();
    assert_eq!(pool.count("POST"), 2);
    provider.release(&request.lease_id).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_an_answer_with_its_reason() {
    for (status, code, kind) in [
        (503, "no_capacity", ErrorKind::NoCapacity),
        (429, "quota", ErrorKind::NoCapacity),
        (403, "over_policy", ErrorKind::OverPolicy),
        (400, "invalid", ErrorKind::Usage),
        (409, "key_reused", ErrorKind::Provider),
        (401, "unauthorized", ErrorKind::Credentials),
        (418, "brand_new", ErrorKind::Provider),
    ] {
        let pool = FakePool::start().await;
        let (client, request) = (Client::of(&pool), a_request());
        pool.trick("POST", Trick::Instead(refusal(status, code, "because of the moon")), 1);
        let provider = client.provider();
        let error = acquire(&provider, &request).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error}");
        assert!(error.message().contains("because of the moon"), "{error}");
        assert_eq!(pool.count("POST"), 1, "{code} is not asked again");
        assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
        assert_eq!(client.left(), Vec::<String>::new());
    }
    // The same, where the pool knows it only later.
    for (code, kind) in [(json!("no_capacity"), ErrorKind::NoCapacity), (Value::Null, ErrorKind::Provider)] {
        let failed = move |said: &mut Value| {
            said["state"] = json!("failed");
            said["code"] = code.clone();
            said["reason"] = json!("the cloud is full");
        };
        let pool = FakePool::with(failed).await;
        let (client, request) = (Client::of(&pool), a_request());
        let provider = client.provider();
        let error = acquire(&provider, &request).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains("the cloud is full"), "{error}");
        provider.release(&request.lease_id).await.unwrap();
        assert_eq!(pool.leases(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_runner_that_takes_its_time_is_waited_for_with_its_reason() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    let pending = json!({ "lease_id": request.lease_id, "state": "pending", "reason": "booting\u{1b}[2J" });
    let body = json!({ "success": true, "data": pending });
    pool.trick("POST", Trick::After(json_answer(200, &body)), 1);
    pool.trick("GET", Trick::Instead(json_answer(200, &body)), 2);
    pool.trick("GET", Trick::Instead(hang_up()), 1);
    let said = std::sync::Mutex::new(Vec::new());
    let watch = |what: &str| said.lock().unwrap().push(what.to_owned());
    let provider = client.provider();
    provider.acquire(&request, &watch, &CancellationToken::new()).await.unwrap();
    let said = said.into_inner().unwrap();
    assert!(said.iter().any(|what| what.contains("booting")), "{said:?}");
    assert!(said.iter().all(|what| !what.contains('\u{1b}')), "{said:?}");
    provider.release(&request.lease_id).await.unwrap();
}

#[tokio::test]
async fn what_is_only_said_to_be_released_is_not_believed() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    let provider = Arc::new(client.provider());
    acquire(&provider, &request).await.unwrap();
    pool.trick("DELETE", Trick::OnlySaid, 1);
    let (other, lease) = (Arc::clone(&provider), request.lease_id.clone());
    let releasing = tokio::spawn(async move { other.release(&lease).await });
    crate::support::wait_until_async("it was said", || pool.count("DELETE") == 1 && pool.count("GET") > 2).await;
    assert!(!releasing.is_finished(), "it is still there");
    pool.change(request.lease_id.as_str(), |said| said["state"] = json!("released"));
    assert_eq!(releasing.await.unwrap().unwrap(), Released::Destroyed);
}

#[tokio::test]
async fn only_the_pools_own_word_proves_that_a_runner_is_gone() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    let provider = client.provider();
    acquire(&provider, &request).await.unwrap();
    for instead in [answer(404).body("<html>not here"), json_answer(404, &json!({ "success": false })), answer(302)] {
        pool.trick("GET", Trick::Instead(instead), 1);
        let error = provider.release(&request.lease_id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed, "{error}");
        assert!(error.message().contains(request.lease_id.as_str()), "{error}");
    }
    // Nor that of another pool, or to another token, in another process.
    drop(provider);
    let elsewhere = FakePool::start().await;
    let other_pool = VmPoolConfig { address: elsewhere.url().parse().unwrap(), ..client.config.clone() };
    let other_token = VmPoolConfig { token: Some(Token::new("another-token").unwrap()), ..client.config.clone() };
    for config in [other_pool, other_token] {
        let error = VmPoolProvider::new(config).release(&request.lease_id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed, "{error}");
    }
    assert_eq!(pool.leases(), [request.lease_id.to_string()]);
    assert_eq!(client.provider().release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert_eq!(client.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lease_of_somebody_else_is_left() {
    let pool = FakePool::start().await;
    let client = Client::of(&pool);
    let (other, lease) = (LeaseId::new(), LeaseId::new());
    for labels in
        [json!({}), json!({ "team": "x" }), json!({ "lian-managed": "1" }), json!(a_request().labels().to_map())]
    {
        pool.plant(other.as_str(), labels);
        let error = client.provider().release(&other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed, "{error}");
        assert!(error.message().contains(other.as_str()), "{error}");
    }
    assert_eq!((pool.count("DELETE"), pool.leases().len()), (0, 1));
    assert_eq!(client.provider().release(&lease).await.unwrap(), Released::AlreadyGone);
}

#[tokio::test]
async fn the_list_shows_what_can_be_read_and_names_what_cannot() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    let provider = client.provider();
    acquire(&provider, &request).await.unwrap();
    for (name, change) in [
        ("\u{1b}[31mred", json!({})),
        ("lb-00000000000000000000000000000001", json!({ "lian-managed": "1" })),
        ("lb-00000000000000000000000000000002", json!(request.labels().to_map())),
    ] {
        pool.plant(name, change);
    }
    pool.change(request.lease_id.as_str(), |said| {
        said["cost"] = json!({ "amount": "0.0107", "currency": "EUR", "billed_hours": 1, "used_seconds": 60 });
        said["expires_at"] = json!("2031-01-01T00:00:00Z");
    });
    let listed = provider.list().await.unwrap();
    assert_eq!(listed.len(), 4);
    for found in &listed {
        if found.lease_id.as_ref() == Some(&request.lease_id) {
            assert_eq!(found.labels.as_ref().unwrap().lease_id, request.lease_id);
            assert_eq!((found.status, found.cost.as_ref().unwrap().billed_hours), (RunnerStatus::Running, 1));
            assert_eq!(found.renewed_until, Some("2031-01-01T00:00:00Z".parse().unwrap()));
        } else {
            assert!(found.labels.is_err(), "{found:?}");
            assert!(!found.name.contains('\u{1b}'), "{found:?}");
        }
    }
    provider.release(&request.lease_id).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_renewed_and_its_life_is_the_pools_word() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    let (provider, lease) = (client.provider(), request.lease_id.as_str());
    assert!(matches!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Dead(_)));
    acquire(&provider, &request).await.unwrap();
    pool.trick("RENEW", Trick::Instead(hang_up()), 1);
    provider.renew(&request.lease_id, Timestamp::now() + SignedDuration::from_mins(5)).await.unwrap();
    let renewed = std::sync::Mutex::new(Value::Null);
    pool.change(lease, |said| *renewed.lock().unwrap() = said["renewed_by"].clone());
    assert!((298..=301).contains(&renewed.into_inner().unwrap().as_u64().unwrap()));
    assert_eq!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
    for (state, reason) in [("failed", "it burnt"), ("released", "its time was over")] {
        pool.change(lease, |said| {
            said["state"] = json!(state);
            said["reason"] = json!(reason);
        });
        let Liveness::Dead(why) = provider.liveness(&request.lease_id).await.unwrap() else { panic!("it lives") };
        assert!(why.contains(reason), "{why}");
    }
    pool.trick("GET", Trick::Instead(hang_up()), 1);
    provider.liveness(&request.lease_id).await.unwrap_err();
    // One that is past its time cannot be renewed, and says why.
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    let error = provider.renew(&LeaseId::new(), Timestamp::now()).await.unwrap_err();
    assert!(error.message().contains("no such lease"), "{error}");
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept_with_its_lease() {
    let pool = FakePool::start().await;
    let client = Client::of(&pool);
    let requests = [a_request(), a_request()];
    let provider = client.provider();
    for request in &requests {
        acquire(&provider, request).await.unwrap();
    }
    // As if it had been killed: the locks are free, and nobody removes anything.
    drop(provider);
    let other = client.provider();
    other.tidy().await.unwrap();
    assert_eq!(client.left().len(), 4, "the pool has both");
    pool.change(requests[0].lease_id.as_str(), |said| said["state"] = json!("released"));
    other.tidy().await.unwrap();
    let left = client.left();
    assert!(left.iter().all(|name| name.starts_with(requests[1].lease_id.as_str())), "{left:?}");
    other.release(&requests[1].lease_id).await.unwrap();
    assert_eq!(client.left(), Vec::<String>::new());
}

#[tokio::test]
async fn a_check_says_what_is_wrong_before_anything_is_leased() {
    let pool = FakePool::start().await;
    let (client, request) = (Client::of(&pool), a_request());
    client.provider().check(&request).await.unwrap();
    let with = |token: Option<&str>| VmPoolConfig {
        token: token.map(|token| Token::new(token).unwrap()),
        ..client.config.clone()
    };
    for (token, what) in [(None, "wants a token"), (Some("wrong-token"), "does not take the token")] {
        let error = VmPoolProvider::new(with(token)).check(&request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials, "{error}");
        assert!(error.message().contains(what) && error.hints().concat().contains("ORCHESTRATOR_TOKEN"), "{error:?}");
    }
    let nobody = VmPoolConfig { address: "http://127.0.0.1:1".parse().unwrap(), ..client.config.clone() };
    let error = VmPoolProvider::new(nobody).check(&request).await.unwrap_err();
    assert!(error.message().contains("cannot be reached"), "{error}");
    assert_eq!((pool.count("POST"), client.left().len()), (0, 0));
}

/// A history of nine runs.
fn nine_runs() -> Value {
    json!({ "workspace": "shop", "cpu_p95": 2.4, "mem_p95": 5.1, "samples": 9, "approved": null })
}

#[tokio::test]
async fn the_pools_history_is_read_and_told_and_never_in_the_way() {
    let pool = FakePool::start().await;
    let client = Client::of(&pool);
    let store = HttpStore::new(&client.config);
    let workspace = "shop".parse().unwrap();
    assert_eq!(store.advice(&workspace, "linux/arm64").await.unwrap().samples, 0);
    pool.set_p95(nine_runs());
    let advice = store.advice(&workspace, "linux/arm64").await.unwrap();
    assert_eq!((advice.samples, advice.cpu_p95, advice.mem_p95), (9, Some(2.4), Some(5.1)));
    let asked = pool.seen().pop().unwrap().1;
    assert_eq!(asked, "/api/v1/p95?workspace=shop&platform=linux%2Farm64");
    assert!(store.advice(&"other".parse().unwrap(), "linux/arm64").await.is_err(), "it is another workspace's");
    for instead in [answer(500), hang_up(), answer(200).body("x")] {
        pool.trick("P95", Trick::Instead(instead), 1);
        assert_eq!(store.advice(&workspace, "linux/arm64").await.unwrap_err().kind(), ErrorKind::State);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_is_what_the_pools_history_says() {
    install_tls();
    let pool = FakePool::start().await;
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\n");
    let plan = |actor: &str| {
        let mut command = sandbox.command();
        command.arg("plan").arg(sandbox.context()).args(["--format=json", "--workspace=shop", "--actor", actor]);
        command.env("ORCHESTRATOR_URL", pool.url()).env("ORCHESTRATOR_TOKEN", TOKEN);
        tokio::task::block_in_place(|| sandbox.start(&mut command).wait())
    };
    pool.set_p95(nine_runs());
    let session = plan("human");
    let document: Value = serde_json::from_str(&session.assert_code(0).stdout).unwrap();
    let sizing = |document: &Value| document["plan"]["sizing"].clone();
    assert_eq!(sizing(&document)["source"], "p95", "{document}");
    assert_eq!(sizing(&document)["memory_gb"], 8.0, "{document}");
    // CI takes only what somebody approved.
    let unapproved: Value = serde_json::from_str(&plan("ci").assert_code(0).stdout).unwrap();
    assert_eq!(sizing(&unapproved)["source"], "language", "{unapproved}");
    let mut approved = nine_runs();
    approved["approved"] = json!({ "cpu": 8.0, "memory_gb": 16.0, "by": "ann", "at": "2026-11-29T10:00:00Z" });
    pool.set_p95(approved);
    let approved: Value = serde_json::from_str(&plan("ci").assert_code(0).stdout).unwrap();
    assert_eq!(sizing(&approved)["memory_gb"], 16.0, "{approved}");
    assert!(sizing(&approved)["reason"].as_str().unwrap().contains("ann"), "{approved}");
    // Without its history there is a plan all the same.
    pool.trick("P95", Trick::Instead(answer(500)), 1);
    let without: Value = serde_json::from_str(&plan("human").assert_code(0).stdout).unwrap();
    assert_eq!(sizing(&without)["source"], "language", "{without}");
    assert!(without["warnings"].to_string().contains("history"), "{without}");
    assert_eq!(pool.count("POST"), 0);
}
