//! The operator's policy with the real command: it is never passed over, and what it refuses leases nothing.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use crate::support::docker_registry::DockerRegistry;
use crate::support::{Finished, Sandbox, Victim, install_tls};

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox
}

fn plan(sandbox: &Sandbox, arguments: &[&str]) -> Finished {
    sandbox.run(["plan", "context", "--format=json", "--provider=local"].iter().chain(arguments))
}

/// The rules of a plan: effect, rule and line.
fn rules(document: &Value) -> Vec<(String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rules = document["plan"]["policy"]["rules"].as_array().unwrap();
    rules.iter().map(|rule| (text(&rule["effect"]), text(&rule["rule"]), rule["line"].as_u64().unwrap())).collect()
}

/// What `build` and `plan` both say of a policy that cannot be used.
#[track_caller]
fn assert_unusable(sandbox: &Sandbox, words: &[&str]) {
    for finished in [plan(sandbox, &[]), sandbox.build(["--format=json", "--provider=local"])] {
        let document = finished.assert_code(2).envelope();
        let error = document["error"].to_string();
        assert_eq!(document["error"]["kind"], "spec", "{error}");
        for word in words {
            assert!(error.contains(word), "`{word}` is missing: {error}");
        }
    }
    assert_eq!(Victim::leases(sandbox), [""; 0]);
}

