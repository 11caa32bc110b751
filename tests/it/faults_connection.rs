//! The SSH connection breaks: it is made again and no line of the log is lost or doubled, or the runner is given up.

use std::collections::BTreeMap;

use crate::support::{Finished, Gate, Sandbox, Victim};

/// The numbers of `line-N` in the log that do not stand there exactly once. A note of our own may stand in the middle of
/// such a line, followed by the step's name again.
fn not_once(finished: &Finished, sandbox: &Sandbox, last: u32) -> BTreeMap<u32, u32> {
    let run = finished.envelope()["run_id"].as_str().unwrap().to_owned();
    let log = std::fs::read_to_string(sandbox.state().join(format!("logs/{run}.log"))).unwrap();
    let is_ours = |line: &&str| ["#", "waiting for ", "the connection "].iter().any(|start| line.starts_with(start));
    let printed: String = log.lines().filter(|line| !is_ours(line)).collect();
    let mut seen: BTreeMap<u32, u32> = (1..=last).map(|number| (number, 0)).collect();
    for number in printed.split("line-").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok()) {
        *seen.entry(number).or_default() += 1;
    }
    seen.retain(|_, count| *count != 1);
    seen
}

#[test]
fn the_log_goes_on_at_the_exact_byte() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    let count = |from: u32, to: u32| format!("seq {from} {to} | sed 's/.*/line-& /'");
    let step = format!("RUN {}; {}; {}; exit 0", count(1, 500), gate.wait(), count(501, 3000));
    sandbox.dockerfile_on_base(&step);
    let mut running = sandbox.start(&mut sandbox.build_command());
    running.wait_for(" line-500");
    Victim::of(&sandbox).kill_connection();
    gate.open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert!(finished.stderr.contains("stands again"), "{}", finished.stderr);
    assert_eq!(not_once(&finished, &sandbox, 3000), BTreeMap::new());
    assert!(envelope["attempts"][0]["metrics"].is_object(), "{envelope}");
}

#[test]
fn a_connection_that_breaks_while_much_is_printed_loses_nothing() {
    let sandbox = Sandbox::new();
    // More than what is queued while nobody reads our stderr: the build is always in the middle of its output.
    let padding = "x".repeat(2000);
    sandbox.dockerfile_on_base(&format!("RUN seq 1 3000 | sed 's/.*/line-& {padding}/'"));
    let mut running = sandbox.start(&mut sandbox.build_command());
    for line in [" line-100 ", " line-600 ", " line-1200 "] {
        running.wait_for(line);
        Victim::of(&sandbox).kill_connection();
    }
    let finished = running.wait();
    finished.assert_code(0);
    assert_eq!(not_once(&finished, &sandbox, 3000), BTreeMap::new());
}

#[test]
fn a_connection_that_goes_dead_without_a_word_is_noticed() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN {}; echo still here", gate.wait()));
    let mut running = sandbox.start(&mut sandbox.build_command());
    let step = gate.reached(&mut running);
    Victim::of(&sandbox).freeze_connection();
    step.open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert!(finished.stderr.contains("stands again") && finished.stderr.contains("still here"), "{}", finished.stderr);
}

#[test]
fn a_failing_step_is_told_over_the_second_connection() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN echo the-step-runs; {}; echo last words; exit 7", gate.wait()));
    let mut running = sandbox.start(&mut sandbox.build_command());
    running.wait_for(" the-step-runs");
    Victim::of(&sandbox).kill_connection();
    gate.open();
    let envelope = running.wait().assert_code(1).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert_eq!(envelope["error"]["log_tail"], serde_json::json!(["the-step-runs", "last words"]), "{envelope}");
}
