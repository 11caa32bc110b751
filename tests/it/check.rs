//! `check` as a command: what it looks at, what it says of it, and that it does nothing else.

use std::path::Path;

use serde_json::json;

use crate::support::{Sandbox, assert_follows};

/// Runs `check` in the sandbox's context, as a user in a project would.
fn check(sandbox: &Sandbox, arguments: &[&str]) -> crate::support::Finished {
    let mut command = sandbox.command();
    command.arg("check").args(arguments).current_dir(sandbox.context());
    sandbox.start(&mut command).wait()
}

fn contents(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        names.push(format!("{} {:?}", path.display(), entry.metadata().unwrap().modified().unwrap()));
        if path.is_dir() {
            names.extend(contents(&path));
        }
    }
    names.sort();
    names
}

const DIRECTIVES: &str = "let D = import \"defaults/build_directives.ncl\" in
D.make_ci_build { workspace = \"shop\", artifact.image = \"r.example/shop:${sha}\" }";

#[test]
fn a_project_that_is_valid_is_said_to_be_and_nothing_changes() {
    let sandbox = Sandbox::new();
    sandbox.write(".build-spec.ncl", "{ runner_type = \"cax21\" }").write("ci/directives.ncl", DIRECTIVES);
    sandbox.write("Dockerfile", "FROM scratch\n");
    let before = contents(sandbox.path());
    let finished = check(&sandbox, &["--format=json"]);
    let document = finished.assert_code(0).envelope();
    assert_follows(&document, "check.v1.json");
    let file = |file: &str, kind: &str| json!({ "file": file, "kind": kind, "valid": true, "diagnostics": [], "warnings": [] });
    assert_eq!(document["files"], json!([file(".build-spec.ncl", "spec"), file("ci/directives.ncl", "directives")]));
    assert_eq!((&document["status"], &document["error"]), (&json!("succeeded"), &json!(null)));
    assert_eq!(finished.stderr, "");
    let people = check(&sandbox, &[]);
    assert_eq!(people.assert_code(0).stdout, ".build-spec.ncl (spec): valid\nci/directives.ncl (directives): valid\n");
    assert_eq!(contents(sandbox.path()), before);
}

#[test]
fn everything_that_is_wrong_has_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "ci/directives.ncl",
        DIRECTIVES.replace("workspace", "workspac").replace("${sha}", "${sha}\", pusch = \"no"),
    );
    sandbox.write("dev/session.ncl", "{ workspace = \"Shop\",\n  cache_policy.actor = 'humen }");
    let finished = check(&sandbox, &["--format=json"]);
    let document = finished.assert_code(2).envelope();
    assert_follows(&document, "check.v1.json");
    let seen: Vec<String> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|file| file["diagnostics"].as_array().unwrap())
        .map(|fault| {
            format!("{}:{}:{} {}", fault["file"].as_str().unwrap(), fault["line"], fault["column"], fault["rule"])
        })
        .collect();
    assert_eq!(
        seen,
        [
            "ci/directives.ncl:2:19 \"unknown-field\"",
            "ci/directives.ncl:2:80 \"unknown-field\"",
            "dev/session.ncl:1:15 \"value\"",
            "dev/session.ncl:2:24 \"value\"",
        ]
    );
    assert_eq!(document["error"]["message"], "`ci/directives.ncl`, `dev/session.ncl` are not valid");
    let hint = &document["files"][1]["diagnostics"][1]["hint"];
    assert_eq!(hint, "did you mean `'human`?");
    let people = check(&sandbox, &["dev"]);
    people.assert_code(2);
    for words in
        ["┌─ dev/session.ncl:2:24", "= did you mean `'human`?", "session.ncl (directives): 2 faults", "refused: "]
    {
        assert!(people.stdout.contains(words), "{words}: {}", people.stdout);
    }
}

