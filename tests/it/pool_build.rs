//! Whole builds with `'vm_pool`, on containers that a real `lian-build serve` leases: the caller knows nothing of Docker.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::memory_pool::PoolClient;
use crate::support::{Dockerd, Sandbox, Served};

/// A build of the sandbox's context on a runner of the pool's.
fn build_command(sandbox: &Sandbox, pool: &PoolClient, served: &Served) -> std::process::Command {
    let mut command = sandbox.build_command();
    command.args(["--provider=vm_pool", "--runner-type=tiny", "--tiers"]).arg(sandbox.tiers(&[("tiny", 0.25)]));
    command
        .env("ORCHESTRATOR_URL", format!("http://{}", pool.address()))
        .env("ORCHESTRATOR_TOKEN", &served.token)
        .env("ORCHESTRATOR_PROVIDER", "docker_local");
    command
}

/// Nothing of a lease is left: no container, and nothing on the pool's own record.
fn assert_gone(served: &Served, lease: &str) {
    let traces = Dockerd::of_the_tests().traces(lease);
    assert!(traces.is_empty(), "{traces:?}");
    let records = served.records();
    assert!(records.is_empty(), "still on the pool's record: {records:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_directory_becomes_an_image_on_a_runner_of_a_pool() {
    let served = Served::new();
    let (server, pool) = served.start("docker_local", None);
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(
        "RUN --mount=type=secret,id=t test \"$(wc -c </run/secrets/t)\" -eq 12 && echo the-secret-is-there >/built",
    );
    let image = sandbox.path().join("image.tar");
    let mut command = build_command(&sandbox, &pool, &served);
    command.env("T", "s3cret-value").args(["--secret", "id=t,env=T", "-o"]);
    command.arg(format!("type=oci,dest={}", image.display()));
    let built = tokio::task::block_in_place(|| sandbox.start(&mut command).wait());
    let envelope = built.assert_code(0).envelope();
    assert!(image.metadata().unwrap().len() > 1000);
    assert!(!built.stderr.contains("s3cret-value") && !built.stderr.contains(&served.token), "{}", built.stderr);
    let attempt = &envelope["attempts"][0];
    let told = (&attempt["provider"], &attempt["isolation"], &attempt["released"]);
    assert_eq!(told, (&"vm_pool".into(), &"container".into(), &true.into()), "{envelope}");
    // The pool's word on it, and then the daemon's.
    let lease = attempt["lease_id"].as_str().unwrap();
    assert_eq!(pool.list().await, Vec::<String>::new());
    let (_, closed) = pool.get(lease).await;
    assert_eq!((&closed["data"]["state"], &closed["data"]["host"]), (&"released".into(), &Value::Null), "{closed}");
    assert_gone(&served, lease);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unchecked().code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_client_that_is_lost_with_its_machine_loses_its_runner_at_expiry() {
    let served = Served::new();
    let (server, pool) = served.start("docker_local", None);
    // What it has in its `/run` goes with it.
    let sandbox = Sandbox::on_own_machine();
    sandbox.dockerfile_on_base("RUN echo the-$((40 + 2))nd-step-runs; sleep 600");
    let mut command = build_command(&sandbox, &pool, &served);
    let mut running = sandbox.start(&mut command);
    running.wait_for(" the-42nd-step-runs");
    let leases = pool.list().await;
    let [lease] = leases.as_slice() else { panic!("not one lease: {leases:?}") };
    assert_eq!(served.records(), [lease.as_str()]);
    // The machine goes with all that could release it. They stand still before the first one dies.
    let (records, _) = lian_build::lease::Journal::new(&sandbox.state()).read().unwrap();
    let reaper = i32::try_from(records[0].record.reaper.as_ref().unwrap().pid()).unwrap();
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in [running.pid(), reaper] {
            rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
    }
    running.wait_unchecked();
    assert_eq!(pool.get(lease).await.1["data"]["state"], "ready");
    // Its time to live later.
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unchecked().code, 0);
    let docker = Dockerd::of_the_tests();
    assert!(!docker.traces(lease).is_empty(), "it went before its time");
    let (server, pool) = served.start("docker_local", Some("1260@clock"));
    let closed = pool.wait_for(lease, "released").await;
    assert_eq!(closed["data"]["reason"], "it was not renewed in time", "{closed}");
    assert_eq!(pool.list().await, Vec::<String>::new());
    assert_gone(&served, lease);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unchecked().code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_runner_that_dies_in_a_build_is_known_by_the_pools_word() {
    let served = Served::new();
    let (server, pool) = served.start("docker_local", None);
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo the-$((40 + 2))nd-step-runs; sleep 600");
    let mut running = sandbox.start(&mut build_command(&sandbox, &pool, &served));
    running.wait_for(" the-42nd-step-runs");
    let leases = pool.list().await;
    let [lease] = leases.as_slice() else { panic!("not one lease: {leases:?}") };
    Dockerd::of_the_tests().docker(&["kill", lease]);
    // Lost in the middle, it is tried once more on another one.
    running.wait_for(" the-42nd-step-runs");
    running.signal(Signal::TERM);
    let ended = tokio::task::block_in_place(|| running.wait());
    let envelope = ended.envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), attempts[0]["lease_id"].as_str()), (2, Some(lease.as_str())), "{envelope}");
    let (_, dead) = pool.get(lease).await;
    assert_eq!(dead["data"]["state"], "failed", "{dead}");
    assert!(dead["data"]["reason"].as_str().unwrap().contains("its runner died"), "{dead}");
    assert_gone(&served, lease);
    assert_eq!(pool.list().await, Vec::<String>::new());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unchecked().code, 0);
}