#[test]
fn everything_that_is_refused_is_said_at_once_before_anything_is_leased() {
    let sandbox = project();
    sandbox.write("Dockerfile", "FROM base.example/debian:12\nFROM good.example/x\n");
    let policy = sandbox.policy(
        "{
  caps = {
    runner_type = \"cax21\",
    time_budget_min = 10,
  },
  providers = [\"docker_local\"],
  push_to = [\"r.example/team\"],
  pull_from = [\"good.example\"],
  nats = [\"tls://n.example\"],
  minimum_isolation.human = 'container,
  host_network = ['ci],
}",
    );
    let asked = ["--runner-type=cax31", "--tag=r.example/other/app:1", "--network=host", "--nats-url=nats://n.example"];
    let document = plan(&sandbox, &asked).assert_code(4).envelope();
    let expected = [
        ("refused", "caps.runner_type", 3),
        ("capped", "caps.time_budget_min", 4),
        ("refused", "providers", 6),
        ("refused", "minimum_isolation.human", 10),
        ("refused", "host_network", 11),
        ("refused", "push_to", 7),
        ("refused", "pull_from", 8),
        ("refused", "nats", 9),
    ];
    assert_eq!(rules(&document), expected.map(|(effect, rule, line)| (effect.to_owned(), rule.to_owned(), line)));
    assert_eq!(document["plan"]["policy"]["files"], json!([policy]));
    assert_eq!(document["plan"]["sizing"]["time_budget_min"], 10, "a default is capped");

    let built = sandbox.build(asked.iter().chain(&["--format=json", "--provider=local"]));
    let envelope = built.assert_code(4).envelope();
    assert_eq!((&envelope["status"], &envelope["error"]["kind"]), (&json!("refused"), &json!("over_policy")));
    assert_eq!(envelope["attempts"], json!([]));
    for document in [&envelope, &document] {
        let message = document["error"]["message"].as_str().unwrap();
        for part in [
            format!("{}:3 (caps.runner_type): `cax31` (8 cpu, 16 GB) is asked for", policy.display()),
            "at most `cax21` (4 cpu, 8 GB) is allowed".to_owned(),
            "a push to `r.example/other/app`".to_owned(),
            "a pull from `base.example/debian`".to_owned(),
            "the NATS server `nats://n.example:4222`".to_owned(),
            "whose isolation is `none`".to_owned(),
        ] {
            assert!(message.contains(&part), "`{part}` is missing: {message}");
        }
        assert!(!message.contains("good.example/x") && !message.contains("time_budget"), "{message}");
    }
    assert_eq!(Victim::leases(&sandbox), [""; 0]);
    assert!(!sandbox.state().join("leases").exists(), "nothing was put on record");
}

#[test]
fn a_default_is_capped_and_what_was_asked_for_is_not() {
    let sandbox = project();
    sandbox.write("Cargo.toml", "[package]\nname = \"x\"\n").policy("{ caps.runner_type = \"cax11\" }");
    let document = plan(&sandbox, &[]).assert_code(0).envelope();
    let sizing = &document["plan"]["sizing"];
    assert_eq!((&sizing["runner_type"], &sizing["memory_gb"]), (&json!("cax11"), &json!(4)));
    assert!(sizing["reason"].as_str().unwrap().ends_with("the policy's cap makes it cax11"), "{sizing}");
    assert!(document["plan"]["notes"].to_string().contains("policy.ncl:1 (caps.runner_type): `cax21`"), "{document}");
    sandbox.write(".build-spec.ncl", "{ cpu = 4, memory_gb = 6 }");
    plan(&sandbox, &[]).assert_code(4);
    sandbox.write(".build-spec.ncl", "{ time_budget_min = 61 }").policy("{ caps.time_budget_min = 60 }");
    let document = plan(&sandbox, &[]).assert_code(4).envelope();
    assert_eq!(rules(&document), [("refused".to_owned(), "caps.time_budget_min".to_owned(), 1)]);
    // The same for people.
    let text = sandbox.run(["plan", "context", "--provider=local"]).assert_code(4).stdout.clone();
    assert!(text.contains("refused     ") && text.contains("61 min for an attempt is asked for"), "{text}");
}

#[test]
fn a_retry_stays_within_the_cap_and_the_last_word_names_the_line() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN dd if=/dev/zero of=/dev/null bs=192M count=1");
    let policy = sandbox.policy("{\n  caps.runner_type = \"small\",\n}");
    let tiers = sandbox.tiers(&[("small", 0.25), ("middle", 1.0)]);
    let finished = sandbox.build(["--tiers", tiers.to_str().unwrap(), "--provider=local", "--format=json"]);
    let envelope = finished.assert_code(3).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{envelope}");
    assert_eq!((&attempts[0]["runner_type"], &attempts[0]["outcome"]), (&json!("small"), &json!("oom")));
    let message = envelope["error"]["message"].as_str().unwrap();
    let line = format!("the policy allows no larger tier (`caps.runner_type` at {}:2)", policy.display());
    assert!(message.contains(&line), "{message}");
}

#[test]
fn a_policy_that_cannot_be_used_ends_everything() {
    let sandbox = project();
    sandbox.policy("{\n  cap = {},\n}");
    assert_unusable(&sandbox, &["policy.ncl", "unknown field `cap`: did you mean `caps`?", "policy.ncl:2:"]);
    sandbox.policy("{ caps.runner_type = \"cax12\" }");
    assert_unusable(&sandbox, &["policy.ncl:1", "names the tier `cax12`", "did you mean `cax21`?"]);
    sandbox.policy("let x = import \"../elsewhere.ncl\" in x");
    assert_unusable(&sandbox, &["can only import files inside of its own directory"]);
    let path = sandbox.policy("{");
    assert_unusable(&sandbox, &["is not valid"]);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_unusable(&sandbox, &["is not UTF-8 text"]);
    std::fs::remove_file(&path).unwrap();
    symlink("/nowhere", &path).unwrap();
    assert_unusable(&sandbox, &["cannot be used: it leads nowhere"]);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_unusable(&sandbox, &["is a directory, not a file"]);
}

#[test]
fn a_policy_that_others_can_write_to_is_refused_with_the_command_to_run() {
    let sandbox = project();
    let path = sandbox.policy("import \"caps.ncl\"");
    let caps = path.with_file_name("caps.ncl");
    std::fs::write(&caps, "{ providers = ['docker_local] }").unwrap();
    let directory = path.parent().unwrap();
    for bad in [path.as_path(), caps.as_path(), directory] {
        for good in [path.as_path(), caps.as_path()] {
            std::fs::set_permissions(good, Permissions::from_mode(0o644)).unwrap();
        }
        std::fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        // With the right modes the imported list counts, and has its place.
        let document = plan(&sandbox, &[]).assert_code(4).envelope();
        assert_eq!(document["plan"]["policy"]["rules"][0]["file"], json!(caps), "{document}");
        let mode = bad.metadata().unwrap().permissions().mode();
        std::fs::set_permissions(bad, Permissions::from_mode(mode | 0o020)).unwrap();
        assert_unusable(&sandbox, &[&format!("`chmod go-w {}`", bad.display())]);
    }
}

#[test]
fn a_policy_in_the_project_is_nothing_but_a_file() {
    let sandbox = project();
    sandbox.write("policy.ncl", "{ providers = [] }").write("lian-build/policy.ncl", "{ providers = [] }");
    let document = plan(&sandbox, &[]).assert_code(0).envelope();
    assert_eq!(document["plan"]["policy"], json!({ "files": [], "rules": [] }));
}

#[test]
fn a_project_cannot_read_what_lies_beside_the_policy() {
    let sandbox = project();
    let policy = sandbox.policy("{}");
    std::fs::write(policy.with_file_name("secret.txt"), "hush").unwrap();
    // What the policy's directory is called where documents are evaluated.
    sandbox.write(".build-spec.ncl", "let x = import \"/__root0__/secret.txt\" as 'Text in { runner_type = x }");
    let finished = plan(&sandbox, &[]);
    let document = finished.assert_code(2).envelope();
    assert!(document["error"]["message"].as_str().unwrap().contains("can only import files inside"), "{document}");
    assert!(!finished.stdout.contains("hush") && !finished.stderr.contains("hush"));
}

#[test]
fn who_may_keep_a_runner_is_the_policys_word() {
    let sandbox = project();
    let ci = ["--actor=ci", "--workspace=x", "--on-failure=keep=30m"];
    let document = plan(&sandbox, &ci).assert_code(2).envelope();
    assert!(document["error"].to_string().contains("`keep_failed` of the policy"), "{document}");
    sandbox.policy("{ keep_failed = ['ci], caps.keep_failed_min = 20 }");
    let document = plan(&sandbox, &ci).assert_code(4).envelope();
    assert_eq!(rules(&document), [("refused".to_owned(), "caps.keep_failed_min".to_owned(), 1)]);
    let document = plan(&sandbox, &["--on-failure=keep=10m"]).assert_code(4).envelope();
    assert_eq!(rules(&document), [("refused".to_owned(), "keep_failed".to_owned(), 1)]);
    // Allowed by the policy, and then a matter of the provider.
    let document = plan(&sandbox, &["--actor=ci", "--workspace=x", "--on-failure=keep=10m"]).assert_code(2).envelope();
    assert!(document["error"].to_string().contains("ends with its build"), "{document}");
}

#[test]
fn credentials_that_nobody_else_binds_come_from_the_policy() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(
        "RUN --mount=type=secret,id=npm-token --mount=type=secret,id=mine \
         grep -qx from-the-operator /run/secrets/npm-token && grep -qx from-a-variable /run/secrets/mine",
    );
    let value = sandbox.path().join("npm");
    std::fs::write(&value, "from-the-operator\n").unwrap();
    let policy = sandbox.policy(&format!(
        "{{\n  secrets = {{\n    npm-token = {{ src = \"{}\", actors = ['agent] }},\n    mine = {{ env = \"NOT_USED\" }},\n  }},\n}}",
        value.display()
    ));
    let secrets = ["--provider=local", "--secret=id=npm-token", "--secret=id=mine"];
    let run = |command: &str, actor: &str| {
        let mut ready = sandbox.command();
        ready.args([command, "context", "--format=json", actor]).args(secrets);
        ready.env("LIAN_SECRET_MINE", "from-a-variable").env("npm-token", "another's");
        sandbox.start(&mut ready).wait()
    };
    let document = run("plan", "--actor=agent").assert_code(0).envelope();
    assert_eq!(rules(&document), [("bound".to_owned(), "secrets.npm-token".to_owned(), 3)]);
    let from = format!("npm-token (file {})", value.display());
    assert_eq!(document["plan"]["reach"]["secrets"], json!([from, "mine (variable LIAN_SECRET_MINE or mine)"]));
    let origins = document["plan"]["origins"].as_array().unwrap();
    let origin = origins.iter().find(|origin| origin["name"] == "secret.npm-token").unwrap();
    assert_eq!((&origin["by"], &origin["from"]), (&json!("policy"), &json!(format!("{}:3", policy.display()))));
    run("build", "--actor=agent").assert_code(0);
    for command in ["plan", "build"] {
        let document = run(command, "--actor=human").assert_code(8).envelope();
        let said = format!("{}:3 (secrets.npm-token): the secret `npm-token` is for 'agent only", policy.display());
        assert!(document["error"]["message"].as_str().unwrap().contains(&said), "{document}");
    }
    assert_eq!(Victim::leases(&sandbox), [""; 0]);
}

#[test]
fn no_more_runners_than_the_policy_allows() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo it-runs && sleep 600");
    let tiers = sandbox.tiers(&[("small", 0.5)]);
    let mut command = sandbox.command();
    command.args(["build", "context", "--provider=local", "--progress=plain", "--tiers"]).arg(&tiers);
    let mut first = sandbox.start(&mut command);
    first.wait_for("it-runs");
    let lease = Victim::of(&sandbox).lease().to_owned();
    sandbox.policy("{ caps.concurrent_leases = 1 }");
    for command in ["plan", "build"] {
        let arguments = [command, "context", "--format=json", "--provider=local", "--tiers", tiers.to_str().unwrap()];
        let document = sandbox.beside(arguments).assert_code(4).envelope();
        assert_eq!(document["error"]["kind"], "over_policy", "{document}");
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("a runner beside 1 ({lease})")), "{message}");
        assert_eq!(Victim::leases(&sandbox), [lease.as_str()], "nothing else was put on record");
    }
    sandbox.policy("{ caps.concurrent_leases = 2 }");
    sandbox.beside(["plan", "context", "--provider=local", "--tiers", tiers.to_str().unwrap()]).assert_code(0);
    first.signal(rustix::process::Signal::TERM);
    first.wait().assert_code(143);
    sandbox.policy("{ caps.concurrent_leases = 1 }");
    sandbox.beside(["plan", "context", "--provider=local", "--tiers", tiers.to_str().unwrap()]).assert_code(0);
}

