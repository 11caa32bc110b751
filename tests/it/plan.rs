//! What `plan` says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::Sandbox;

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox
}

/// Plans the sandbox's context, with JSON, and expects `code`.
#[track_caller]
fn plan(sandbox: &Sandbox, arguments: &[&str], code: i32) -> Value {
    let arguments = ["plan", "context", "--format=json"].iter().chain(arguments);
    sandbox.run(arguments).assert_code(code).envelope()
}

#[test]
fn the_head_is_that_of_a_result() {
    let sandbox = project();
    let head = |document: &Value| {
        let mut names: Vec<String> = document.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    for (document, workspace) in [
        (plan(&sandbox, &[], 0), json!("context")),
        (plan(&sandbox, &["--provider", "nobody"], 2), Value::Null),
        (plan(&sandbox, &["--bogus"], 2), Value::Null),
    ] {
        assert_eq!(
            head(&document),
            ["against", "command", "error", "exit_code", "plan", "run_id", "schema", "status", "warnings", "workspace"]
        );
        assert_eq!(document["schema"], "lian-build/plan/v1");
        assert_eq!(document["command"], "plan");
        assert_eq!(document["workspace"], workspace);
        assert_eq!(document["run_id"].as_str().unwrap().len(), 36);
        assert_eq!(document["plan"].is_null(), document["status"] == "refused");
        assert_eq!(document["error"].is_null(), document["status"] == "succeeded");
    }
}

#[test]
fn a_plan_says_what_is_read_written_reached_and_kept() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "Dockerfile",
        "# syntax=front.example/dockerfile@sha256:0123456789012345678901234567890123456789012345678901234567890123\n\
         FROM base.example/debian:12\nCOPY --from=tools.example/x /x /x\n",
    );
    let secret = sandbox.path().join("token");
    std::fs::write(&secret, "hush").unwrap();
    let other = sandbox.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let arguments = [
        "-t",
        "push.example/app:1",
        "--secret",
        &format!("id=token,src={}", secret.display()),
        "--build-context",
        &format!("other={}", other.display()),
        "--build-context",
        "image=docker-image://context.example/y",
        "--nats-url",
        "nats://user:hunter2@nats.example:4222",
        "--iidfile",
        "id.txt",
    ];
    let document = plan(&sandbox, &arguments, 0);
    let body = &document["plan"];
    let reach = &body["reach"];
    assert_eq!(reach["pushes_to"], json!(["push.example"]));
    assert_eq!(reach["pulls_from"], json!(["base.example", "context.example", "front.example", "tools.example"]));
    assert_eq!(reach["nats"], "nats://nats.example:4222");
    assert_eq!(reach["secrets"], json!([format!("token (file {})", secret.display())]));
    let path = |name: &str| sandbox.path().join(name).display().to_string();
    assert_eq!(reach["reads"], json!([path("context"), path("other")]));
    assert_eq!(reach["writes"], json!([path("id.txt")]));
    let logins: Vec<(&str, &str)> = body["logins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|login| (login["registry"].as_str().unwrap(), login["state"].as_str().unwrap()))
        .collect();
    let hosts = ["base.example", "context.example", "front.example", "push.example", "tools.example"];
    assert_eq!(logins, hosts.map(|host| (host, "unknown (offline)")));
    assert_eq!(
        body["cache"],
        json!({
            "imported": [], "exported": [], "reads": ["ci/*", "dev/tester-*"], "writes": ["dev/tester-*"], "kept_bytes": 20_u64 << 30
        })
    );
    assert_eq!(body["skipped"], json!([]));
    assert_eq!(body["sizing"]["runner_type"], "cax11");
    assert!(body["price"].as_str().unwrap().starts_with("nothing"));
    assert!(!document.to_string().contains("hunter2") && !document.to_string().contains("hush"));

    let text = sandbox.run(["plan", "context"].iter().chain(&arguments)).assert_code(0).stdout.clone();
    for line in [
        "size        cax11 (2 cpu, 4 GB)",
        "price       nothing",
        "cache from  none",
        "cache to    none",
        "cache kept  up to 2",
        "skips       none",
        "pushes to   push.example",
        "pulls from  base.example",
        "login       push.example: unknown (offline)",
        "events to   nats://nats.example:4222, whether it answers: unknown (offline)",
        "secrets     token (file",
        "runs        ",
    ] {
        assert!(text.lines().any(|said| said.starts_with(line)), "`{line}` is missing: {text}");
    }
}

