//! Specs and sizes as a caller meets them: the real command, its exit code, and the one result on stdout.

use serde_json::Value;

use super::support::{Finished, Sandbox};

/// A sandbox whose project is there but for the spec.
fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox
}

fn plan(sandbox: &Sandbox, args: &[&str]) -> (Finished, Value) {
    let context = sandbox.context();
    let finished = sandbox.run(["plan", "--format", "json", context.to_str().unwrap()].iter().chain(args));
    let document = serde_json::from_str(&finished.stdout).unwrap();
    (finished, document)
}

/// The message of a plan that is refused with exit 2.
fn refusal(sandbox: &Sandbox, args: &[&str]) -> String {
    let (finished, document) = plan(sandbox, args);
    finished.assert_code(2);
    assert_eq!(document["plan"], Value::Null);
    document["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn every_bad_spec_is_exit_2_and_never_falls_through() {
    for (spec, wrong) in [
        ("{ cpu = 0, memory_gb = 1 }", "cpu is 0: it has to be above 0 and at most 256"),
        ("{ cpu = -1, memory_gb = 1 }", "cpu is -1: it has to be above 0 and at most 256"),
        ("{ cpu = 1.5e9, memory_gb = 1 }", "cpu is 1500000000: it has to be above 0 and at most 256"),
        ("{ cpu = \"2\", memory_gb = 1 }", "cpu is no number"),
        ("{ cpu = 2, memory_gp = 1 }", "unknown field `memory_gp`: did you mean `memory_gb`?"),
        ("import \"/etc/hostname\" as 'Text", "import of `/etc/hostname` failed"),
        ("{ runner_type = \"cax12\" }", "there is no such tier: did you mean `cax21`?"),
    ] {
        let sandbox = project();
        sandbox.write(".build-spec.ncl", spec);
        let message = refusal(&sandbox, &[]);
        assert!(message.contains("`.build-spec.ncl`"), "{message}");
        assert!(message.contains(wrong), "{message}");
    }
}

#[test]
fn recursion_without_an_end_is_exit_2() {
    for recursion in ["f x", "f (x + 1)", "1 + f (x + 1)"] {
        let sandbox = project();
        let spec = format!("let rec f = fun x => {recursion} in {{ cpu = f 0, memory_gb = 1 }}");
        sandbox.write(".build-spec.ncl", spec);
        let message = refusal(&sandbox, &[]);
        // Each takes time and memory; which of them runs out first is up to the machine and the build's profile.
        let ended = ["needed more than 512 MB of memory", "did not end within 5 s"];
        assert!(ended.iter().any(|words| message == format!("evaluation of `.build-spec.ncl` {words}")), "{message}");
    }
}

#[test]
fn a_spec_of_ten_megabytes_is_exit_2() {
    let sandbox = project();
    sandbox.write(".build-spec.ncl", vec![b' '; 10 << 20]);
    assert!(refusal(&sandbox, &[]).contains("has 10485760 bytes; at most 1048576 are read"));
}

#[test]
fn an_override_does_not_hide_a_bad_spec() {
    let sandbox = project();
    sandbox.write(".build-spec.ncl", "{ cpu = 0, memory_gb = 1 }");
    assert!(refusal(&sandbox, &["--runner-type", "cax11"]).contains("cpu is 0"));
}

#[test]
fn an_unknown_runner_type_is_exit_2_naming_the_nearest() {
    let message = refusal(&project(), &["--runner-type", "cax12"]);
    assert!(message.contains("`cax12`, and there is no such tier: did you mean `cax21`?"), "{message}");
}

#[test]
fn more_than_any_tier_holds_is_exit_4() {
    let sandbox = project();
    sandbox.write(".build-spec.ncl", "{ cpu = 200, memory_gb = 1 }");
    let (finished, document) = plan(&sandbox, &[]);
    finished.assert_code(4);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("the largest is `cax41` (16 cpu, 32 GB)"), "{message}");
}

#[test]
fn the_plan_gives_the_size_and_its_reason() {
    let sandbox = project();
    sandbox.write(".build-spec.ncl", "{ cpu = 1, memory_gb = 0.2, time_budget_min = 7 }");
    let tiers = sandbox.tiers(&[("tiny", 0.25), ("small", 0.5)]);
    let (finished, document) = plan(&sandbox, &["--tiers", tiers.to_str().unwrap()]);
    finished.assert_code(0);
    let sizing = &document["plan"]["sizing"];
    assert_eq!((&sizing["source"], &sizing["runner_type"]), (&"spec".into(), &"tiny".into()));
    assert_eq!(sizing["time_budget_min"].as_f64(), Some(7.0));
    assert_eq!(
        sizing["reason"],
        "`.build-spec.ncl` asks for 1 cpu and 0.2 GB: tiny is the smallest tier that holds them"
    );
}