#[test]
fn what_is_named_is_checked_and_a_kind_can_be_said() {
    let sandbox = Sandbox::new();
    sandbox.write("odd.name", "{ caps.time_budget_min = 5 }").write("our-tiers.ncl", "{ tiers = [] }");
    sandbox.write(".build-spec.ncl", "{ runner_type = \"big\" }");
    let tiers = "{ tiers = [{ name = \"big\", cpu = 1, memory_gb = 1, disk_gb = 1 }] }";
    std::fs::write(sandbox.path().join("tiers.ncl"), tiers).unwrap();
    check(&sandbox, &["odd.name", "--kind=policy"]).assert_code(0);
    check(&sandbox, &["odd.name"]).assert_code(2);
    check(&sandbox, &["our-tiers.ncl"]).assert_code(2);
    check(&sandbox, &[".build-spec.ncl"]).assert_code(2);
    check(&sandbox, &[".build-spec.ncl", "--tiers=../tiers.ncl"]).assert_code(0);
    let policy = sandbox.path().join("config/lian-build");
    std::fs::create_dir_all(&policy).unwrap();
    std::fs::write(policy.join("policy.ncl"), "{ cups = {} }").unwrap();
    let document = check(&sandbox, &["--format=json", "--kind=policy"]).assert_code(2).envelope();
    let place = document["files"][0]["file"].as_str().unwrap();
    assert!(place.ends_with("config/lian-build/policy.ncl"), "{place}");
}

#[test]
fn a_refusal_is_one_result_too() {
    let sandbox = Sandbox::new();
    for (arguments, words) in
        [(&[][..], "there is nothing to check here"), (&["--kind=catalog", "x"], "invalid value 'catalog'")]
    {
        let json: Vec<&str> = arguments.iter().copied().chain(["--format=json"]).collect();
        let document = check(&sandbox, &json).assert_code(2).envelope();
        assert_eq!(document["schema"], "lian-build/check/v1");
        assert!(document["error"]["message"].as_str().unwrap().contains(words), "{document}");
    }
}

#[test]
fn every_name_is_answered_be_it_of_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("ci/directives.ncl", "{ workspace = \"Shop\", cache_policy.actor = 'ci }").write("empty/x", "");
    let document =
        check(&sandbox, &["none.ncl", "ci/directive.ncl", "empty", "ci", "ci/directives.ncl", "--format=json"]);
    let document = document.assert_code(2).envelope();
    assert_follows(&document, "check.v1.json");
    let answers: Vec<String> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let fault = &file["diagnostics"][0];
            format!("{} {} {}", file["file"].as_str().unwrap(), fault["rule"].as_str().unwrap(), fault["message"])
        })
        .collect();
    let starts = [
        "none.ncl unreadable \"`none.ncl` cannot be found: ",
        "ci/directive.ncl unreadable \"`ci/directive.ncl` cannot be found: ",
        "empty unreadable \"`empty` has nothing to check\"",
        "ci/directives.ncl value \"`Shop` is not a workspace",
    ];
    assert_eq!(answers.len(), starts.len(), "{answers:?}");
    for (answer, start) in answers.iter().zip(starts) {
        assert!(answer.starts_with(start), "{answer}");
    }
    assert_eq!(document["files"][1]["diagnostics"][0]["hint"], "did you mean `directives.ncl`?");
    let people = check(&sandbox, &["none.ncl"]).assert_code(2).stdout.clone();
    assert!(
        people.contains("`none.ncl` cannot be found") && people.contains("none.ncl (directives): 1 fault"),
        "{people}"
    );
}

#[test]
fn a_plan_shows_all_that_is_wrong() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\n");
    sandbox.write(".build-spec.ncl", "{\n  cpus = 2,\n  memory_gb = 0,\n  oom_retry = 1,\n}");
    let document = sandbox.run(["plan", "context", "--format=json"]).assert_code(2).envelope();
    let message = document["error"]["message"].as_str().unwrap();
    for place in [".build-spec.ncl:2:3", ".build-spec.ncl:3:15", ".build-spec.ncl:4:15"] {
        assert!(message.contains(place), "{place}: {message}");
    }
}