#[test]
fn names_that_are_not_utf_8_are_shown_as_far_as_they_can_be() {
    let sandbox = project();
    let directory = sandbox.path().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::rename(sandbox.context(), &directory).unwrap();
    let arguments = [OsStr::new("plan"), OsStr::new("--format=json"), directory.as_os_str()];
    let document = sandbox.run(arguments).assert_code(0).envelope();
    let shown = sandbox.path().join("caf\u{fffd}").display().to_string();
    assert_eq!(document["plan"]["reach"]["reads"], json!([shown]));
}

#[test]
fn a_context_is_named_after_its_real_directory() {
    let sandbox = project();
    std::fs::create_dir(sandbox.context().join("below")).unwrap();
    symlink("context", sandbox.path().join("a-link")).unwrap();
    let workspace = |directory: &Path, context: &str| {
        let mut command = sandbox.command();
        command.args(["plan", "--format=json", context]).current_dir(directory);
        sandbox.start(&mut command).wait().assert_code(0).envelope()["workspace"].clone()
    };
    assert_eq!(workspace(&sandbox.context().join("below"), ".."), "context");
    assert_eq!(workspace(&sandbox.context(), "."), "context");
    assert_eq!(workspace(sandbox.path(), "a-link"), "context");
    assert_eq!(workspace(sandbox.path(), "a-link/below/.."), "context");
}

#[test]
fn git_is_asked_only_when_the_name_matters() {
    let sandbox = project();
    std::fs::create_dir(sandbox.context().join(".git")).unwrap();
    let (programs, called) = (sandbox.path().join("programs"), sandbox.path().join("called"));
    std::fs::create_dir(&programs).unwrap();
    let git = programs.join("git");
    std::fs::write(&git, format!("#!/bin/sh\n: > {}\nexit 1\n", called.display())).unwrap();
    std::fs::set_permissions(&git, std::fs::Permissions::from_mode(0o755)).unwrap();
    let asked = |arguments: &[&str]| {
        let mut command = sandbox.command();
        command.args(["plan", "context"]).args(arguments);
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()));
        sandbox.start(&mut command).wait().assert_code(0);
        called.exists()
    };
    assert!(!asked(&["--workspace", "said", "--owner", "said"]));
    assert!(asked(&[]), "the test's own git is not found");
}

#[test]
fn two_directories_of_one_name_keep_their_images_apart() {
    let sandbox = Sandbox::new();
    let kept = |parent: &str| {
        let directory = sandbox.path().join(parent).join("app");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("Dockerfile"), "FROM scratch\n").unwrap();
        let arguments = ["plan".to_owned(), "--format=json".to_owned(), directory.display().to_string()];
        let document = sandbox.run(arguments).assert_code(0).envelope();
        assert_eq!(document["workspace"], "app");
        document["plan"]["reach"]["writes"][0].as_str().unwrap().to_owned()
    };
    let (one, other) = (kept("one"), kept("other"));
    assert_ne!(one, other);
    assert_eq!(one, kept("one"));
    assert!(Path::new(&one).file_name().unwrap().to_str().unwrap().starts_with("app-"), "{one}");
}

#[test]
fn an_archive_gets_the_names_of_the_image() {
    let sandbox = project();
    let outputs = |arguments: &[&str]| -> Vec<String> {
        let document = plan(&sandbox, arguments, 0);
        let argv = document["plan"]["argv"].as_array().unwrap().iter();
        argv.filter_map(|word| word.as_str().unwrap().strip_prefix("--output=").map(str::to_owned)).collect()
    };
    let named = |output: &str, name: &str| output.split(',').any(|part| part == format!("name={name}"));
    let archive = outputs(&["-t", "app:1", "--push=false", "-o", "type=docker,dest=image.tar"]);
    assert!(archive.len() == 1 && named(&archive[0], "docker.io/library/app:1"), "{archive:?}");
    let own = outputs(&["-t", "app:1", "--push=false", "-o", "type=oci,dest=image.tar,name=own.example/x:2"]);
    assert!(own.len() == 1 && named(&own[0], "own.example/x:2") && !own[0].contains("app:1"), "{own:?}");
    let files = outputs(&["-t", "app:1", "--push=false", "-o", "type=tar,dest=files.tar"]);
    assert!(!files[0].contains("name="), "files have no name: {files:?}");
    let nameless = outputs(&["-o", "type=oci,dest=image.tar"]);
    assert!(!nameless[0].contains("name="), "{nameless:?}");
}

