//! A build that stands still for want of memory, as the kernel's pressure tells it.

use std::path::Path;

use crate::support::{Finished, Gate, Running, Sandbox};

const AT_REST: &str = "full avg10=0.00 avg60=0.00 avg300=0.01 total=8496893\n";
const NOTHING_MOVES: &str = "full avg10=98.05 avg60=96.47 avg300=58.02 total=208496893\n";

/// Replaced as a whole: the sampler may read it at any moment.
fn set(pressure: &Path, text: &str) {
    let new = pressure.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, pressure).unwrap();
}

/// Starts a build on the first tier of a ladder. Its memory pressure is what the file says, and one second of it is enough.
fn start<'a>(sandbox: &'a Sandbox, tiers: &[(&str, f64)], pressure: &Path) -> Running<'a> {
    let file = sandbox.tiers(tiers);
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).args(["--progress=plain", "--format=json"]);
    command.arg("--tiers").arg(file).args(["--runner-type", tiers[0].0]);
    command.env("LIAN_FAILPOINT", format!("1@stalled,{}@pressure", pressure.display()));
    sandbox.start(&mut command)
}

fn assert_stalled(finished: &Finished, number: usize) {
    let envelope = finished.envelope();
    let attempt = &envelope["attempts"][number];
    assert_eq!(attempt["outcome"], "oom", "{envelope}");
    assert_eq!(attempt["oom"]["verdict"], "stalled", "{envelope}");
    assert!(attempt["oom"]["victim"].is_null(), "{envelope}");
    assert!(attempt["oom"]["step"].as_str().unwrap().contains("nc "), "{envelope}");
    let evidence = attempt["oom"]["evidence"].to_string();
    assert!(evidence.contains("while memory pressure was near 100 %"), "{evidence}");
    assert_eq!(attempt["released"], true, "{envelope}");
}

#[test]
fn a_build_that_stands_still_goes_on_on_the_next_tier() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let pressure = sandbox.path().join("pressure");
    set(&pressure, AT_REST);
    sandbox.dockerfile_on_base(&format!("RUN {}", gate.wait()));
    let mut running = start(&sandbox, &[("small", 0.25), ("middle", 0.5)], &pressure);
    let _step = gate.reached(&mut running);
    set(&pressure, NOTHING_MOVES);
    let step = gate.reached(&mut running);
    set(&pressure, AT_REST);
    step.open();
    let finished = running.wait();
    let envelope = finished.assert_code(0).envelope();
    assert_stalled(&finished, 0);
    assert_eq!(envelope["attempts"][1]["runner_type"], "middle", "{envelope}");
    assert!(finished.stderr.contains("stood still for want of memory"), "{}", finished.stderr);
}

#[test]
fn a_build_that_stands_still_again_has_run_out_of_memory() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    let pressure = sandbox.path().join("pressure");
    set(&pressure, NOTHING_MOVES);
    sandbox.dockerfile_on_base(&format!("RUN {}", gate.wait()));
    let finished = start(&sandbox, &[("small", 0.25), ("middle", 0.5), ("large", 1.0)], &pressure).wait();
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
    set(&pressure, NOTHING_MOVES);
    // Eight times as long as silence would be put up with.
    let talk = "for second in 1 2 3 4 5 6 7 8; do for part in 1 2 3 4 5; do echo on; sleep 0.2; done; done";
    sandbox.dockerfile_on_base(&format!("RUN {talk}; {}", gate.wait()));
    let mut running = start(&sandbox, &[("small", 0.25)], &pressure);
    let step = gate.reached(&mut running);
    set(&pressure, AT_REST);
    step.open();
    running.wait().assert_code(0);
}
