//! Bad input gets a clear error and exit 2 before anything is leased, and exactly one result.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Sandbox, variable};

/// Runs `build` with JSON results, expects a refusal with `code` that says `text`, and that nothing was leased.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32, text: &str) -> Value {
    let finished = sandbox.build(arguments);
    let envelope = finished.assert_code(code).envelope();
    assert_eq!(envelope["status"], "refused", "{envelope}");
    assert_eq!(envelope["attempts"], serde_json::json!([]), "something was leased");
    let said = said(&envelope);
    assert!(said.contains(text), "`{text}` is not said: {said}");
    let first_line = format!("error: {}", said.lines().next().unwrap());
    assert!(finished.stderr.lines().any(|line| line == first_line), "`{first_line}` is not in {}", finished.stderr);
    envelope
}

/// The error of a result as a person reads it: its message and its hints, a line each.
fn said(envelope: &Value) -> String {
    let hints = envelope["error"]["hints"].as_array().unwrap().iter();
    let lines = std::iter::once(&envelope["error"]["message"]).chain(hints);
    lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
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
    refused(&sandbox, &[], 2, "`socket` in the context is a socket");
    std::fs::remove_file(sandbox.context().join("socket")).unwrap();
    let pipe = sandbox.context().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    refused(&sandbox, &[], 2, "`pipe` in the context is a FIFO");
    // Reading it would wait for ever.
    std::fs::rename(pipe, sandbox.context().join("Dockerfile")).unwrap();
    refused(&sandbox, &[], 2, "Dockerfile");
}

/// Root may read everything, so the command runs as somebody who owns nothing here.
#[test]
#[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
fn what_cannot_be_read_is_named() {
    let sandbox = project();
    sandbox.write("closed", "secret").write("directory/file", "");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(sandbox.path(), 0o755);
    // Where the tests are built others may not look.
    let program = sandbox.path().join("lian-build");
    std::fs::copy(env!("CARGO_BIN_EXE_lian-build"), &program).unwrap();
    let refused = || {
        let plain = sandbox.command();
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["build", "context"]).current_dir(sandbox.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let envelope = sandbox.start(&mut command).wait().assert_code(2).envelope();
        assert_eq!(envelope["attempts"], serde_json::json!([]));
        said(&envelope)
    };
    for path in ["closed", "directory", "Dockerfile"] {
        let path = sandbox.context().join(path);
        mode(&path, 0o000);
        let said = refused();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(name) && said.contains("cannot be read"), "{name}: {said}");
        mode(&path, 0o755);
    }
    mode(&sandbox.context(), 0o000);
    assert!(refused().contains("context"), "the context itself");
    mode(&sandbox.context(), 0o755);
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
fn what_would_put_secrets_at_risk() {
    let sandbox = project();
    let long_id = format!("id={}", "x".repeat(94));
    let foreign = ["--secret", "id=t,env=HOME", "--build-arg", "BUILDKIT_SYNTAX=evil.example/x"];
    refused(&sandbox, &["--secret", &long_id], 2, "at most 93 characters");
    refused(&sandbox, &foreign, 2, "not pinned");
    refused(&sandbox, &["--nats-url", "nats://t0ken@one,nats://two"], 2, "same login");
}

#[test]
fn names_and_values() {
    let sandbox = project();
    for (arguments, text) in [
        (&["-t", "Upper/Case"][..], "upper/case"),
        (&["-t", "one,two"], "one,two"),
        (&["-t", "app\nother"], "it holds a line break"),
        (&["-t", ""], "invalid image name ``"),
        (&["--provider", "locl"], "local"),
        (&["--provider", "proxmox"], "PROXMOX_VE_ENDPOINT"),
        (&["--workspace", "Not A Name"], "not-a-name"),
        (&["--actor", "ci"], "--workspace"),
        (&["--actor-id", "a b"], "lower-case letters and digits"),
        (&["--platform", "linux/arm64,linux/amd64"], "more than one platform"),
        (&["--platform", "windows/arm64"], "windows/arm64"),
        (&["--runner-type", "cax12"], "cax11"),
        (&["--directives", "ci.ncl"], "the directives `ci.ncl` cannot be found"),
        (&["--nats-subject-prefix", "Not.Valid"], "Not.Valid"),
        (&["--nats-url", "http://example"], "nats://"),
        (&["--output", "type=ocl,dest=x"], "type=oci"),
        (&["--output", "type=oci,dest=/nonexistent/x"], "/nonexistent"),
        (&["--build-context", "x=/nonexistent"], "/nonexistent"),
        (&["--secret", "id=a,id=b"], "`id` in a `--secret` is empty or stands twice"),
        (&["--add-host", "nonsense"], "NAME:IP"),
        (&["--insecure-registry", "a/b"], "HOST[:PORT]"),
        (&["--worksapce", "x"], "--workspace"),
        (&["--progress", "fancy"], "fancy"),
        (&["--queue-timeout", "soon"], "10m"),
        (&["--push"], "--tag"),
        (&["--on-failure", "retry"], "keep=30m"),
        (&["--on-failure", "keep=25h"], "24 hours"),
        (&["--on-failure", "keep=10m"], "docker_local"),
        (&["--on-failure", "keep=10m", "--actor", "ci", "--workspace", "w"], "not for `--actor ci`"),
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
        ("ORCHESTRATOR_URL", "http://pool.example", "https"),
        ("BUILDKIT_WORKSPACE", "Not A Name", "not-a-name"),
        ("BUILDKIT_PROGRESS", "fancy", "fancy"),
        ("LIAN_LOCAL_CACHE_GB", "lots", "LIAN_LOCAL_CACHE_GB"),
    ] {
        let mut command = sandbox.command();
        command.arg("build").arg(sandbox.context()).env(name, value);
        let envelope = sandbox.start(&mut command).wait().assert_code(2).envelope();
        let said = said(&envelope);
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
        (document["workspace"].as_str().unwrap().to_owned(), origin["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(plan(&[]), ("from-env".to_owned(), "BUILDKIT_WORKSPACE".to_owned()));
    assert_eq!(plan(&["--workspace", "from-flag"]), ("from-flag".to_owned(), "--workspace".to_owned()));
}

#[test]
fn a_missing_daemon_is_named_with_its_package() {
    let sandbox = project();
    // Everything that this machine has, but no `buildkitd`, wherever it may be.
    let programs = sandbox.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let buildkit = variable("LIAN_TEST_BUILDKIT_DIR");
    for directory in [buildkit.as_str(), "/usr/local/bin", "/usr/bin", "/bin"] {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let link = programs.join(entry.file_name());
            if entry.file_name() != "buildkitd" && link.symlink_metadata().is_err() {
                symlink(entry.path(), link).unwrap();
            }
        }
    }
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).env_remove("LIAN_BUILDKIT_DIR").env("PATH", &programs);
    let envelope = sandbox.start(&mut command).wait().assert_code(4).envelope();
    assert_eq!(envelope["error"]["message"], "a runner on this machine needs `buildkitd`, which is not installed");
    assert!(said(&envelope).contains("LIAN_BUILDKIT_DIR"), "{envelope}");
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
