//! Several providers in order: the first that can is taken, each refusal is named, and a lease that stood binds the run.

use std::process::Command;

use lian_build::plan::GB;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Dockerd, Gate, Sandbox, Victim};

/// What is said of a provider that nobody has said anything about.
const NO_TOKEN: &str = "the provider `hcloud` was not taken: the provider `hcloud` needs a token of a Hetzner Cloud project in `HCLOUD_TOKEN`";

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox
}

/// A command with these candidates, on a machine without Docker.
fn command(sandbox: &Sandbox, name: &str, candidates: &[&str]) -> Command {
    let mut command = sandbox.command();
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").arg(name).arg(sandbox.context());
    command.args(["--progress=plain", "--format=json"]);
    command.args(candidates.iter().map(|candidate| format!("--provider={candidate}")));
    command
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Memory that two builds cannot have at once on this machine.
fn most_of_the_memory() -> f64 {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes: f64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024.0 / GB as f64 * 0.6
}

#[test]
fn the_first_that_can_is_taken_and_the_others_are_named() {
    let sandbox = project();
    let candidates = ["hcloud", "docker_local", "local"];
    let built = sandbox.start(&mut command(&sandbox, "build", &candidates)).wait();
    let envelope = built.assert_code(0).envelope();
    assert_eq!(envelope["attempts"][0]["provider"], "local");
    let plan = sandbox.start(&mut command(&sandbox, "plan", &candidates)).wait().assert_code(0).envelope();
    assert_eq!(plan["plan"]["provider"], "local");
    let origins = plan["plan"]["origins"].as_array().unwrap();
    let origin = origins.iter().find(|origin| origin["name"] == "provider").unwrap();
    assert_eq!(origin["from"], "--provider, candidate 3 of 3");
    for warnings in [&envelope["warnings"], &plan["warnings"]] {
        let warnings = warnings.as_array().unwrap();
        assert_eq!(warnings[0], NO_TOKEN);
        assert!(text(&warnings[1]).starts_with("the provider `docker_local` was not taken: "), "{warnings:?}");
        assert!(built.stderr.contains(text(&warnings[1])), "{}", built.stderr);
    }
}

#[test]
fn when_all_refuse_each_is_named_with_its_answer() {
    let sandbox = project();
    for (candidates, code, kind) in
        [(["hcloud", "docker_local"], 4, "no_capacity"), (["hcloud", "proxmox"], 4, "no_capacity")]
    {
        for name in ["build", "plan"] {
            let envelope = sandbox.start(&mut command(&sandbox, name, &candidates)).wait().assert_code(code).envelope();
            assert_eq!(envelope["error"]["kind"], kind, "{envelope}");
            for candidate in candidates {
                assert!(text(&envelope["error"]["message"]).contains(&format!("`{candidate}`: ")), "{envelope}");
            }
        }
    }
    // It is no provider's fault.
    std::fs::remove_file(sandbox.context().join("Dockerfile")).unwrap();
    let mut missing = command(&sandbox, "build", &["local", "docker_local"]);
    let envelope = sandbox.start(&mut missing).wait().assert_code(2).envelope();
    assert!(text(&envelope["error"]["message"]).starts_with("there is no Dockerfile"), "{envelope}");
}

#[test]
fn one_that_cannot_do_what_is_asked_is_passed_over() {
    let sandbox = project();
    let mut keeping = command(&sandbox, "plan", &["local", "docker_local"]);
    let envelope = sandbox.start(keeping.arg("--on-failure=keep=1m")).wait().assert_code(4).envelope();
    assert!(text(&envelope["error"]["message"]).contains("`local`: `--on-failure keep=…`"), "{envelope}");
}

#[test]
fn one_that_the_policy_forbids_is_passed_over() {
    let sandbox = project();
    sandbox.policy("{ providers = [\"local\"] }");
    for name in ["build", "plan"] {
        let mut command = command(&sandbox, name, &["docker_local", "local"]);
        let envelope = sandbox.start(&mut command).wait().assert_code(0).envelope();
        let warning = text(&envelope["warnings"][0]);
        assert!(warning.starts_with("the provider `docker_local` was not taken: "), "{envelope}");
        assert!(warning.contains("policy.ncl:1") && warning.contains("only `local` is allowed"), "{envelope}");
    }
}

#[test]
fn no_room_at_the_lease_falls_to_the_next() {
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
    let mut command = command(&sandbox, "build", &["local", "docker_local"]);
    command.envs(dockerd.environment()).env("LIAN_FAILPOINT", "local#1@no-capacity");
    let mut running = sandbox.start(&mut command);
    running.wait_for(" the-step-runs");
    running.signal(Signal::TERM);
    let envelope = running.wait().assert_code(143).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert_eq!(envelope["attempts"][0]["provider"], "docker_local");
    assert_eq!(envelope["warnings"][0], "the provider `local` was not taken: failpoint `no-capacity`");
}

#[test]
fn a_lease_that_stood_binds_the_run_to_its_provider() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
    let mut command = command(&sandbox, "build", &["local", "docker_local"]);
    let mut running = sandbox.start(command.env("LIAN_FAILPOINT", "local#2@no-capacity"));
    running.wait_for(" the-step-runs");
    Victim::of(&sandbox).kill_runner();
    let envelope = running.wait().assert_code(4).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{envelope}");
    assert_eq!((&attempts[0]["provider"], &attempts[0]["outcome"]), (&json!("local"), &json!("lost")));
    assert_eq!(envelope["error"]["message"], "failpoint `no-capacity`");
    assert!(!envelope["warnings"].to_string().contains("was not taken"), "{envelope}");
}

