//! A build that stands still for want of memory, as the kernel's pressure tells it, and a runner that answers no more because of
//! that.

use std::path::{Path, PathBuf};

use crate::support::{Finished, Gate, Running, Sandbox, Step, Victim};

const AT_REST: &str = "full avg10=0.00 avg60=0.00 avg300=0.01 total=8496893\n";
const NOTHING_MOVES: &str = "full avg10=98.05 avg60=96.47 avg300=58.02 total=208496893\n";

/// Replaced as a whole: the sampler may read it at any moment.
fn set(pressure: &Path, text: &str) {
    let new = pressure.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, pressure).unwrap();
}

/// The context is one step that waits at the gate. Yields the file that says the pressure, which is none at first.
fn waits_at(sandbox: &Sandbox, gate: &Gate) -> PathBuf {
    let pressure = sandbox.path().join("pressure");
    set(&pressure, AT_REST);
    sandbox.dockerfile_on_base(&format!("RUN {}", gate.wait()));
    pressure
}

/// For how many seconds a build may stand still that does.
const SOON: u32 = 3;

/// The same for one that must not: far longer than any pause that a busy machine makes between two words of it.
const NEVER: u32 = 10;

/// Starts a build on the first tier of a ladder. Its memory pressure is what the file says, and it may stand still under it
/// for `limit` seconds.
fn start<'a>(
    sandbox: &'a Sandbox,
    tiers: &[(&str, f64)],
    pressure: &Path,
    limit: impl std::fmt::Display,
) -> Running<'a> {
    let file = sandbox.tiers(tiers);
    let mut command = sandbox.build_command();
    command.arg("--tiers").arg(file).args(["--runner-type", tiers[0].0]);
    command.env("LIAN_FAILPOINT", format!("{limit}@stalled,{}@pressure", pressure.display()));
    sandbox.start(&mut command)
}

/// Lets the step that waits at the gate stand still until it is noticed. The next attempt begins without pressure.
fn stand_still(running: &mut Running<'_>, gate: &Gate, pressure: &Path) -> Step {
    let step = gate.reached(running);
    set(pressure, NOTHING_MOVES);
    running.wait_for("stood still for want of memory");
    set(pressure, AT_REST);
    step
}

fn assert_stalled(finished: &Finished, number: usize) {
    assert_stalled_by(finished, number, "while memory pressure was near 100 %");
}

#[track_caller]
fn assert_stalled_by(finished: &Finished, number: usize, sign: &str) {
    let envelope = finished.envelope();
    let attempt = &envelope["attempts"][number];
    assert_eq!(attempt["outcome"], "oom", "{envelope}");
    assert_eq!(attempt["oom"]["verdict"], "stalled", "{envelope}");
    assert!(attempt["oom"]["victim"].is_null(), "{envelope}");
    assert!(attempt["oom"]["step"].as_str().unwrap().contains("nc "), "{envelope}");
    let evidence = attempt["oom"]["evidence"].to_string();
    assert!(evidence.contains(sign), "{evidence}");
    assert_eq!(attempt["released"], true, "{envelope}");
}

#[test]
fn a_build_that_stands_still_goes_on_on_the_next_tier() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let pressure = waits_at(&sandbox, &gate);
    let mut running = start(&sandbox, &[("small", 0.25), ("middle", 0.5)], &pressure, SOON);
    let _step = stand_still(&mut running, &gate, &pressure);
    gate.reached(&mut running).open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_stalled(&finished, 0);
    assert_eq!(envelope["attempts"][1]["runner_type"], "middle", "{envelope}");
}

#[test]
fn a_build_that_stands_still_again_has_run_out_of_memory() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let pressure = waits_at(&sandbox, &gate);
    let mut running = start(&sandbox, &[("small", 0.25), ("middle", 0.5), ("large", 1.0)], &pressure, SOON);
    let _first = stand_still(&mut running, &gate, &pressure);
    let _second = gate.reached(&mut running);
    set(&pressure, NOTHING_MOVES);
    let finished = running.wait();
    let envelope = finished.assert_code(3).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 2, "{envelope}");
    assert_stalled(&finished, 0);
    assert_stalled(&finished, 1);
    assert_eq!(envelope["error"]["kind"], "out_of_memory", "{envelope}");
    assert!(envelope["error"]["message"].as_str().unwrap().contains("stalled"), "{envelope}");
}

#[test]
fn a_build_that_prints_is_not_stalled() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let pressure = sandbox.path().join("pressure");
    set(&pressure, AT_REST);
    // Longer than silence would be put up with.
    let talk = format!("for part in $(seq {}); do echo on; sleep 0.1; done", NEVER * 10 + 30);
    sandbox.dockerfile_on_base(&format!("RUN echo the-$((40 + 2))th-step-runs; {talk}; {}", gate.wait()));
    let mut running = start(&sandbox, &[("small", 0.25)], &pressure, NEVER);
    running.wait_for("the-42th-step-runs");
    set(&pressure, NOTHING_MOVES);
    let step = gate.reached(&mut running);
    set(&pressure, AT_REST);
    step.open();
    running.wait().assert_code(0);
}

/// For a build that stands still as long as it likes, and whose runner is sought for two seconds.
const SOUGHT_BRIEFLY: &str = "2@reconnect,600";

/// What the command says as soon as it knows that nothing moves.
const NOTED: &str = "memory pressure is near 100 %";

#[test]
fn a_runner_that_falls_silent_under_pressure_is_followed_by_the_next_tier() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let pressure = waits_at(&sandbox, &gate);
    let mut running = start(&sandbox, &[("small", 0.25), ("middle", 0.5)], &pressure, SOUGHT_BRIEFLY);
    let _step = gate.reached(&mut running);
    set(&pressure, NOTHING_MOVES);
    running.wait_for(NOTED);
    // Its first process lives: the provider has nothing to say against it.
    Victim::of(&sandbox).kill_sshd();
    running.wait_for("stood still for want of memory");
    set(&pressure, AT_REST);
    gate.reached(&mut running).open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_stalled_by(&finished, 0, "could not be reached for 2 s while its provider said that it runs");
    assert_eq!(envelope["attempts"][1]["runner_type"], "middle", "{envelope}");
}

#[test]
fn a_runner_that_vanishes_under_pressure_is_lost_all_the_same() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let pressure = waits_at(&sandbox, &gate);
    let mut running = start(&sandbox, &[("small", 0.25), ("middle", 0.5)], &pressure, SOUGHT_BRIEFLY);
    let _step = gate.reached(&mut running);
    set(&pressure, NOTHING_MOVES);
    running.wait_for(NOTED);
    Victim::of(&sandbox).kill_runner();
    running.wait_for("trying once more on a new one");
    set(&pressure, AT_REST);
    gate.reached(&mut running).open();
    let envelope = running.wait().assert_code(0).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| (&attempt["outcome"], &attempt["runner_type"])).collect();
    assert_eq!(outcomes, [(&"lost".into(), &"small".into()), (&"succeeded".into(), &"small".into())], "{envelope}");
}
