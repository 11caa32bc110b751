//! A hostile pool: whatever it says, nothing of it is believed that is not what it is called, and its lease is given back.

use lian_build::error::{Error, ErrorKind};
use lian_build::lease::LeaseRequest;
use lian_build::provider::vm_pool::VmPoolProvider;
use lian_build::provider::{ComputeProvider, Released};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::http_server::{HttpServer, answer};
use crate::support::{FakePool, HOST_KEY, Sandbox, TOKEN, Trick, install_tls, pool_config, request};

fn a_request() -> LeaseRequest {
    request("test", 1.0, jiff::Timestamp::now())
}

fn short_dir() -> TempDir {
    tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap()
}

/// Asks this pool for a runner, and for nothing more; yields why there is none.
async fn refused(pool: &FakePool) -> Error {
    install_tls();
    let (dir, request) = (short_dir(), a_request());
    let provider = VmPoolProvider::new(pool_config(&pool.url(), dir.path()));
    let acquired = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await;
    let error = acquired.map(|endpoint| panic!("it was taken: {endpoint:?}")).unwrap_err();
    let text = format!("{error:?}");
    assert!(!error.message().contains(['\n', '\r', '\u{1b}', '\u{0}']), "{text}");
    assert!(text.len() < 4000, "{} bytes: {text}", text.len());
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed, "after {error}");
    assert!(pool.seen().contains(&("DELETE".to_owned(), format!("/api/v1/vm-pool/{}", request.lease_id))));
    assert_eq!(pool.leases(), Vec::<String>::new(), "after {error}");
    assert!(!dir.path().join("run/pool").exists(), "after {error}");
    error
}

/// As [`refused`], where the pool says this of its leases.
async fn refused_for(pointer: &'static str, value: Value) -> Error {
    let shape = move |said: &mut Value| *said.pointer_mut(pointer).unwrap() = value.clone();
    refused(&FakePool::with(shape).await).await
}

#[tokio::test]
async fn what_it_says_about_the_way_to_its_runner_is_checked() {
    let other_line = format!("{HOST_KEY}\n* {HOST_KEY}");
    let with_options = format!("command=\"id\" {HOST_KEY}");
    let of_authority = format!("@cert-authority * {HOST_KEY}");
    let endless = "x".repeat(100_000);
    for (pointer, value, named) in [
        ("/host", json!("-oProxyCommand=touch /tmp/x"), "host"),
        ("/host", json!("a b"), "host"),
        ("/host", json!("a\nProxyCommand touch /tmp/x"), "host"),
        ("/host", json!("a\u{0}b"), "host"),
        ("/host", json!("\u{1b}]0;x\u{7}"), "host"),
        ("/host", json!("169.254.169.254"), "host"),
        ("/host", json!(endless), "host"),
        ("/host", json!(""), "host"),
        ("/host", Value::Null, "host"),
        ("/host", json!(["127.0.0.1"]), "cannot be used"),
        ("/port", json!(0), "port"),
        ("/port", json!(70_000), "70000"),
        ("/port", json!(-1), "-1"),
        ("/port", json!("22"), "cannot be used"),
        ("/port", Value::Null, "port"),
        ("/user", json!("-l"), "user"),
        ("/user", json!("ro ot"), "user"),
        ("/user", json!("root\nProxyCommand id"), "user"),
        ("/user", json!("%h"), "user"),
        ("/user", Value::Null, "user"),
        ("/host_key", Value::Null, "host key"),
        ("/host_key", json!(""), "host key"),
        ("/host_key", json!(other_line), "host key"),
        ("/host_key", json!(with_options), "host key"),
        ("/host_key", json!(of_authority), "host key"),
        ("/host_key", json!("ssh-ed25519 AAAA"), "host key"),
        ("/host_key", json!("ssh-dss AAAAB3NzaC1kc3M="), "host key"),
    ] {
        let error = refused_for(pointer, value.clone()).await;
        assert_eq!(error.kind(), ErrorKind::Provider, "{pointer} {value}: {error}");
        assert!(error.message().contains(named), "{pointer} {value}: {error}");
    }
}

#[tokio::test]
async fn what_it_says_about_its_runner_is_checked() {
    for (pointer, value, named) in [
        ("/endpoint", Value::Null, "paths"),
        ("/endpoint", json!("x"), "cannot be used"),
        ("/endpoint/paths/context", json!("/etc"), "/etc"),
        ("/endpoint/paths/output", json!("/build/../../root"), "plain absolute path"),
        ("/endpoint/paths/run", json!("run"), "plain absolute path"),
        ("/endpoint/paths/secrets", json!("/workspace/x"), "not apart"),
        ("/endpoint/paths/bin", json!("/proc/self"), "system's"),
        ("/endpoint/isolation", json!("none"), "isolation"),
        ("/endpoint/shared", json!(false), "isolation"),
        ("/endpoint/architecture", json!("riscv64"), "riscv64"),
        ("/endpoint/effective_memory_bytes", json!(1), "memory"),
        ("/endpoint/effective_cpu", json!(0), "CPUs"),
        ("/endpoint/memory", json!({ "Cgroup": { "version": "v2", "parent": "/../x", "bytes": 9 } }), "cgroup"),
        ("/provider", json!("local"), "docker_local"),
        ("/state", json!("failed"), "could not make"),
    ] {
        let error = refused_for(pointer, value.clone()).await;
        assert_eq!(error.kind(), ErrorKind::Provider, "{pointer} {value}: {error}");
        assert!(error.message().contains(named), "{pointer} {value}: {error}");
    }
    let half = json!(512 << 20);
    let less = refused_for("/endpoint/effective_memory_bytes", half).await;
    assert_eq!(less.kind(), ErrorKind::NoCapacity, "{less}");
}

