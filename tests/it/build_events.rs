//! What a build tells the world, and that nobody's silence changes it.

use serde_json::Value;

use crate::support::nats_server::{NatsServer, id};
use crate::support::{Gate, Sandbox};

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox
}

fn subjects(file: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let kinds =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned());
    kinds.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_told_from_its_start_to_after_its_release() {
    let server = NatsServer::start().await;
    let mut watcher = server.watch().await;
    let sandbox = project();
    let file = sandbox.path().join("events.jsonl");
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).arg("--events-file").arg(&file);
    command.env("NATS_URL", server.address()).env("NATS_NKEY_SEED", server.seed());
    let built = sandbox.start(&mut command).wait();
    let envelope = built.assert_code(0).envelope();
    assert_eq!(envelope["warnings"], serde_json::json!([]));

    let started = watcher.next().await;
    assert_eq!(started.subject.as_str(), "lian-build.context.build.started");
    let completed = watcher.next().await;
    assert_eq!(completed.subject.as_str(), "lian-build.context.build.completed");
    let event: Value = serde_json::from_slice(&completed.payload).unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["data"], envelope, "the event carries the result");
    assert_eq!(event["data"]["attempts"][0]["released"], true);
    assert!(id(&completed).contains(envelope["run_id"].as_str().unwrap()));
    assert_eq!(subjects(&file), ["dev.lian-build.build.started.v1", "dev.lian-build.build.completed.v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_changes_nothing_and_the_next_run_tells() {
    let mut server = NatsServer::start().await;
    let sandbox = Sandbox::new();
    // The step waits until this test lets it go: steps share the network of the machine.
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN echo the-step-runs; {}", gate.wait()));
    let mut command = sandbox.build_command();
    command.env("NATS_URL", server.address()).env("NATS_NKEY_SEED", server.seed());
    let mut running = sandbox.start(&mut command);
    running.wait_for(" the-step-runs");
    server.kill().await;
    gate.open();
    let envelope = running.wait().assert_code(0).envelope();
    assert!(envelope["warnings"][0].as_str().unwrap().contains("next run"), "{envelope}");

    server.restart().await;
    let mut watcher = server.watch().await;
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context());
    command.env("NATS_URL", server.address()).env("NATS_NKEY_SEED", server.seed());
    sandbox.start(&mut command).wait().assert_code(0);
    let first = watcher.next().await;
    assert!(id(&first).contains(envelope["run_id"].as_str().unwrap()), "the event of the earlier run comes first");
}

#[test]
fn a_server_that_is_not_there_is_a_warning() {
    let sandbox = project();
    // Port 9 of this machine: nobody listens.
    let envelope = sandbox.build(["--nats-url", "nats://127.0.0.1:9"]).assert_code(0).envelope();
    assert_eq!(envelope["status"], "succeeded");
    assert!(envelope["warnings"][0].as_str().unwrap().contains("127.0.0.1:9"), "{envelope}");
}

#[test]
fn a_failure_is_told_and_a_refusal_is_not() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("events.jsonl");
    sandbox.build(["--events-file", file.to_str().unwrap()]).assert_code(2);
    assert_eq!(subjects(&file), [""; 0], "a refusal before a lease sends nothing");
    sandbox.write("Dockerfile", "FROM scratch\nCOPY missing /\n");
    sandbox.build(["--events-file", file.to_str().unwrap()]).assert_code(1);
    assert_eq!(subjects(&file), ["dev.lian-build.build.started.v1", "dev.lian-build.build.failed.v1"]);
}
