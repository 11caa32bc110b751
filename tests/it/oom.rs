//! Memory that runs out, with the real command and real kills by this machine's kernel: one retry on the next tier, and
//! what is said when there is none.

use serde_json::Value;

use crate::support::{Finished, Sandbox};

/// Needs 192 MB at once: too much for `small`, whose steps get 128 MB, and little for `middle`, whose steps get 512 MB.
const NEEDS_192_MB: &str = "RUN dd if=/dev/zero of=/dev/null bs=192M count=1";
/// Needs more than any tier of these tests has.
const NEEDS_TOO_MUCH: &str = "RUN dd if=/dev/zero of=/dev/null bs=700M count=1";

const SMALL: (&str, f64) = ("small", 0.25);
const MIDDLE: (&str, f64) = ("middle", 1.0);
/// Larger than the machines that tests run on.
const HUGE: (&str, f64) = ("huge", 4096.0);

/// Builds `step` on the first of `tiers`.
fn build(step: &str, tiers: &[(&str, f64)]) -> Finished {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(step);
    let file = sandbox.tiers(tiers);
    sandbox.build(["--tiers", file.to_str().unwrap(), "--runner-type", tiers[0].0, "--progress=plain"])
}

fn attempts(envelope: &Value) -> &[Value] {
    envelope["attempts"].as_array().unwrap()
}

/// The attempt ran out of memory, by the kernel's word, and says who and where.
#[track_caller]
fn assert_ran_out(attempt: &Value, tier: &str, victim: &str) {
    assert_eq!(attempt["runner_type"], tier, "{attempt}");
    assert_eq!(attempt["outcome"], "oom", "{attempt}");
    assert_eq!(attempt["oom"]["verdict"], "proven", "{attempt}");
    assert_eq!(attempt["oom"]["victim"], victim, "{attempt}");
    assert!(attempt["oom"]["step"].as_str().unwrap().contains("dd if=/dev/zero"), "{attempt}");
    let evidence = attempt["oom"]["evidence"].to_string();
    assert!(evidence.contains(&format!("the kernel killed `{victim}`")), "{evidence}");
    assert!(evidence.contains(attempt["lease_id"].as_str().unwrap()), "it names the lease's own cgroup: {evidence}");
    assert_eq!(attempt["released"], true, "{attempt}");
}

/// The final word: exit 3, step, victim, tier, and the line for the spec.
#[track_caller]
fn assert_final(finished: &Finished, tier: &str, write: &str) -> Value {
    let envelope = finished.assert_code(3).envelope();
    assert_eq!(envelope["status"], "failed");
    assert_eq!(envelope["error"]["kind"], "out_of_memory", "{envelope}");
    let message = envelope["error"]["message"].as_str().unwrap();
    for part in ["dd if=/dev/zero", "killed `dd`", "peak ", &format!("on `{tier}`")] {
        assert!(message.contains(part), "`{part}` is missing: {message}");
    }
    let hints = envelope["error"]["hints"].to_string().replace("\\\"", "\"");
    assert!(hints.contains(&format!("`runner_type = \"{write}\"`")) && hints.contains(".build-spec.ncl"), "{hints}");
    assert!(finished.stderr.contains(message), "`{message}` is not on stderr: {}", finished.stderr);
    assert!(finished.stderr.contains(&format!("runner_type = \"{write}\"")), "people read stderr: {}", finished.stderr);
    envelope
}

#[test]
fn the_next_tier_saves_the_build() {
    let finished = build(NEEDS_192_MB, &[SMALL, MIDDLE]);
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(envelope["status"], "succeeded");
    let [first, second] = attempts(&envelope) else { panic!("not two attempts: {envelope}") };
    assert_ran_out(first, "small", "dd");
    assert_eq!((second["runner_type"].as_str(), second["outcome"].as_str()), (Some("middle"), Some("succeeded")));
    assert!(second["oom"].is_null(), "{second}");
    assert_eq!((first["number"].as_u64(), second["number"].as_u64()), (Some(1), Some(2)));
    assert_ne!(first["lease_id"], second["lease_id"], "a new lease");
    assert!(first["metrics"].is_object(), "the failed attempt is measured too: {first}");
}

#[test]
fn a_second_kill_is_the_end() {
    let finished = build(NEEDS_TOO_MUCH, &[SMALL, MIDDLE, ("large", 2.0)]);
    let envelope = assert_final(&finished, "middle", "large");
    let [first, second] = attempts(&envelope) else { panic!("not two attempts: {envelope}") };
    assert_ran_out(first, "small", "dd");
    assert_ran_out(second, "middle", "dd");
}

#[test]
fn the_largest_tier_has_no_next() {
    let finished = build(NEEDS_192_MB, &[SMALL]);
    let envelope = assert_final(&finished, "small", "small");
    let [only] = attempts(&envelope) else { panic!("not one attempt: {envelope}") };
    assert_ran_out(only, "small", "dd");
}

#[test]
fn a_next_tier_larger_than_the_machine_is_said() {
    let finished = build(NEEDS_192_MB, &[SMALL, HUGE]);
    let envelope = assert_final(&finished, "small", "huge");
    let [only] = attempts(&envelope) else { panic!("not one attempt: {envelope}") };
    assert_ran_out(only, "small", "dd");
    assert!(envelope["error"]["message"].as_str().unwrap().contains("`huge` cannot be had"), "{envelope}");
}

#[test]
fn the_spec_can_switch_the_retry_off() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(NEEDS_192_MB);
    sandbox.write(".build-spec.ncl", r#"{ schema_version = 1, runner_type = "small", oom_retry = false }"#);
    let tiers = sandbox.tiers(&[SMALL, MIDDLE]);
    let finished = sandbox.build(["--tiers", tiers.to_str().unwrap(), "--progress=plain"]);
    let envelope = assert_final(&finished, "small", "middle");
    assert_eq!(attempts(&envelope).len(), 1, "{envelope}");
    assert!(envelope["error"]["message"].as_str().unwrap().contains("`oom_retry = false`"), "{envelope}");
}

#[test]
fn a_swallowed_kill_is_a_success_with_a_warning() {
    let finished = build(&format!("{NEEDS_192_MB} || true"), &[SMALL, MIDDLE]);
    let envelope = finished.assert_code(0).envelope();
    assert_eq!(attempts(&envelope).len(), 1, "{envelope}");
    assert_eq!(attempts(&envelope)[0]["outcome"], "succeeded");
    let warnings = envelope["warnings"].to_string();
    assert!(warnings.contains("killed `dd` for memory"), "{warnings}");
    assert!(finished.stderr.contains("killed `dd` for memory"), "{}", finished.stderr);
}
