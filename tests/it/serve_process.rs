//! `serve` as a process: killed where it hurts and started again, over containers of a real Docker; and its end at a signal.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::memory_pool::new_lease;
use crate::support::{Dockerd, Served};

/// The containers of a lease.
fn containers(docker: &Dockerd, lease: &str) -> Vec<String> {
    let filter = format!("label=lian-lease={lease}");
    docker.docker(&["ps", "--all", "--quiet", "--filter", &filter]).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_pool_that_is_killed_anywhere_takes_its_leases_up() {
    let docker = Dockerd::of_the_tests();
    let served = Served::new();
    for place in ["pool-intent-written", "intent-recorded", "pool-made-written", "pool-ready-written"] {
        let (server, client) = served.start("docker_local", Some(&format!("stop@{place}")));
        let lease = new_lease();
        // It stands still in the middle: no answer comes, and none is waited for.
        let asking = tokio::spawn({
            let (client, lease, body) = (client.clone(), lease.clone(), served.body());
            async move { client.try_create(&lease, body).await }
        });
        let mut server = server;
        server.wait_for(&format!("stopped at {place}"));
        server.signal(Signal::KILL);
        server.wait_unchecked();
        asking.abort();

        let (server, client) = served.start("docker_local", None);
        let ready = client.wait_for(&lease, "ready").await["data"].clone();
        assert_eq!(ready["state"], "ready", "{place}: {ready}");
        assert_eq!(served.say(&ready, "hello"), "hello", "{place}");
        assert_eq!(containers(&docker, &lease).len(), 1, "{place}");
        let (status, same) = client.create(&lease, served.body()).await;
        assert_eq!((status, &same["data"]["lease_id"]), (200, &json!(lease)), "{place}");
        assert_eq!(client.release(&lease).await.0, 200, "{place}");
        assert!(containers(&docker, &lease).is_empty(), "{place}");
        server.signal(Signal::TERM);
        assert_eq!(server.wait_unchecked().code, 0, "{place}");
    }
}

/// The one lease has all the memory that there is for runners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_the_memory_of_a_lease_is_taken_for_as_long_as_its_runner_lives_whoever_holds_it() {
    let (docker, served, whole) = (Dockerd::of_the_tests(), Served::on_own_machine(), new_lease());
    let start = || served.start("docker_local", Some("1@pool-queue-limit"));
    let (mut server, mut client) = start();
    client.create(&whole, served.body_of_whole_machine()).await;
    let ready = client.wait_for_outcome(&whole).await;
    assert_eq!(ready["data"]["state"], "ready", "{ready}");
    for signal in [Signal::KILL, Signal::TERM] {
        server.signal(signal);
        server.wait_unchecked();
        // Nobody holds it now: a build of another user's home sees its memory all the same.
        refuses_a_build(&served);
        (server, client) = start();
        let taken_up = client.wait_for_outcome(&whole).await;
        assert_eq!(taken_up["data"]["state"], "ready", "{taken_up}");
        let more = new_lease();
        client.create(&more, served.body()).await;
        let refused = client.wait_for_outcome(&more).await;
        assert_eq!(refused["data"]["state"], "failed", "{signal:?}: {refused}");
        let why = refused["data"]["reason"].as_str().unwrap();
        assert!(why.contains("GB are leased by shop"), "{signal:?}: {why}");
        refuses_a_build(&served);
    }
    // Given back by a process that never reserved it.
    assert_eq!(client.release(&whole).await.0, 200);
    let again = new_lease();
    client.create(&again, served.body_of_whole_machine()).await;
    let ready = client.wait_for_outcome(&again).await;
    assert_eq!(ready["data"]["state"], "ready", "{ready}");
    // And by one that has never had to do with it.
    server.signal(Signal::KILL);
    server.wait_unchecked();
    let mut release = served.sandbox.command();
    release.args(["runners", "release", "--all-owners", &again]).envs(docker.environment());
    served.sandbox.start(&mut release).wait().assert_code(0);
    assert_eq!(docker.traces(&again), [""; 0]);
    assert!(!served.sandbox.runtime_dir().exists(), "its share is left");
    let (server, client) = start();
    assert_eq!(client.wait_for(&again, "failed").await["data"]["state"], "failed");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unchecked().code, 0);
}

