//! Bad input gets a clear error and exit 2 before anything is leased, and exactly one result.

use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::support::Sandbox;

/// Runs `build` with JSON results, expects a refusal with `code` that says `text`, and that nothing was leased.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32, text: &str) -> Value {
    let finished = sandbox.build(arguments);
    let envelope = finished.assert_code(code).envelope();
    assert_eq!(envelope["status"], "refused", "{envelope}");
    assert_eq!(envelope["attempts"], serde_json::json!([]), "something was leased");
    let said = format!("{} {}", envelope["error"]["message"], envelope["error"]["hints"]);
    assert!(said.contains(text), "`{text}` is not said: {said}");
    assert!(finished.stderr.contains("error"), "stderr is silent: {}", finished.stderr);
    envelope
}

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox
}

#[test]
fn contexts() {
    let sandbox = Sandbox::new();
    let missing = sandbox.run(["build", "/nonexistent/context"]).assert_code(2).envelope();
    assert!(missing["error"]["message"].as_str().unwrap().contains("/nonexistent/context"), "{missing}");
    refused(&sandbox, &[], 2, "there is no Dockerfile");
    sandbox.write("Cargo.toml", "[package]\nname = \"x\"\n");
    refused(&sandbox, &[], 2, "rust");
    sandbox.write("Dockerfile", "FROM scratch\n");
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.context().join("socket")).unwrap();
    refused(&sandbox, &[], 2, "socket");
}

#[test]
fn links_that_lead_outside() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path().join("outside"), "FROM scratch\n").unwrap();
    symlink("../outside", sandbox.context().join("Dockerfile")).unwrap();
    refused(&sandbox, &[], 2, "leads outside");
    std::fs::remove_file(sandbox.context().join("Dockerfile")).unwrap();
    sandbox.write("Dockerfile", "FROM scratch\n");
    symlink("../outside", sandbox.context().join(".build-spec.ncl")).unwrap();
    refused(&sandbox, &[], 2, ".build-spec.ncl");
}

#[test]
fn names_and_values() {
    let sandbox = project();
    for (arguments, text) in [
        (&["-t", "Upper/Case"][..], "upper/case"),
        (&["-t", "one,two"], "one,two"),
        (&["-t", "app\nother"], "app"),
        (&["-t", ""], "name"),
        (&["--provider", "locl"], "local"),
        (&["--provider", "hcloud"], "not part of this version"),
        (&["--workspace", "Not A Name"], "not-a-name"),
        (&["--actor", "ci"], "--workspace"),
        (&["--actor-id", "a b"], "lower-case letters and digits"),
        (&["--platform", "linux/arm64,linux/amd64"], "more than one platform"),
        (&["--platform", "windows/arm64"], "windows/arm64"),
        (&["--runner-type", "cax12"], "cax11"),
        (&["--directives", "ci.ncl"], "not part of this version"),
        (&["--nats-subject-prefix", "Not.Valid"], "Not.Valid"),
        (&["--nats-url", "http://example"], "nats://"),
        (&["--output", "type=ocl,dest=x"], "type=oci"),
        (&["--output", "type=oci,dest=/nonexistent/x"], "/nonexistent"),
        (&["--build-context", "x=/nonexistent"], "/nonexistent"),
        (&["--secret", "id=a,id=b"], "id"),
        (&["--add-host", "nonsense"], "NAME:IP"),
        (&["--insecure-registry", "a/b"], "HOST[:PORT]"),
        (&["--worksapce", "x"], "--workspace"),
        (&["--progress", "fancy"], "fancy"),
        (&["--queue-timeout", "soon"], "10m"),
        (&["--push"], "--tag"),
    ] {
        refused(&sandbox, arguments, 2, text);
    }
}

#[test]
fn a_directory_with_commas_and_quotes_is_built() {
    let sandbox = project();
    let odd = sandbox.path().join("a,b \"c\" 'd'");
    std::fs::create_dir(&odd).unwrap();
    std::fs::copy(sandbox.context().join("Dockerfile"), odd.join("Dockerfile")).unwrap();
    let dest = sandbox.path().join("out,put \"x\"");
    let output = format!("type=local,\"dest={}\"", dest.display().to_string().replace('"', "\"\""));
    let arguments = ["build".to_owned(), odd.display().to_string(), "-o".to_owned(), output];
    sandbox.run(arguments).assert_code(0);
    assert!(dest.join("Dockerfile").exists());
}

#[test]
fn environment_that_cannot_be_followed() {
    let sandbox = project();
    for (name, value, text) in [
        ("ORCHESTRATOR_URL", "https://pool.example", "vm-pool"),
        ("BUILDKIT_WORKSPACE", "Not A Name", "not-a-name"),
        ("BUILDKIT_PROGRESS", "fancy", "fancy"),
        ("LIAN_LOCAL_CACHE_GB", "lots", "LIAN_LOCAL_CACHE_GB"),
    ] {
        let mut command = sandbox.command();
        command.arg("build").arg(sandbox.context()).env(name, value);
        let envelope = sandbox.start(&mut command).wait().assert_code(2).envelope();
        let said = format!("{} {}", envelope["error"]["message"], envelope["error"]["hints"]);
        assert!(said.contains(text), "`{text}` is not said: {said}");
    }
}

#[test]
fn the_flag_beats_the_environment_and_the_plan_says_so() {
    let sandbox = project();
    let plan = |arguments: &[&str]| {
        let mut command = sandbox.command();
        command.args(["plan", "context", "--format=json"]).args(arguments).env("BUILDKIT_WORKSPACE", "from-env");
        let document = sandbox.start(&mut command).wait().assert_code(0).envelope();
        let origins = document["plan"]["origins"].as_array().unwrap().clone();
        let origin = origins.into_iter().find(|origin| origin["name"] == "workspace").unwrap();
        (document["plan"]["workspace"].as_str().unwrap().to_owned(), origin["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(plan(&[]), ("from-env".to_owned(), "BUILDKIT_WORKSPACE".to_owned()));
    assert_eq!(plan(&["--workspace", "from-flag"]), ("from-flag".to_owned(), "--workspace".to_owned()));
}

#[test]
fn a_missing_daemon_is_named_with_its_package() {
    let sandbox = project();
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).env_remove("LIAN_BUILDKIT_DIR");
    let envelope = sandbox.start(&mut command).wait().assert_code(4).envelope();
    let said = format!("{} {}", envelope["error"]["message"], envelope["error"]["hints"]);
    assert!(said.contains("buildkitd"), "{said}");
}

#[test]
fn a_size_beyond_this_machine_is_refused_when_it_was_asked_for() {
    let sandbox = project();
    let tiers = sandbox.tiers(&[("huge", 4_000.0)]);
    let asked = ["--runner-type", "huge", "--tiers", tiers.to_str().unwrap()];
    let envelope = refused(&sandbox, &asked, 4, "huge");
    assert_eq!(envelope["error"]["kind"], "no_capacity");
    let default = sandbox.build(["--tiers", tiers.to_str().unwrap(), "--progress=plain"]);
    default.assert_code(0);
    assert!(default.stderr.contains("reduced"), "a default is reduced with a word: {}", default.stderr);
}
