//! The same faults on `'docker_local`: a connection that breaks, and a container that vanishes.

use crate::support::{Dockerd, Gate, Running, Sandbox, Victim};

/// Starts a build in a container whose one step is `step`.
fn start<'a>(sandbox: &'a Sandbox, dockerd: &Dockerd, step: &str) -> Running<'a> {
    sandbox.dockerfile_on_base(&format!("RUN {step}"));
    let mut command = sandbox.command();
    command.envs(dockerd.environment()).arg("build").arg(sandbox.context());
    sandbox.start(command.args(["--provider=docker_local", "--progress=plain", "--format=json"]))
}

#[test]
fn a_build_in_a_container_outlives_its_connection() {
    let (sandbox, dockerd, gate) = (Sandbox::new(), Dockerd::of_the_tests(), Gate::for_containers());
    let mut running =
        start(&sandbox, &dockerd, &format!("echo before; {}; echo after; exit 7", gate.wait_in_container()));
    let step = gate.reached(&mut running);
    let victim = Victim::of(&sandbox);
    victim.kill_connection();
    step.open();
    let finished = running.wait();
    let envelope = finished.assert_code(1).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert_eq!(envelope["error"]["log_tail"], serde_json::json!(["before", "after"]), "{envelope}");
    assert_eq!(dockerd.traces(victim.lease()), Vec::<String>::new());
}

#[test]
fn a_container_that_vanishes_is_replaced_once() {
    let (sandbox, dockerd, gate) = (Sandbox::new(), Dockerd::of_the_tests(), Gate::for_containers());
    let mut running = start(&sandbox, &dockerd, &gate.wait_in_container());
    let _step = gate.reached(&mut running);
    let victim = Victim::of(&sandbox);
    dockerd.docker(&["kill", victim.lease()]);
    gate.reached(&mut running).open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    let outcomes: Vec<_> = envelope["attempts"].as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["lost", "succeeded"], "{envelope}");
    assert!(finished.stderr.contains("the runner is gone"), "{}", finished.stderr);
    assert_eq!(dockerd.traces(victim.lease()), Vec::<String>::new());
}

/// An attempt says of its runner what can be said of one that never stood.
#[test]
fn a_container_that_never_answers_is_tried_again() {
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    let image = dockerd.image_that_runs(&["/bin/false"]);
    sandbox.dockerfile_on_base("RUN true");
    let mut command = sandbox.command();
    command.envs(dockerd.environment()).env("BUILDKIT_RUNNER_IMAGE", &image.name);
    command.arg("build").arg(sandbox.context()).args(["--provider=docker_local", "--progress=plain", "--format=json"]);
    let finished = sandbox.start(&mut command).wait();
    let envelope = finished.assert_code(5).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert!(attempts.len() > 1, "{envelope}");
    for attempt in attempts {
        assert_eq!((&attempt["outcome"], &attempt["isolation"]), (&"lost".into(), &"container".into()), "{envelope}");
        assert_eq!(dockerd.traces(attempt["lease_id"].as_str().unwrap()), Vec::<String>::new());
    }
}