#[tokio::test]
async fn an_answer_about_another_lease_is_none() {
    for other in ["lb-00000000000000000000000000000001", "../../etc/passwd", "", "\u{1b}[2J"] {
        let pool = FakePool::start().await;
        // Of the first answer only: it is what comes back to the request.
        let said = json!({ "lease_id": other, "state": "ready" });
        let body = json!({ "success": true, "data": said });
        pool.trick("POST", Trick::After(crate::support::json_answer(200, &body)), 1);
        let error = refused(&pool).await;
        assert!(error.message().contains("when asked for"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_much_or_no_json_is_not_read_to_its_end() {
    let json = |body: Vec<u8>| answer(200).header("content-type", "application/json").body(body);
    let deep = format!(r#"{{"success":true,"data":{}"#, "[".repeat(100_000));
    for (instead, named) in [
        (json(vec![b' '; 2 << 20]), "longer than"),
        (json(b" ".repeat(4096)).endless(), "longer than"),
        (json(deep.into_bytes()), "recursion"),
        (json(br#"{"success":true,"data":{"lease_id":"#.to_vec()), "EOF"),
        (json(br#"{"success":true,"data":null}"#.to_vec()), "no `data`"),
        (json(br#"{"data":{}}"#.to_vec()), "success"),
        (json(b"\xff\xfe".to_vec()), "cannot be used"),
        (answer(200).header("content-type", "text/html").body("<html>\u{1b}[31m"), "not JSON"),
        (answer(200).body(r#"{"success":true,"data":{}}"#), "not JSON"),
        (answer(204), "not JSON"),
    ] {
        let pool = FakePool::start().await;
        pool.trick("POST", Trick::After(instead), 1);
        let error = refused(&pool).await;
        assert_eq!(error.kind(), ErrorKind::Provider, "{error}");
        assert!(error.message().contains(named), "{named}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_stays_here() {
    let elsewhere = HttpServer::start(|_| answer(200)).await;
    for status in [301, 302, 307, 308] {
        let pool = FakePool::start().await;
        let location = format!("http://{}/api/v1/vm-pool", elsewhere.host());
        pool.trick("POST", Trick::After(answer(status).header("location", &location)), 1);
        let error = refused(&pool).await;
        assert!(error.message().contains("redirect") && !error.hints().is_empty(), "{error:?}");
    }
    assert!(elsewhere.seen().is_empty(), "{:?}", elsewhere.seen());
}

#[tokio::test]
async fn the_token_is_never_repeated_whoever_says_it() {
    let why = format!("\u{1b}[31mslow down, Bearer {TOKEN}!\u{1b}[0m {}", "x".repeat(10_000));
    for (status, code) in
        [(429, "quota"), (403, "over_policy"), (400, "invalid"), (409, "key_reused"), (401, "unauthorized")]
    {
        let pool = FakePool::start().await;
        pool.trick("POST", Trick::Instead(crate::support::refusal(status, code, &why)), 1);
        install_tls();
        let (dir, request) = (short_dir(), a_request());
        let provider = VmPoolProvider::new(pool_config(&pool.url(), dir.path()));
        let error = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap_err();
        let text = format!("{error:?}");
        assert!(!text.contains(TOKEN) && !text.contains('\u{1b}') && text.len() < 2000, "{text}");
        assert!(text.contains("slow down"), "{text}");
        assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    }
    let failed = |said: &mut Value| {
        said["state"] = json!("failed");
        said["reason"] = json!(format!("the cloud said {TOKEN}"));
    };
    let error = refused(&FakePool::with(failed).await).await;
    assert!(error.message().contains("the cloud said") && !format!("{error:?}").contains(TOKEN), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_with_such_a_pool_ends_with_its_leases_given_back() {
    install_tls();
    let shape = |said: &mut Value| said["host"] = json!("-oProxyCommand=touch /tmp/lian-pwned");
    let pool = FakePool::with(shape).await;
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\n");
    let mut command = sandbox.build_command();
    command.args(["--platform", &format!("linux/{}", a_request().architecture)]);
    command.env("ORCHESTRATOR_URL", pool.url()).env("ORCHESTRATOR_TOKEN", TOKEN);
    command.env("ORCHESTRATOR_PROVIDER", "docker_local");
    let finished = tokio::task::block_in_place(|| sandbox.start(&mut command).wait());
    finished.assert_code(5);
    let envelope = finished.envelope();
    assert!(envelope["error"]["message"].as_str().unwrap().contains("host"), "{envelope}");
    for attempt in envelope["attempts"].as_array().unwrap() {
        assert_eq!((&attempt["provider"], &attempt["released"]), (&json!("vm_pool"), &json!(true)), "{attempt}");
    }
    assert!(pool.count("DELETE") >= 1 && pool.leases().is_empty(), "{:?}", pool.seen());
    assert!(!finished.stderr.contains(TOKEN) && !finished.stdout.contains(TOKEN));
    assert!(!std::path::Path::new("/tmp/lian-pwned").exists());
}