#[test]
fn runners_are_counted_by_one_build_after_the_other() {
    let sandbox = project();
    sandbox.policy("{ caps.concurrent_leases = 1 }");
    for _ in 0..2 {
        sandbox.build(["--provider=local", "--format=json"]).assert_code(0);
    }
    assert_eq!(Victim::leases(&sandbox), [""; 0]);
}

/// Goes on where `/etc/lian-build/policy.ncl` is the file `$2`, in a namespace of its own.
const WITH_SYSTEM_POLICY: &str = r#"
mkdir "$1/etc" && mkdir -p "$1/etc/lian-build" && chmod 755 "$1/etc/lian-build"
cp -a /etc/passwd /etc/group "$1/etc/" && cp "$2" "$1/etc/lian-build/policy.ncl" && chmod "$3" "$1/etc/lian-build/policy.ncl"
mount --bind "$1/etc" /etc || exit 99
shift 3
exec "$@"
"#;

/// A plan where the system's policy is `text` with this mode.
#[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
fn plan_under(sandbox: &Sandbox, text: &str, mode: &str, arguments: &[&str]) -> Finished {
    let policy = sandbox.path().join("system.ncl");
    std::fs::write(&policy, text).unwrap();
    let _ = std::fs::remove_dir_all(sandbox.path().join("etc"));
    let plain = sandbox.command();
    let mut command = std::process::Command::new("unshare");
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", WITH_SYSTEM_POLICY, "sh"]).arg(sandbox.path()).arg(policy).arg(mode);
    command.arg(plain.get_program()).args(["plan", "context", "--format=json", "--provider=local"]).args(arguments);
    command.current_dir(sandbox.path()).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    sandbox.start(&mut command).wait()
}