/// There is no memory for a build of another home of this machine.
fn refuses_a_build(served: &Served) {
    served.sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let mut build = served.sandbox.build_command();
    build.args(["--provider=docker_local", "--runner-type=tiny", "--queue-timeout=1s", "--tiers"]);
    build.arg(served.sandbox.path().join("tiers.ncl")).envs(Dockerd::of_the_tests().environment());
    build.env("XDG_STATE_HOME", served.sandbox.path().join("state-of-another"));
    let refused = served.sandbox.start(&mut build).wait_unchecked();
    let why = &refused.envelope()["error"]["message"];
    assert!(why.as_str().is_some_and(|why| why.contains("GB are leased by shop")), "{why}\n{}", refused.stderr);
    refused.assert_code(4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_runners_end_with_the_pool_that_made_them() {
    let served = Served::new();
    let (server, client) = served.start("local", None);
    let lease = new_lease();
    client.create(&lease, served.body()).await;
    let ready = client.wait_for(&lease, "ready").await["data"].clone();
    assert_eq!(served.say(&ready, "hello"), "hello");
    server.signal(Signal::TERM);
    let ended = server.wait_unchecked();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (server, client) = served.start("local", None);
    let failed = client.wait_for(&lease, "failed").await;
    assert!(failed["data"]["reason"].as_str().unwrap().contains("ended with the pool"), "{failed}");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unchecked().code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_slowly_is_let_go_and_others_are_answered() {
    use std::io::{Read as _, Write as _};
    let served = Served::new();
    let (server, client) = served.start("local", Some("1@pool-head-limit"));
    let mut slow: Vec<_> = (0..64).map(|_| std::net::TcpStream::connect(client.address()).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nx: ").unwrap();
    }
    assert_eq!(client.text("/health").await.0, 200);
    for mut stream in slow {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    assert_eq!(client.text("/health").await.0, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unchecked().code, 0);
}

#[test]
fn a_server_that_cannot_serve_says_why() {
    let served = Served::new();
    let tokens = served.sandbox.path().join("tokens.json");
    let tokens = tokens.to_str().unwrap();
    for (arguments, words) in [
        (vec!["serve"], "--tokens FILE"),
        (vec!["serve", "--tokens", tokens], "--provider NAME"),
        (vec!["serve", "--tokens", "none.json", "--provider", "local"], "none.json"),
        (vec!["serve", "--tokens", tokens, "--provider", "nowhere"], "nowhere"),
        (vec!["serve", "--tokens", tokens, "--provider", "docker_local", "--listen", "0.0.0.0:0"], "no certificate"),
        (
            vec!["serve", "--tokens", tokens, "--provider", "local", "--tls-cert", tokens, "--tls-key", tokens],
            "certificate",
        ),
        (vec!["serve", "--listen", "x"], "--listen"),
    ] {
        let refused = served.sandbox.run(arguments.clone());
        refused.assert_code(2);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
        assert!(!refused.stderr.contains(&served.token[17..]), "{}", refused.stderr);
    }
    let listed = served.sandbox.run(["serve", "token", "list", "--tokens", tokens, "--format=json"]);
    listed.assert_code(0);
    let listed = listed.envelope();
    crate::support::assert_follows(&listed, "serve-token.v1.json");
    assert_eq!((&listed["tokens"][0]["name"], &listed["token"]), (&json!("ci"), &Value::Null));
    let again = served.sandbox.run(["serve", "token", "new", "ci", "--workspace=shop", "--tokens", tokens]);
    again.assert_code(2);
    served.sandbox.run(["serve", "token", "revoke", "ci", "--tokens", tokens]).assert_code(0);
    let left = served.sandbox.run(["serve", "token", "list", "--tokens", tokens]);
    assert_eq!(left.stdout, "no tokens\n");
}
