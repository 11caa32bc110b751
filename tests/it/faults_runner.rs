//! The runner fails: it vanishes, answers no more, loses its daemon or its disk. Each case ends, with its own exit code.

use serde_json::Value;

use crate::support::{Gate, Running, Sandbox, SmallDisk, Victim};

/// Starts a build whose one step waits at the gate.
fn start<'a>(sandbox: &'a Sandbox, gate: &Gate) -> Running<'a> {
    sandbox.dockerfile_on_base(&format!("RUN {}", gate.wait()));
    sandbox.start(&mut sandbox.build_command())
}

/// How the attempts ended, all on the same tier and all released.
fn outcomes(envelope: &Value) -> Vec<&str> {
    let attempts = envelope["attempts"].as_array().unwrap();
    assert!(attempts.iter().all(|attempt| attempt["released"] == true), "{envelope}");
    assert!(attempts.iter().all(|attempt| attempt["runner_type"] == attempts[0]["runner_type"]), "{envelope}");
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect()
}

fn message(envelope: &Value) -> &str {
    envelope["error"]["message"].as_str().unwrap()
}

#[test]
fn a_runner_that_vanishes_is_replaced_once() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let mut running = start(&sandbox, &gate);
    let _step = gate.reached(&mut running);
    Victim::of(&sandbox).kill_runner();
    gate.reached(&mut running).open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(outcomes(&envelope), ["lost", "succeeded"]);
    assert!(finished.stderr.contains("the runner is gone: its processes have ended"), "{}", finished.stderr);
    assert!(envelope["warnings"].to_string().contains("trying once more on a new one"), "{envelope}");
    assert!(envelope["attempts"][0]["steps"]["total"].as_u64().unwrap() > 0, "{envelope}");
}

#[test]
fn a_second_runner_that_vanishes_is_the_end() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let mut running = start(&sandbox, &gate);
    let mut steps = Vec::new();
    for _ in 0..2 {
        steps.push(gate.reached(&mut running));
        Victim::of(&sandbox).kill_runner();
    }
    let envelope = running.wait().assert_code(5).envelope();
    assert_eq!(outcomes(&envelope), ["lost", "lost"]);
    assert_eq!(envelope["error"]["kind"], "runner", "{envelope}");
    assert!(message(&envelope).contains("the runner is gone"), "{envelope}");
}

#[test]
fn a_runner_that_vanishes_before_the_first_step_is_replaced_twice() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    // The daemon does not start before the gate is open.
    let programs = sandbox.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let real = crate::support::variable("LIAN_TEST_BUILDKIT_DIR");
    std::os::unix::fs::symlink(format!("{real}/buildctl"), programs.join("buildctl")).unwrap();
    let daemon = programs.join("buildkitd");
    std::fs::write(&daemon, format!("#!/bin/sh\n{} && exec {real}/buildkitd \"$@\"\n", gate.wait_here())).unwrap();
    std::fs::set_permissions(&daemon, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = sandbox.build_command();
    let mut running = sandbox.start(command.env("LIAN_BUILDKIT_DIR", &programs));
    let mut daemons = Vec::new();
    for _ in 0..3 {
        daemons.push(gate.reached(&mut running));
        Victim::of(&sandbox).kill_runner();
    }
    let envelope = running.wait().assert_code(5).envelope();
    assert_eq!(outcomes(&envelope), ["lost", "lost", "lost"]);
    assert!(message(&envelope).contains("the runner is gone"), "{envelope}");
}

#[test]
fn a_runner_that_answers_no_more_is_given_up_after_a_while() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    sandbox.dockerfile_on_base(&format!("RUN {}", gate.wait()));
    let mut command = sandbox.build_command();
    let mut running = sandbox.start(command.env("LIAN_FAILPOINT", "2@reconnect"));
    let mut steps = Vec::new();
    for _ in 0..2 {
        steps.push(gate.reached(&mut running));
        // Its first process lives: the provider has nothing to say against it.
        Victim::of(&sandbox).kill_sshd();
    }
    let finished = running.wait();
    let envelope = finished.assert_code(5).envelope();
    assert_eq!(outcomes(&envelope), ["lost", "lost"]);
    assert!(message(&envelope).contains("the runner could not be reached for 2 s"), "{envelope}");
    assert!(finished.stderr.contains("waiting for the runner to answer again"), "{}", finished.stderr);
}

#[test]
fn a_daemon_that_is_killed_costs_a_new_runner() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let mut running = start(&sandbox, &gate);
    let _step = gate.reached(&mut running);
    Victim::of(&sandbox).kill("daemon", |line| line.contains("/buildkitd --config") && !line.starts_with("sh "));
    gate.reached(&mut running).open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(outcomes(&envelope), ["lost", "succeeded"]);
    assert!(finished.stderr.contains("`buildkitd` on the runner was ended by signal 9"), "{}", finished.stderr);
}

#[test]
fn a_supervisor_that_is_killed_costs_a_new_runner() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let mut running = start(&sandbox, &gate);
    let _step = gate.reached(&mut running);
    let victim = Victim::of(&sandbox);
    let log = format!("{}/output/solve.log", victim.lease());
    victim.kill("supervisor", |line| line.starts_with("sh -c") && line.contains("$state/exit") && line.contains(&log));
    gate.reached(&mut running).open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(outcomes(&envelope), ["lost", "succeeded"]);
    assert!(finished.stderr.contains("has ended without a word"), "{}", finished.stderr);
}

#[test]
fn a_full_disk_takes_no_last_words() {
    let sandbox = Sandbox::new();
    // More is printed than fits on the disk, which is full by then: what is lost is lost, and the failure is told.
    sandbox.dockerfile_on_base(
        "RUN said=$(dd if=/dev/zero of=/x bs=1M count=200 2>&1); seq 1 400000; echo \"$said\"; exit 7",
    );
    let disk = SmallDisk::mount(&sandbox.path().join("cache"), "96m");
    let mut command = sandbox.build_command();
    let finished = sandbox.start(&mut command).wait_unchecked();
    drop(disk);
    sandbox.assert_nothing_left(&finished.stdout);
    let envelope = finished.assert_code(1).envelope();
    assert_eq!(outcomes(&envelope), ["failed"]);
    assert_eq!(envelope["error"]["kind"], "build", "{envelope}");
    assert!(envelope["attempts"][0]["oom"].is_null(), "{envelope}");
    assert!(envelope["error"].to_string().contains("disk is full"), "{envelope}");
}

#[test]
fn a_context_that_does_not_fit_is_no_reason_for_another_runner() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("large", vec![7_u8; 40 << 20]);
    let disk = SmallDisk::mount(&sandbox.path().join("cache"), "16m");
    let mut command = sandbox.build_command();
    let finished = sandbox.start(&mut command).wait_unchecked();
    drop(disk);
    sandbox.assert_nothing_left(&finished.stdout);
    let envelope = finished.assert_code(5).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert_eq!(envelope["error"]["kind"], "state", "{envelope}");
    // The daemon may meet the full disk first.
    assert!(message(&envelope).to_lowercase().contains("no space left on device"), "{envelope}");
}