#[test]
fn the_systems_policy_and_the_users_both_count() {
    let sandbox = project();
    let user = sandbox.policy("{ caps.time_budget_min = 20, push_to = [\"r.example\"] }");
    let system = "{\n  caps = { runner_type = \"cax21\", time_budget_min = 10 },\n  push_to = [\"r.example/team\", \"q.example\"],\n}";
    let asked = ["--runner-type=cax31", "-t=r.example/app", "-t=q.example/app"];
    let document = plan_under(&sandbox, system, "644", &asked).assert_code(4).envelope();
    let files = json!(["/etc/lian-build/policy.ncl", user]);
    assert_eq!(document["plan"]["policy"]["files"], files);
    assert_eq!(document["plan"]["sizing"]["time_budget_min"], 10, "the shorter one");
    let found: Vec<(String, String)> = document["plan"]["policy"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["effect"] == "refused")
        .map(|rule| (rule["file"].as_str().unwrap().to_owned(), rule["asked"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        (&files[0], "`cax31` (8 cpu, 16 GB)"),
        (&files[0], "a push to `r.example/app`"),
        (&files[1], "a push to `q.example/app`"),
    ];
    assert_eq!(found, expected.map(|(file, asked)| (file.as_str().unwrap().to_owned(), asked.to_owned())));
    // Whoever writes to the system's file is not bound by it.
    let document = plan_under(&sandbox, "{}", "666", &[]).assert_code(2).envelope();
    assert!(document["error"].to_string().contains("`chmod go-w /etc/lian-build/policy.ncl`"), "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_base_image_asks_for_is_denied_by_buildkit_itself() {
    install_tls();
    let registry = DockerRegistry::open().await;
    let name = |path: &str| format!("{}/{path}:1", registry.host());
    let sandbox = Sandbox::new();
    sandbox.write("secretly", "fetched");
    for (image, dockerfile) in [
        ("hidden/files", "FROM scratch\nCOPY secretly /\n".to_owned()),
        ("team/base", format!("FROM scratch\nONBUILD COPY --from={} /secretly /\n", name("hidden/files"))),
    ] {
        sandbox.write("Dockerfile", dockerfile);
        sandbox.build(["-t", &name(image)]).assert_code(0);
    }
    sandbox.write("Dockerfile", format!("FROM {}\n", name("team/base")));
    let dest = sandbox.path().join("out");
    let build = || sandbox.build(["--format=json", "--no-cache", "--pull", "-o", dest.to_str().unwrap()]);

    let pattern = |path: &str| format!("{{ pull_from = [\"{}/{path}\"] }}", registry.host());
    sandbox.policy(&pattern("team"));
    let finished = build();
    let envelope = finished.assert_code(1).envelope();
    let error = &envelope["error"];
    assert!(error["message"].as_str().unwrap().contains("denied by policy"), "{error}");
    assert!(error["message"].as_str().unwrap().contains("hidden/files"), "{error}");
    assert!(finished.stderr.contains("`pull_from` of the operator's policy"), "{}", finished.stderr);
    assert!(!dest.exists());

    sandbox.policy(&format!("{{ pull_from = [\"{0}/team\", \"{0}/hidden/files\"] }}", registry.host()));
    build().assert_code(0);
    assert_eq!(std::fs::read_to_string(dest.join("secretly")).unwrap(), "fetched");
}