#[test]
fn a_build_waits_for_room_where_it_was_told_to() {
    let sandbox = Sandbox::on_own_machine();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN echo the-step-runs; {}", gate.wait()));
    let tiers = sandbox.tiers(&[("most", most_of_the_memory())]);
    let small = sandbox.path().join("small");
    std::fs::create_dir(&small).unwrap();
    std::fs::write(small.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let build = |context: &std::path::Path, arguments: &[&str]| {
        let mut command = sandbox.command();
        command
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .arg("build")
            .arg(context)
            .arg("--tiers")
            .arg(&tiers);
        command.args(["--runner-type=most", "--queue-timeout=0s", "--progress=plain", "--format=json"]).args(arguments);
        command
    };
    let mut first = sandbox.start(&mut build(&sandbox.context(), &["--provider=local"]));
    first.wait_for(" the-step-runs");

    let refused = sandbox.start(&mut build(&small, &["--provider=local"])).wait_unchecked().assert_code(4).envelope();
    assert_eq!(refused["attempts"], json!([]), "{refused}");
    let both = ["--provider=docker_local", "--provider=local"];
    let refused = sandbox.start(&mut build(&small, &both)).wait_unchecked().assert_code(4).envelope();
    for name in ["docker_local", "local"] {
        assert!(text(&refused["error"]["message"]).contains(&format!("`{name}`: ")), "{refused}");
    }
    let over = ["--provider=local", "--wait-capacity=2s"];
    sandbox.start(&mut build(&small, &over)).wait_unchecked().assert_code(4);

    let waiting: Vec<&str> = both.into_iter().chain(["--wait-capacity=10m"]).collect();
    let mut ended = sandbox.start(&mut build(&small, &waiting));
    ended.wait_for("a provider to have room");
    ended.signal(Signal::INT);
    assert_eq!(ended.wait_unchecked().assert_code(130).envelope()["attempts"], json!([]));

    let mut second = sandbox.start(&mut build(&small, &waiting));
    let said = second.wait_for("a provider to have room");
    assert!(said.contains("`local` was not taken"), "{said}");
    gate.open();
    first.wait_unchecked().assert_code(0);
    let second = second.wait_unchecked();
    let envelope = second.assert_code(0).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert_eq!(envelope["attempts"][0]["provider"], "local");
    sandbox.assert_nothing_left(&second.stdout);
}
