//! `serve`: leases over HTTP, their limits and their ends, over runners in memory and a clock that the test moves.

use jiff::SignedDuration;
use lian_build::lease::Isolation;
use lian_build::serve::TokenScope;
use serde_json::json;

use crate::support::memory_pool::{PoolServer, audit, everything, new_lease};
use crate::support::memory_provider::PUBLIC_KEY;
use crate::support::wait_until_async;

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

#[tokio::test]
async fn a_lease_lives_from_its_request_to_its_verified_release() {
    let mut pool = PoolServer::new();
    let token = pool.token("ci", everything());
    pool.start().await.unwrap();
    let client = pool.client(&token);
    let lease = new_lease();
    let (status, answer) = client.create(&lease, json!({ "labels": { "team": "blue" }, "brand_new": 1 })).await;
    assert_eq!(
        (status, &answer["success"], &answer["data"]["lease_id"]),
        (201, &json!(true), &json!(lease)),
        "{answer}"
    );
    let ready = client.wait_for(&lease, "ready").await["data"].clone();
    assert_eq!((&ready["host"], &ready["port"], &ready["user"]), (&json!("127.0.0.1"), &json!(22), &json!("root")));
    assert_eq!((&ready["host_key"], &ready["runner_type"]), (&json!(PUBLIC_KEY), &json!("small")));
    assert_eq!((&ready["provider"], &ready["labels"]["team"]), (&json!("memory"), &json!("blue")));
    assert_eq!((&ready["cost"]["amount"], &ready["cost"]["billed_hours"]), (&json!("0.01"), &json!(1)));
    // What is the pool's own is not handed out.
    assert_eq!(ready["endpoint"]["isolation"], "vm");
    assert!(!ready.to_string().contains("of-the-pool"), "{ready}");
    // The runner lets the caller in, and carries the pool's labels.
    let runner = pool.machines.runner(&lease).unwrap();
    assert_eq!(runner.authorized_keys, [PUBLIC_KEY]);
    assert_eq!(
        (runner.labels["lian-lease"].as_str(), runner.labels["lian-workspace"].as_str()),
        (lease.as_str(), "shop")
    );
    assert!(!runner.labels.contains_key("lian-holder"), "the pool's death must prove nothing");

    pool.clock.jump(seconds(300));
    let (status, renewed) = client.renew(&lease, 900).await;
    assert_eq!((status, &renewed["data"]["expires_at"]), (200, &json!("2027-01-15T08:20:00Z")), "{renewed}");
    let until = jiff::Timestamp::from_second(1_800_001_200).unwrap();
    let machines = std::sync::Arc::clone(&pool.machines);
    wait_until_async("the provider heard of it", || machines.runner(&lease).unwrap().renewed_until == Some(until))
        .await;
    assert_eq!(client.list().await, std::slice::from_ref(&lease));

    for _ in 0..2 {
        let (status, released) = client.release(&lease).await;
        assert_eq!((status, &released["data"]["state"]), (200, &json!("released")), "{released}");
        assert!(pool.machines.names().is_empty());
    }
    assert!(client.list().await.is_empty());
    let lines: Vec<String> = audit(&pool.state())
        .iter()
        .map(|line| format!("{} {} {}", line["token"], line["action"], line["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(lines, ["ci create ok", "ci renew ok", "ci release ok", "ci release ok"]);
    let log = std::fs::read_to_string(pool.state().join("audit.jsonl")).unwrap();
    assert!(!log.contains(&token) && !log.contains("AAAA"), "{log}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&pool.state().join("audit.jsonl").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    pool.stop().await;
}

#[tokio::test]
async fn a_client_that_dies_loses_its_lease_and_one_that_renews_keeps_it_until_the_hard_deadline() {
    let mut pool = PoolServer::new();
    let token = pool.token("ci", everything());
    pool.start().await.unwrap();
    let client = pool.client(&token);
    let (dead, alive) = (new_lease(), new_lease());
    for lease in [&dead, &alive] {
        client.create(lease, json!({ "ttl_s": 600, "max_ttl_s": 1000 })).await;
        client.wait_for(lease, "ready").await;
    }
    pool.clock.jump(seconds(500));
    let (_, renewed) = client.renew(&alive, 600).await;
    // Not beyond the hard deadline.
    assert_eq!(renewed["data"]["expires_at"], "2027-01-15T08:16:40Z");
    pool.clock.jump(seconds(100));
    let gone = client.wait_for(&dead, "released").await;
    assert_eq!(gone["data"]["reason"], "it was not renewed in time");
    assert_eq!(pool.machines.names(), std::slice::from_ref(&alive));
    let (status, refused) = client.renew(&dead, 600).await;
    assert_eq!((status, &refused["code"]), (404, &json!("unknown_lease")), "{refused}");
    pool.clock.jump(seconds(400));
    let gone = client.wait_for(&alive, "released").await;
    assert_eq!(gone["data"]["reason"], "its hard deadline has passed");
    assert!(pool.machines.names().is_empty());
    pool.stop().await;
}

#[tokio::test]
async fn leases_outlive_the_pool_and_what_ended_meanwhile_goes_at_once() {
    let mut pool = PoolServer::new();
    let token = pool.token("ci", everything());
    pool.start().await.unwrap();
    let client = pool.client(&token);
    let (short, long, released) = (new_lease(), new_lease(), new_lease());
    for (lease, ttl) in [(&short, 60), (&long, 3000), (&released, 3000)] {
        client.create(lease, json!({ "ttl_s": ttl })).await;
        client.wait_for(lease, "ready").await;
    }
    client.release(&released).await;
    pool.stop().await;
    assert_eq!(pool.machines.names().len(), 2, "they stay while nobody is there");
    pool.clock.jump(seconds(100));
    pool.start().await.unwrap();
    let client = pool.client(&token);
    assert_eq!(client.wait_for(&short, "released").await["data"]["state"], "released");
    let (_, kept) = client.get(&long).await;
    assert_eq!((&kept["data"]["state"], &kept["data"]["host"]), (&json!("ready"), &json!("127.0.0.1")), "{kept}");
    assert_eq!(client.get(&released).await.1["data"]["state"], "released");
    // The same request is the same lease, also for the next process.
    assert_eq!(client.create(&long, json!({ "ttl_s": 3000 })).await.0, 200);
    assert_eq!(client.renew(&long, 600).await.0, 200);
    assert_eq!(client.release(&long).await.0, 200);
    assert!(pool.machines.names().is_empty());
    assert_eq!(pool.machines.made().len(), 3, "nothing was made twice");
    pool.stop().await;
}

#[tokio::test]
async fn what_was_being_made_when_the_pool_ended_is_made_anew_once_nothing_is_left_of_it() {
    let mut pool = PoolServer::new();
    let token = pool.token("ci", everything());
    pool.start().await.unwrap();
    pool.machines.open_gate(false);
    let lease = new_lease();
    let (_, pending) = pool.client(&token).create(&lease, json!({})).await;
    assert_eq!(pending["data"]["state"], "pending");
    let machines = std::sync::Arc::clone(&pool.machines);
    wait_until_async("it is being made", || machines.names().len() == 1).await;
    pool.stop().await;
    pool.machines.open_gate(true);
    pool.start().await.unwrap();
    let client = pool.client(&token);
    assert_eq!(client.wait_for(&lease, "ready").await["data"]["state"], "ready");
    assert_eq!(pool.machines.made(), [lease.clone(), lease.clone()]);
    assert_eq!(pool.machines.names(), std::slice::from_ref(&lease));
    assert_eq!(client.release(&lease).await.0, 200);
    pool.stop().await;
}

#[tokio::test]
async fn one_key_is_one_lease() {
    let mut pool = PoolServer::new();
    let (token, other) = (pool.token("ci", everything()), pool.token("other", everything()));
    pool.start().await.unwrap();
    let client = pool.client(&token);
    let lease = new_lease();
    let both = futures_util::future::join_all((0..8).map(|_| client.create(&lease, json!({})))).await;
    let made = both.iter().filter(|(status, _)| *status == 201).count();
    assert!(made == 1 && both.iter().all(|(_, answer)| answer["data"]["lease_id"] == *lease), "{both:?}");
    client.wait_for(&lease, "ready").await;
    assert_eq!(pool.machines.made(), std::slice::from_ref(&lease));
    for (client, change) in [(&client, json!({ "cpu": 2 })), (&pool.client(&other), json!({}))] {
        let (status, refused) = client.create(&lease, change).await;
        assert_eq!((status, &refused["code"]), (409, &json!("key_reused")), "{refused}");
    }
    // Another kind of key names a lease, too, and the same one again.
    let (_, one) = client.create("job 7/attempt-1".replace(' ', "-").as_str(), json!({})).await;
    let (status, again) = client.create("job-7/attempt-1", json!({})).await;
    assert_eq!((status, &again["data"]["lease_id"]), (200, &one["data"]["lease_id"]));
    pool.stop().await;
}

#[tokio::test]
async fn a_token_gets_what_is_in_its_scope_and_sees_its_own_leases_only() {
    let mut pool = PoolServer::new();
    let scope = TokenScope {
        workspaces: vec!["shop".to_owned(), "shop-*".to_owned()],
        runner_types: Some(vec!["small".to_owned()]),
        providers: Some(vec!["memory".to_owned()]),
        concurrent_leases: Some(2),
        hours_per_day: Some(1.5),
    };
    let (token, other) = (pool.token("shop", scope), pool.token("other", everything()));
    pool.start().await.unwrap();
    let client = pool.client(&token);
    let refusal =
        |answered: (u16, serde_json::Value)| format!("{} {}", answered.0, answered.1["code"]).replace('"', "");
    for (change, expected) in [
        (json!({ "workspace": "bank" }), "403 over_policy"),
        (json!({ "runner_type": "large" }), "403 over_policy"),
        (json!({ "provider": "hcloud" }), "403 over_policy"),
        (json!({ "arch": "amd64" }), "503 no_capacity"),
        (json!({ "runner_type": "huge" }), "400 invalid"),
        (json!({ "ssh_public_key": format!("{PUBLIC_KEY}\n{PUBLIC_KEY}") }), "400 invalid"),
        (json!({ "labels": { "lian-owner": "x" } }), "400 invalid"),
        (json!({ "max_ttl_s": 1_000_000 }), "403 over_policy"),
    ] {
        assert_eq!(refusal(client.create(&new_lease(), change.clone()).await), expected, "{change}");
    }
    let (first, second) = (new_lease(), new_lease());
    client.create(&first, json!({ "workspace": "shop-api" })).await;
    client.create(&second, json!({})).await;
    assert_eq!(refusal(client.create(&new_lease(), json!({})).await), "429 quota", "two at the same time");
    // 600 seconds each; with an hour more it would be more than one and a half.
    client.release(&second).await;
    assert_eq!(refusal(client.create(&new_lease(), json!({ "ttl_s": 3600 })).await), "201 null");
    pool.clock.jump(seconds(600));
    client.wait_for(&first, "released").await;
    assert_eq!(refusal(client.create(&new_lease(), json!({ "ttl_s": 3600 })).await), "429 quota", "hours of a day");

    let stranger = pool.client(&other);
    let lease = client.list().await.pop().unwrap();
    for answered in [stranger.get(&lease).await, stranger.renew(&lease, 60).await, stranger.release(&lease).await] {
        assert_eq!(refusal(answered), "404 unknown_lease");
    }
    assert!(stranger.list().await.is_empty());
    assert_eq!(client.get(&lease).await.0, 200, "it still stands");
    assert_eq!(refusal(pool.client("lbp_0123456789ab_x").get(&lease).await), "401 unauthorized");
    pool.stop().await;
}

#[tokio::test]
async fn a_fault_is_not_quoted_and_leaves_nothing_behind() {
    let mut pool = PoolServer::new();
    let token = pool.token("ci", everything());
    pool.start().await.unwrap();
    let client = pool.client(&token);
    pool.machines.set(|settings| settings.fault = Some("the key sk-hidden was refused".to_owned()));
    let lease = new_lease();
    client.create(&lease, json!({})).await;
    let failed = client.wait_for(&lease, "failed").await;
    assert_eq!(failed["data"]["code"], "internal", "{failed}");
    assert!(!failed.to_string().contains("sk-hidden"), "{failed}");
    pool.machines.set(|settings| settings.fault = None);

    pool.machines.set(|settings| settings.room = 0);
    let (status, refused) = client.create(&new_lease(), json!({})).await;
    assert_eq!((status, &refused["code"]), (503, &json!("no_capacity")), "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("there is no room"));
    pool.machines.set(|settings| settings.room = 9);

    // An address that leads elsewhere is not handed out, and its runner goes.
    pool.machines.set(|settings| settings.host = "169.254.169.254".to_owned());
    let lease = new_lease();
    client.create(&lease, json!({})).await;
    let failed = client.wait_for(&lease, "failed").await;
    assert_eq!((&failed["data"]["code"], &failed["data"]["host"]), (&json!("internal"), &json!(null)), "{failed}");
    assert_eq!(client.release(&lease).await.0, 200);
    assert!(pool.machines.names().is_empty());
    pool.stop().await;
}

#[tokio::test]
async fn what_is_not_loopback_needs_a_certificate_and_runners_that_are_apart() {
    let mut pool = PoolServer::new();
    pool.listen = "0.0.0.0:0".parse().unwrap();
    let refused = pool.start().await.unwrap_err();
    assert!(refused.message().contains("no certificate"), "{refused}");
    pool.listen = "127.0.0.1:0".parse().unwrap();
    pool.machines.set(|settings| settings.isolation = Isolation::None);
    pool.start().await.unwrap();
    let busy = pool.state();
    assert!(busy.join("serve.lock").exists());
    pool.stop().await;
}

#[tokio::test]
async fn history_is_kept_and_told_by_workspace() {
    let mut pool = PoolServer::new();
    let scope = |name: &str| TokenScope { workspaces: vec![name.to_owned()], ..TokenScope::default() };
    let (token, other) = (pool.token("ci", scope("shop")), pool.token("other", scope("bank")));
    pool.start().await.unwrap();
    let client = pool.client(&token);
    let asked = || client.send("GET", "/api/v1/p95?workspace=shop", None, None);
    assert_eq!(asked().await, (200, json!({ "success": true, "data": null, "error": null, "code": null })));
    let attempt = |change: serde_json::Value| {
        let mut body = json!({ "run_id": "0190b6d0-0000-7000-8000-000000000001", "workspace": "shop",
            "platform": "linux/arm64", "build_kind": "dockerfile", "actor": "ci", "attempt": 1, "runner_type": "large",
            "outcome": "succeeded", "cpu_p95": 1.5, "mem_p95": 1.0, "mem_peak": 2.5, "seconds": 12.5 });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    let post = |body| client.send("POST", "/api/v1/metrics", None, Some(body));
    assert_eq!(post(attempt(json!({}))).await.1["data"], json!({ "accepted": true }));
    let (_, told) = asked().await;
    assert_eq!((&told["data"]["mem_p95"], &told["data"]["samples"]), (&json!(2.5), &json!(1)), "{told}");
    for (bad, status) in [
        (json!({ "workspace": "bank" }), 403),
        (json!({ "outcome": "great" }), 400),
        (json!({ "actor": "root" }), 400),
        (json!({ "run_id": "1" }), 400),
        (json!({ "mem_peak": -1.0 }), 400),
        (json!({ "mem_peak": null }), 400),
        (json!({ "platform": "a\nb" }), 400),
        (json!({ "attempt": 0 }), 400),
        (json!({ "runner_type": "unknown" }), 400),
    ] {
        assert_eq!(post(attempt(bad.clone())).await.0, status, "{bad}");
    }
    assert_eq!(client.send("GET", "/api/v1/p95?workspace=bank", None, None).await.0, 403);
    assert_eq!(client.send("GET", "/api/v1/p95", None, None).await.0, 400);
    // Who may write of another workspace does not write over this one's runs.
    let other = pool.client(&other);
    for number in [1, 2] {
        let body = attempt(json!({ "workspace": "bank", "attempt": number }));
        assert_eq!(other.send("POST", "/api/v1/metrics", None, Some(body)).await.0, 403);
    }
    assert_eq!(asked().await.1, told);
    pool.stop().await;
}