#[test]
fn what_the_build_would_be_refused_for_is_said_beside_the_plan() {
    let sandbox = project();
    let missing = plan(&sandbox, &["--secret", "id=token,env=NOT_SET"], 8);
    assert_eq!(missing["status"], "refused");
    assert!(missing["error"]["message"].as_str().unwrap().contains("`NOT_SET` is not set"), "{missing}");
    assert_eq!(missing["plan"]["sizing"]["runner_type"], "cax11", "the plan is shown all the same");

    let tiers = sandbox.tiers(&[("huge", 4_000.0)]);
    let huge = plan(&sandbox, &["--runner-type", "huge", "--tiers", tiers.to_str().unwrap()], 4);
    assert_eq!(huge["error"]["kind"], "no_capacity");
    assert_eq!(huge["plan"]["sizing"]["memory_gb"], 4_000);

    let mut command = sandbox.command();
    command.args(["plan", "context"]).env("LIAN_BUILDKIT_DIR", "").env("PATH", "/nonexistent");
    let finished = sandbox.start(&mut command).wait();
    finished.assert_code(4);
    assert!(finished.stdout.contains("\ncannot be built here: "), "{}", finished.stdout);
    assert!(finished.stdout.contains("buildkitd"), "{}", finished.stdout);
    assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
}

#[test]
fn a_secret_is_not_read() {
    let sandbox = project();
    let pipe = sandbox.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    // Opening it would wait for ever: nobody writes.
    plan(&sandbox, &["--secret", &format!("id=token,src={}", pipe.display())], 0);
}

#[test]
fn what_a_spec_asks_in_vain_is_noted() {
    let sandbox = project();
    let notes = |spec: &str| {
        sandbox.write(".build-spec.ncl", spec);
        plan(&sandbox, &[], 0)["plan"]["notes"].to_string()
    };
    assert!(notes(r#"{ schema_version = 1, cache_keys = ["base"] }"#).contains("`cache_keys`"));
    assert!(notes("{ schema_version = 1, cpu = 1, memory_gb = 1, disk_gb = 5 }").contains("does not limit the disk"));
    assert_eq!(notes("{ schema_version = 1, cpu = 1, memory_gb = 1 }"), "[]");
}

#[test]
fn a_refusal_is_that_of_the_command_that_was_given() {
    let sandbox = Sandbox::new();
    for (arguments, command, message) in [
        (&["--format=json"][..], "build", "--format"),
        (&["-v"], "build", "no command was given"),
        (&["-v", "plan", "--bogus", "--format=json"], "plan", "--bogus"),
        (&["plan", "--bogus", "--format", "json"], "plan", "--bogus"),
        (&["-v", "build", "--file", "plan", "--bogus"], "build", "--bogus"),
        (&["dispatch", "--file", "plan", "--bogus"], "build", "--bogus"),
        (&["bild"], "build", "bild"),
    ] {
        let refused = sandbox.run(arguments).assert_code(2).envelope();
        assert_eq!(refused["command"], command, "{arguments:?}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(message), "{refused}");
    }
    let nothing = sandbox.run([""; 0]);
    let refused = nothing.assert_code(2).envelope();
    assert_eq!(refused["error"]["message"], "no command was given");
    assert!(refused["error"]["hints"][0].as_str().unwrap().contains("lian-build build ."), "{refused}");
    assert!(nothing.stderr.starts_with("error: no command was given\nhint: "), "{}", nothing.stderr);
    // A plan is for people unless JSON is asked for, also when it is refused.
    assert!(sandbox.run(["plan", "--bogus"]).assert_code(2).stdout.starts_with("refused: "));
}
