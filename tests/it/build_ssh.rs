//! `--ssh`: a step uses the caller's agent, over the connection that stands, and only when it was asked for.

use std::process::Command;

use serde_json::json;

use crate::support::{Dockerd, Gate, Sandbox, SshAgent, Victim};

fn build(sandbox: &Sandbox, agent: &SshAgent, arguments: &[&str]) -> Command {
    let mut command = sandbox.command();
    command.env("SSH_AUTH_SOCK", agent.socket()).arg("build").arg(sandbox.context());
    command.args(["--progress=plain", "--format=json"]).args(arguments);
    command
}

#[test]
fn a_step_lists_the_keys_of_every_agent_that_was_forwarded() {
    let sandbox = Sandbox::new();
    let (one, other) = (SshAgent::start(), SshAgent::start());
    let list = SshAgent::list(&sandbox);
    sandbox.dockerfile_on_base(&format!(
        "{}RUN --mount=type=ssh {list} | sed 's/^/first: /'\nRUN --mount=type=ssh,id=deploy.key {list} | sed 's/^/second: /'",
        SshAgent::COPY
    ));
    // A path that `ssh` would read as something else.
    let odd = sandbox.path().join("a:b %h ${HOME} [x]");
    std::os::unix::fs::symlink(other.socket(), &odd).unwrap();
    let deploy = format!("--ssh=deploy.key={}", odd.display());
    let built = sandbox.start(&mut build(&sandbox, &one, &["--ssh=default", &deploy])).wait();
    let said = &built.assert_code(0).stderr;
    for (which, agent) in [("first", &one), ("second", &other)] {
        assert!(said.contains(&format!("{which}: 256 {}", agent.fingerprint)), "{said}");
    }
    assert_eq!(built.envelope()["warnings"], json!([]));
}

#[test]
fn an_agent_is_there_again_after_the_connection_was_lost() {
    let sandbox = Sandbox::new();
    let (agent, gate) = (SshAgent::start(), Gate::new());
    let list = SshAgent::list(&sandbox);
    sandbox.dockerfile_on_base(&format!(
        "{}RUN --mount=type=ssh {list} && echo the-step-runs; {}; {list} | sed 's/^/again: /'",
        SshAgent::COPY,
        gate.wait()
    ));
    let mut running = sandbox.start(&mut build(&sandbox, &agent, &["--ssh", "default"]));
    running.wait_for(" the-step-runs");
    Victim::of(&sandbox).kill_connection();
    running.wait_for("stands again");
    gate.open();
    let built = running.wait();
    let said = &built.assert_code(0).stderr;
    assert!(said.contains(&format!("again: 256 {}", agent.fingerprint)), "{said}");
    assert_eq!(built.envelope()["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn without_the_flag_there_is_no_agent() {
    let sandbox = Sandbox::new();
    let agent = SshAgent::start();
    sandbox.dockerfile_on_base("RUN --mount=type=ssh test -z \"$SSH_AUTH_SOCK\" || test ! -e \"$SSH_AUTH_SOCK\"");
    sandbox.start(&mut build(&sandbox, &agent, &[])).wait().assert_code(0);
    sandbox.dockerfile_on_base("RUN --mount=type=ssh,required true");
    let refused = sandbox.start(&mut build(&sandbox, &agent, &["--ssh=other"])).wait().assert_code(1).envelope();
    assert_eq!(refused["error"]["kind"], "build", "{refused}");
}

#[test]
fn an_agent_that_is_not_there_is_refused_before_a_lease() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let agent = SshAgent::start();
    let nowhere = format!("default={}", sandbox.path().join("nowhere").display());
    let key = format!("default={}", agent.key().display());
    for (said, code) in [("default", 8), (nowhere.as_str(), 8), (key.as_str(), 2), ("a b", 2)] {
        let envelope = sandbox.build(["--ssh", said]).assert_code(code).envelope();
        assert_eq!((&envelope["status"], &envelope["attempts"]), (&json!("refused"), &json!([])), "{envelope}");
        sandbox.run(["plan", "context", "--format=json", "--ssh", said]).assert_code(code);
    }
    let socket = agent.socket();
    drop(agent);
    assert!(!socket.exists());

    // A socket that nobody listens at any more.
    let left = sandbox.path().join("left");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    let envelope = sandbox.build(["--ssh", &format!("default={}", left.display())]).assert_code(8).envelope();
    assert!(envelope["error"]["message"].as_str().unwrap().contains("nobody answers"), "{envelope}");
    let plan = ["plan", "context", "--format=json", "--ssh", &format!("deploy={}", left.display())];
    let plan = sandbox.run(plan).assert_code(0).envelope();
    assert_eq!(plan["plan"]["reach"]["ssh"], json!([format!("deploy (socket {})", left.display())]));
}

#[test]
fn a_foreign_frontend_must_be_pinned_to_see_an_agent() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "# syntax=evil.invalid/x:1\nFROM scratch\nCOPY Dockerfile /\n");
    let agent = SshAgent::start();
    let refused = sandbox.start(&mut build(&sandbox, &agent, &["--ssh=default"])).wait().assert_code(2).envelope();
    assert!(refused["error"]["message"].as_str().unwrap().contains("not pinned"), "{refused}");
}

#[test]
fn a_container_uses_the_agent_and_one_that_is_kept_has_nothing_of_it() {
    let (sandbox, dockerd, agent) = (Sandbox::on_own_machine(), Dockerd::of_the_tests(), SshAgent::start());
    let list = SshAgent::list(&sandbox);
    sandbox.dockerfile_on_base(&format!("{}RUN --mount=type=ssh {list}; exit 3", SshAgent::COPY));
    let mut command = build(&sandbox, &agent, &["--ssh=default", "--provider=docker_local", "--on-failure=keep=30m"]);
    command.envs(dockerd.environment()).env("LIAN_OWNER", sandbox.path());
    let failed = sandbox.start(&mut command).wait_unchecked();
    let envelope = failed.envelope();
    let lease = envelope["attempts"][0]["lease_id"].as_str().unwrap();
    let left = dockerd.docker(&["exec", lease, "find", "/run/lian-secrets", "-mindepth", "1"]);
    let mut release = sandbox.command();
    release.envs(dockerd.environment()).env("LIAN_OWNER", sandbox.path()).args(["runners", "release", lease]);
    sandbox.start(&mut release).wait_unchecked().assert_code(0);
    assert!(failed.assert_code(1).stderr.contains(&agent.fingerprint), "{}", failed.stderr);
    assert_eq!(left, "", "its socket does not stay");
    assert_eq!(dockerd.traces(lease), [""; 0]);
}
