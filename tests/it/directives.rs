//! Directives: what they say is built, flags may add to it and not contradict it, and nothing leads out of the project.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::docker_registry::DockerRegistry;
use crate::support::{Sandbox, commit, git, install_tls};

/// A project with a Dockerfile and these directives.
fn project(directives: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n").write("ci/directives.ncl", directives);
    sandbox
}

/// Directives of a session of `shop`, with more fields.
fn session(more: &str) -> String {
    format!("{{\n  workspace = \"shop\",\n  cache_policy.actor = 'human,\n  {more}\n}}\n")
}

/// Runs a command in the project's own directory, with JSON results.
#[track_caller]
fn run(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)], code: i32) -> Value {
    let mut command = sandbox.command();
    command.args(arguments).arg("--format=json").envs(variables.iter().copied()).current_dir(sandbox.context());
    sandbox.start(&mut command).wait().assert_code(code).envelope()
}

/// Plans with `ci/directives.ncl` and more arguments.
#[track_caller]
fn plan(sandbox: &Sandbox, arguments: &[&str], code: i32) -> Value {
    let head = ["plan", "--directives", "ci/directives.ncl"];
    run(sandbox, &head.iter().chain(arguments).copied().collect::<Vec<_>>(), &[], code)
}

fn message(document: &Value) -> String {
    let hints = document["error"]["hints"].as_array().unwrap().iter();
    let lines = std::iter::once(&document["error"]["message"]).chain(hints);
    lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str], words: &[&str]) {
    let document = plan(sandbox, arguments, 2);
    let said = message(&document);
    for word in words {
        assert!(said.contains(word), "`{word}` is not said: {said}");
    }
}

/// As the design writes them.
const CI: &str = "let D = import \"defaults/build_directives.ncl\" in
D.make_ci_build {
  workspace = \"lian-build\",
  artifact = { image = \"REGISTRY/lian-build:${sha}\" },
  cache_policy = D.ci_cache_policy,
}
";
const SESSION: &str = "let D = import \"defaults/build_directives.ncl\" in
D.make_session_build {
  workspace = \"lian-build\",
  actor_id = \"jpl\",
  disposition = 'discard,
}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_ci_says_is_built_and_pushed_under_its_commit() {
    install_tls();
    let registry = DockerRegistry::open().await;
    let sandbox = project(&CI.replace("REGISTRY", registry.host()));
    let id = commit(&sandbox);
    let envelope = run(&sandbox, &["build", "--directives", "ci/directives.ncl"], &[], 0);
    let name = format!("{}/lian-build:{id}", registry.host());
    assert_eq!(envelope["workspace"], "lian-build");
    assert_eq!(envelope["image"]["references"], json!([name]));
    assert_eq!(envelope["image"]["pushed"], true);
    let url = format!("http://{}/v2/lian-build/manifests/{id}", registry.host());
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let answer = reqwest::Client::new().get(&url).header("Accept", accept).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{url}");

    sandbox.write("new", "not in the commit");
    let document = run(&sandbox, &["build", "--directives", "ci/directives.ncl"], &[], 2);
    let said = message(&document);
    assert!(said.contains("`new`") && said.contains("ci/directives.ncl:4:16"), "{said}");
}

#[test]
fn a_session_without_an_artifact_builds_the_context_and_pushes_nothing() {
    let sandbox = project("{}");
    sandbox.write("dev/session.ncl", SESSION);
    let envelope = run(&sandbox, &["build", "--directives", "dev/session.ncl"], &[], 0);
    assert_eq!(envelope["workspace"], "lian-build");
    assert_eq!(envelope["status"], "succeeded");
    assert_ne!(envelope["image"]["pushed"], true);
    let document = run(&sandbox, &["plan", "--directives", "dev/session.ncl", "--explain"], &[], 0);
    let origin = |name: &str| {
        let origins = document["plan"]["origins"].as_array().unwrap();
        origins.iter().find(|origin| origin["name"] == name).unwrap().clone()
    };
    assert_eq!(origin("actor_id")["value"], "jpl");
    assert_eq!(origin("actor_id")["by"], "directives");
    assert_eq!(origin("actor")["value"], "human");
    assert_eq!(document["plan"]["reach"]["pushes_to"], json!([]));
}

#[test]
fn every_flag_that_contradicts_is_refused_and_both_are_named() {
    let sandbox = project(&session(
        r#"cache_policy.actor_id = "ann",
  artifact = {
    image = "r.example/shop:1",
    push = false,
    context = "ci",
    dockerfile = "Dockerfile",
    target = "last",
    build_args = { A = "1" },
    labels = { "org.example.a" = "1" },
    platform = "linux/riscv64",
    extra_contexts = { lib = "lib" },
    outputs = [{ type = 'tar, dest = "out.tar" }],
    provenance = 'min,
    sbom = false,
    network = 'none,
    pull = false,
    no_cache = false,
  },
  compute_provider = 'docker_local,
  nats_events = { url = "nats://one.example", subject_prefix = "one" },"#,
    ));
    sandbox.write("ci/Dockerfile", "FROM scratch AS last\n").write("lib/file", "").write("other/Dockerfile", "");
    let out = format!("type=oci,dest={}", sandbox.context().join("out.tar").display());
    for (arguments, place) in [
        (&["--workspace", "web"][..], "ci/directives.ncl:2:3"),
        (&["--actor", "agent"], "ci/directives.ncl:3:16"),
        (&["--actor-id", "bob"], "ci/directives.ncl:4:16"),
        (&["-t", "r.example/shop:2"], "ci/directives.ncl:6:5"),
        (&["-t", "r.example/shop:1", "-t", "r.example/shop:2"], "ci/directives.ncl:6:5"),
        (&["--push"], "ci/directives.ncl:7:5"),
        (&["."], "ci/directives.ncl:8:5"),
        (&["--context", "."], "ci/directives.ncl:8:5"),
        (&["-f", "other/Dockerfile"], "ci/directives.ncl:9:5"),
        (&["--target", "first"], "ci/directives.ncl:10:5"),
        (&["--build-arg", "A=2"], "ci/directives.ncl:11:20"),
        (&["--label", "org.example.a=2"], "ci/directives.ncl:12:16"),
        (&["--platform", "linux/arm64"], "ci/directives.ncl:13:5"),
        (&["--build-context", "lib=other"], "ci/directives.ncl:14:24"),
        (&["-o", &out], "ci/directives.ncl:15:16"),
        (&["--provenance=max"], "ci/directives.ncl:16:5"),
        (&["--provenance=false"], "ci/directives.ncl:16:5"),
        (&["--sbom"], "ci/directives.ncl:17:5"),
        (&["--network", "host"], "ci/directives.ncl:18:5"),
        (&["--pull"], "ci/directives.ncl:19:5"),
        (&["--no-cache"], "ci/directives.ncl:20:5"),
        (&["--no-cache-filter", "last"], "ci/directives.ncl:20:5"),
        (&["--provider", "local"], "ci/directives.ncl:22:3"),
        (&["--nats-url", "nats://two.example"], "ci/directives.ncl:23:19"),
        (&["--nats-subject-prefix", "two"], "ci/directives.ncl:23:47"),
    ] {
        let flag = arguments[0].split('=').next().unwrap();
        let flag = match flag {
            "-t" => "--tag",
            "-f" => "--file",
            "-o" => "--output",
            "." => "CONTEXT",
            flag => flag,
        };
        refused(&sandbox, arguments, &[place, &format!("`{flag} "), "contradicts"]);
    }
}

#[test]
fn flags_may_repeat_and_add() {
    let sandbox = project(&session(
        r#"artifact = {
    image = "r.example/shop:1",
    build_args = { A = "1", B = "2" },
    secrets = ["token"],
  }"#,
    ));
    let arguments = ["-t", "r.example/shop:1", "--workspace", "shop", "--build-arg", "B=2", "--build-arg", "C=3"];
    let more = ["--context", ".", "--target", "last", "--secret", "id=token,env=HOME", "--explain"];
    let document = plan(&sandbox, &arguments.iter().chain(&more).copied().collect::<Vec<_>>(), 0);
    let argv = document["plan"]["argv"].to_string();
    for said in ["build-arg:A=1", "build-arg:B=2", "build-arg:C=3", "target=last"] {
        assert!(argv.contains(said), "{said}: {argv}");
    }
    assert_eq!(document["plan"]["reach"]["secrets"], json!(["token (variable HOME)"]));
    let origins = document["plan"]["origins"].as_array().unwrap();
    let from = |name: &str| origins.iter().find(|origin| origin["name"] == name).unwrap()["from"].clone();
    assert_eq!(from("build_arg.A"), "ci/directives.ncl:6:20");
    assert_eq!(from("build_arg.B"), "--build-arg and ci/directives.ncl:6:29");
    assert_eq!(from("build_arg.C"), "--build-arg");
    assert_eq!(from("workspace"), "--workspace and ci/directives.ncl:2:3");
    assert_eq!(from("pull"), "default");
}

#[test]
fn the_environment_loses_and_the_plan_says_so() {
    let sandbox = project(&session("nats_events.subject_prefix = \"ours\","));
    let variables = [("BUILDKIT_WORKSPACE", "Not A Name"), ("NATS_SUBJECT_PREFIX", "theirs")];
    let document = run(&sandbox, &["plan", "--directives", "ci/directives.ncl"], &variables, 0);
    assert_eq!(document["workspace"], "shop");
    let origins = document["plan"]["origins"].as_array().unwrap();
    let origin = |name: &str| origins.iter().find(|origin| origin["name"] == name).unwrap();
    assert_eq!(origin("workspace")["instead_of"], json!(["BUILDKIT_WORKSPACE = Not A Name"]));
    assert_eq!(origin("nats_subject_prefix")["instead_of"], json!(["NATS_SUBJECT_PREFIX = theirs"]));
    assert!(origins.iter().all(|origin| origin["name"] != "pull"), "only --explain shows everything");
}

#[test]
fn a_login_goes_only_to_the_server_it_was_given_for() {
    let url = [("NATS_URL", "nats://ann:hunter2@mine.example"), ("NATS_NKEY_SEED", "SUAHUNTER2")];
    for (said, reached, is_told) in [
        ("nats_events.url = \"nats://mine.example:4222\",", json!("nats://mine.example"), false),
        ("nats_events.url = \"nats://other.example\",", json!("nats://other.example"), true),
        ("nats_events.enabled = false,", Value::Null, false),
        ("nats_events = {},", json!("nats://mine.example"), false),
    ] {
        let sandbox = project(&session(said));
        let document = run(&sandbox, &["plan", "--directives", "ci/directives.ncl"], &url, 0);
        assert_eq!(document["plan"]["reach"]["nats"], reached, "{said}");
        let warnings = document["warnings"].to_string();
        assert_eq!(warnings.contains("without a login"), is_told, "{warnings}");
        assert!(!document.to_string().to_lowercase().contains("hunter2"));
    }
}

#[test]
fn nothing_leads_out_of_the_project() {
    let sandbox = project("");
    std::fs::create_dir(sandbox.path().join("outside")).unwrap();
    std::fs::write(sandbox.path().join("outside/Dockerfile"), "FROM scratch\n").unwrap();
    symlink("../outside", sandbox.context().join("link")).unwrap();
    sandbox.write("sub/file", "").write(".git/hooks/x", "");
    symlink(".git", sandbox.context().join("odd")).unwrap();
    for (said, field) in [
        ("context = \"link\"", "artifact.context"),
        ("context = \"..\"", "artifact.context"),
        ("dockerfile = \"link/Dockerfile\"", "artifact.dockerfile"),
        ("dockerfile = \"../outside/Dockerfile\"", "artifact.dockerfile"),
        ("context = \"sub\", dockerfile = \"../Dockerfile\"", "artifact.dockerfile"),
        ("extra_contexts.x = \"link\"", "artifact.extra_contexts.x"),
        ("extra_contexts.x = \"../outside\"", "artifact.extra_contexts.x"),
        ("extra_contexts.x = \"/etc\"", "artifact.extra_contexts.x"),
        ("extra_contexts.x = \"https://example.org\"", "the named context `x`"),
        ("outputs = [{ type = 'tar, dest = \"link/x.tar\" }]", "artifact.outputs[0].dest"),
        ("outputs = [{ type = 'local, dest = \"odd/hooks\" }]", "artifact.outputs[0].dest"),
        ("outputs = [{ type = 'local, dest = \"sub/../../outside\" }]", "outputs"),
    ] {
        sandbox.write("ci/directives.ncl", session(&format!("artifact = {{ {said} }},")));
        let document = plan(&sandbox, &[], 2);
        let said = message(&document);
        assert!(said.contains("ci/directives.ncl:4:"), "{said}");
        assert!(said.contains(field) || said.contains("not a path in the repository"), "{field}: {said}");
    }
    std::fs::write(sandbox.path().join("outside/x.ncl"), session("")).unwrap();
    sandbox.write("ci/directives.ncl", "import \"../../outside/x.ncl\"");
    refused(&sandbox, &[], &["ci/directives.ncl:1:"]);
}

#[test]
fn one_of_several_is_selected_by_its_name() {
    let one = |name: &str| session(&format!("name = \"{name}\", artifact.target = \"{name}\","));
    let sandbox = project(&format!("[{}, {}]", one("web"), one("api")));
    let argv = plan(&sandbox, &["--select", "api"], 0)["plan"]["argv"].to_string();
    assert!(argv.contains("target=api"), "{argv}");
    refused(&sandbox, &[], &["web, api", "--select"]);
    refused(&sandbox, &["--select", "wep"], &["did you mean `web`?"]);
    refused(&sandbox, &["--select", "api", "--target", "x"], &["`--target x` contradicts ci/directives.ncl:9:"]);
    sandbox.write("ci/directives.ncl", one("web"));
    refused(&sandbox, &["--select", "api"], &["no directives of that name"]);
    let document = run(&sandbox, &["plan", "--select", "api"], &[], 2);
    assert!(message(&document).contains("--directives"), "{document}");
}

#[test]
fn a_secret_is_bound_by_its_own_variable_only() {
    let sandbox = project(&session("artifact.secrets = [\"AWS_KEY\"], artifact.ssh = [\"default\"],"));
    let plan = |variables: &[(&str, &str)], code: i32| {
        let arguments = ["plan", "--directives", "ci/directives.ncl", "--ssh", "default=../agent"];
        run(&sandbox, &arguments, variables, code)
    };
    let _agent = std::os::unix::net::UnixListener::bind(sandbox.path().join("agent")).unwrap();
    let document = plan(&[("AWS_KEY", "theirs")], 8);
    assert!(message(&document).contains("`LIAN_SECRET_AWS_KEY` is not set"), "{document}");
    assert!(!document.to_string().contains("theirs"));
    plan(&[("LIAN_SECRET_AWS_KEY", "meant")], 0);
    let arguments = ["build", "--directives", "ci/directives.ncl"];
    let unbound = [("LIAN_SECRET_AWS_KEY", "meant"), ("SSH_AUTH_SOCK", "agent")];
    let document = run(&sandbox, &arguments, &unbound, 8);
    assert!(message(&document).contains("nobody binds it"), "{document}");
    assert_eq!(document["attempts"], json!([]), "something was leased");
}

#[test]
fn what_is_not_there_yet_is_refused() {
    for kind in ["cargo_chef", "cnb"] {
        let sandbox = project(&session(&format!("artifact.kind = '{kind},")));
        refused(&sandbox, &[], &["not part of this version", "ci/directives.ncl:4:12"]);
    }
    let sandbox = project(&session(""));
    let document = run(&sandbox, &["plan", "--directives", "ci/nowhere.ncl"], &[], 2);
    assert!(message(&document).contains("ci/nowhere.ncl"), "{document}");
}

#[test]
fn names_are_filled_in_from_git() {
    let image = |name: &str| session(&format!("artifact.image = \"r.example/shop:{name}\","));
    let sandbox = project(&image("${short_sha}"));
    let name = |arguments: &[&str]| {
        let document = plan(&sandbox, &[arguments, &["--explain"]].concat(), 0);
        let origins = document["plan"]["origins"].as_array().unwrap().clone();
        let origin = origins.into_iter().find(|origin| origin["name"] == "image").unwrap();
        origin["value"].as_str().unwrap().strip_prefix("r.example/shop:").unwrap().to_owned()
    };
    refused(&sandbox, &[], &["not a git repository", "ci/directives.ncl:4:12"]);
    git(&sandbox, &["init", "--quiet"]);
    refused(&sandbox, &[], &["has no commit yet"]);
    let id = commit(&sandbox);
    assert_eq!(name(&[]), id[..12]);
    sandbox.write("ci/directives.ncl", image("${sha}"));
    assert_eq!(name(&[]), format!("{id}-dirty"), "its own directives are changed");
    git(&sandbox, &["commit", "--quiet", "--all", "--message", "more"]);
    let id = git(&sandbox, &["rev-parse", "HEAD"]);
    assert_eq!(name(&[]), id);
    sandbox.write("new", "");
    assert_eq!(name(&[]), format!("{id}-dirty"), "what git does not know is built too");
    sandbox.write(".gitignore", "/new\n/.gitignore\n");
    assert_eq!(name(&[]), id, "what is ignored does not count");
    // Outside of the context nothing counts.
    sandbox.write("sub/Dockerfile", "FROM scratch\n");
    git(&sandbox, &["add", "sub"]);
    git(&sandbox, &["commit", "--quiet", "--message", "sub"]);
    let id = git(&sandbox, &["rev-parse", "HEAD"]);
    sandbox.write("beside", "");
    assert_eq!(name(&["sub"]), id);
    assert_eq!(name(&["."]), format!("{id}-dirty"));
    sandbox.write("ci/directives.ncl", image("${branch}-${workspace}-${actor_id}"));
    git(&sandbox, &["checkout", "--quiet", "-b", "feature/x"]);
    assert_eq!(name(&[]), "feature-x-shop-tester");
    git(&sandbox, &["checkout", "--quiet", "--detach"]);
    refused(&sandbox, &[], &["not a branch", "${sha}"]);
    sandbox.write("ci/directives.ncl", image("${shaa}"));
    refused(&sandbox, &[], &["did you mean `${sha}`?"]);
}

#[test]
fn git_runs_nothing_that_a_repository_names() {
    let sandbox = project(&session("artifact.image = \"r.example/shop:${sha}\","));
    commit(&sandbox);
    let ran = sandbox.path().join("ran");
    let script = sandbox.path().join("script");
    std::fs::write(&script, format!("#!/bin/sh\n: > {}\n", ran.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    git(&sandbox, &["config", "core.fsmonitor", script.to_str().unwrap()]);
    git(&sandbox, &["config", "core.hooksPath", sandbox.path().to_str().unwrap()]);
    std::fs::copy(&script, sandbox.path().join("post-index-change")).unwrap();
    let index = std::fs::read(sandbox.context().join(".git/index")).unwrap();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /x\n");
    plan(&sandbox, &[], 0);
    assert!(!ran.exists(), "the repository's configuration was followed");
    assert_eq!(std::fs::read(sandbox.context().join(".git/index")).unwrap(), index, "a plan writes nothing");
}

#[test]
fn a_repository_in_a_commit_is_none() {
    let sandbox = project("{}");
    commit(&sandbox);
    // Files as any commit may have them; git takes the directory for a bare repository.
    git(&sandbox, &["clone", "--quiet", "--bare", ".", "own"]);
    std::fs::copy(sandbox.context().join(".git/index"), sandbox.context().join("own/index")).unwrap();
    let image = "artifact = { image = \"r.example/shop:${sha}\", context = \"own\" },";
    sandbox.write("own/Dockerfile", "FROM scratch\n").write("own/directives.ncl", session(image));
    sandbox.write("own/.gitattributes", "* filter=x\n").write(".gitattributes", "* filter=x\n");
    // As long as before, so that only the contents tell: that is what filters are for.
    sandbox.write("own/ci/directives.ncl", "[]");
    let ran = sandbox.path().join("ran");
    let filter = format!("[filter \"x\"]\nclean = \"touch {}; cat\"\n", ran.display());
    let remote = "[remote \"origin\"]\nurl = https://r.example/evil.git\n";
    let plan = |arguments: &[&str]| {
        let mut command = sandbox.command();
        command.args(["plan", "--format=json"]).args(arguments).current_dir(sandbox.context().join("own"));
        sandbox.start(&mut command).wait().assert_code(0).envelope()
    };
    for tree in [".", "..", "/"] {
        sandbox.write(
            "own/config",
            format!("[core]\nrepositoryformatversion = 0\nbare = false\nworktree = {tree}\n{filter}{remote}"),
        );
        let taken = PathBuf::from(git(&sandbox, &["-C", "own", "rev-parse", "--show-toplevel"]));
        assert_eq!(taken, sandbox.context().join("own").join(tree).canonicalize().unwrap(), "git takes the bait");
        let document = plan(&["--directives", "directives.ncl"]);
        assert_eq!(document["plan"]["reach"]["root"], json!(sandbox.context().canonicalize().unwrap()), "{tree}");
        assert!(!ran.exists(), "{tree}: a file of the commit was followed");
        // Nor does it name the project.
        assert!(!plan(&[])["plan"].to_string().contains("evil"), "{tree}");
        assert!(!ran.exists(), "{tree}");
    }
}

#[test]
fn no_content_filter_is_run() {
    let sandbox = project(&session("artifact.image = \"r.example/shop:${sha}\","));
    sandbox.write(".gitattributes", "* filter=x.y\n");
    let id = commit(&sandbox);
    let ran = sandbox.path().join("ran");
    let touch = format!("touch {}; cat", ran.display());
    for setting in ["clean", "smudge", "process"] {
        git(&sandbox, &["config", &format!("filter.x.y.{setting}"), &touch]);
    }
    git(&sandbox, &["config", "filter.x.y.required", "true"]);
    // As long as before, so that only the contents tell.
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile !\n");
    let document = plan(&sandbox, &["--explain"], 0);
    assert!(!ran.exists(), "the repository's filter was run");
    assert!(document["plan"].to_string().contains(&format!("shop:{id}-dirty")), "{document}");
    // A name that could hide another is refused.
    git(&sandbox, &["config", "filter.x=y.clean", &touch]);
    refused(&sandbox, &[], &["`x=y` has an odd name"]);
    assert!(!ran.exists());
}

#[test]
fn what_directives_import_is_read_and_is_never_in_the_repository_itself() {
    let sandbox = project("import \"../lib/shared.ncl\"");
    sandbox.write("lib/shared.ncl", session("artifact.labels.x = import \"note.txt\" as 'Text,"));
    sandbox.write("lib/note.txt", "note").write(".git/config", "token").write("sub/.GIT/config", "token");
    symlink("../.git/config", sandbox.context().join("lib/link.txt")).unwrap();
    let document = plan(&sandbox, &[], 0);
    let reads = document["plan"]["reach"]["reads"].to_string();
    for file in ["ci/directives.ncl", "lib/shared.ncl", "lib/note.txt"] {
        assert!(reads.contains(file), "{file}: {reads}");
    }
    for path in ["../.git/config", "link.txt", "../sub/.GIT/config"] {
        sandbox.write("lib/shared.ncl", session(&format!("artifact.labels.x = import \"{path}\" as 'Text,")));
        refused(&sandbox, &[], &["is in `.git`", "lib/shared.ncl:4:"]);
    }
}

#[test]
fn the_runner_is_overridden_and_the_reason_names_the_place() {
    let sandbox =
        project(&session("runner_override = { cpu = 1, memory_gb = 0.2, time_budget_min = 5, oom_retry = false },"));
    let tiers = sandbox.tiers(&[("tiny", 0.25), ("small", 0.5)]);
    let tiers = tiers.to_str().unwrap();
    sandbox.write(".build-spec.ncl", "{ runner_type = \"small\", time_budget_min = 7 }");
    let document = plan(&sandbox, &["--tiers", tiers, "--explain"], 0);
    let sizing = &document["plan"]["sizing"];
    assert_eq!((&sizing["source"], &sizing["runner_type"]), (&json!("override"), &json!("tiny")));
    assert_eq!(sizing["time_budget_min"], 5.0);
    assert!(sizing["reason"].as_str().unwrap().starts_with("ci/directives.ncl:4:23 asks for 1 cpu"), "{sizing}");
    let origins = document["plan"]["origins"].as_array().unwrap();
    let origin = |name: &str| origins.iter().find(|origin| origin["name"] == name).unwrap();
    assert_eq!(origin("runner_type")["by"], "directives");
    assert_eq!(origin("runner_type")["instead_of"], json!([".build-spec.ncl:1:3 = small"]));
    assert_eq!(origin("time_budget_min")["instead_of"], json!([".build-spec.ncl:1:26 = 7"]));
    assert_eq!(origin("oom_retry")["value"], "false");
    refused(
        &sandbox,
        &["--tiers", tiers, "--runner-type", "tiny"],
        &["`--runner-type tiny` contradicts ci/directives.ncl:4:23"],
    );
    sandbox.write("ci/directives.ncl", session("runner_override.runner_type = \"small\","));
    plan(&sandbox, &["--tiers", tiers, "--runner-type", "small"], 0);
    refused(&sandbox, &["--tiers", tiers, "--runner-type", "tiny"], &["contradicts ci/directives.ncl:4:19"]);
    sandbox.write("ci/directives.ncl", session("runner_override.runner_type = \"smal\","));
    refused(
        &sandbox,
        &["--tiers", tiers],
        &["ci/directives.ncl:4:19 asks for runner_type `smal`", "did you mean `small`"],
    );
}

#[test]
fn directives_may_narrow_what_of_the_caches_is_touched() {
    let sandbox = project(&session("cache_policy.namespaces.read = [\"ci/shop/*\"],"));
    let cache = plan(&sandbox, &[], 0)["plan"]["cache"].clone();
    assert_eq!((&cache["reads"], &cache["writes"]), (&json!(["ci/shop/*"]), &json!(["dev/tester-*"])));
    sandbox.write("ci/directives.ncl", session("cache_policy.disposition = 'discard,"));
    let document = plan(&sandbox, &[], 0);
    assert_eq!(document["plan"]["cache"]["writes"], json!([]));
    assert!(document["plan"]["notes"].to_string().contains("no remote cache"));
    for (field, name) in [("read", "dev/bob-shop/*"), ("write", "ci/shop/*")] {
        let said = format!("cache_policy.namespaces.{field} = [\"{name}\"],");
        sandbox.write("ci/directives.ncl", session(&said));
        refused(
            &sandbox,
            &[],
            &[&format!("`'human` may not {field} the cache `{name}`"), "ci/directives.ncl:4:", "the rule"],
        );
    }
}

/// Everything that `plan --explain` has a line for, whoever set it.
const EXPLAINED: &[&str] = &[
    "actor",
    "actor_id",
    "add_host",
    "build_arg",
    "build_context",
    "build_kind",
    "cache.read",
    "cache.write",
    "cache_keys",
    "candidate",
    "context",
    "cpu",
    "directives",
    "disk_gb",
    "disposition",
    "dockerfile",
    "events_file",
    "iidfile",
    "image",
    "insecure_registry",
    "label",
    "load",
    "memory_gb",
    "metadata_file",
    "nats_subject_prefix",
    "nats_url",
    "network",
    "no_cache",
    "no_cache_filter",
    "on_failure",
    "oom_retry",
    "output",
    "owner",
    "platform",
    "provenance",
    "provider",
    "pull",
    "push",
    "queue_timeout",
    "registry_provider",
    "runner_type",
    "sbom",
    "secret",
    "select",
    "shm_size",
    "ssh",
    "ssh_key",
    "target",
    "tiers",
    "time_budget_min",
    "wait_capacity",
    "workspace",
];

#[test]
fn every_value_is_explained() {
    let sandbox = project("{}");
    let document = run(&sandbox, &["plan", "--explain"], &[], 0);
    let origins = document["plan"]["origins"].as_array().unwrap();
    let mut names: Vec<&str> = origins.iter().map(|origin| origin["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, EXPLAINED);
    assert!(origins.iter().all(|origin| origin["by"] != "flag" && origin["by"] != "directives"));
    let mut command = sandbox.command();
    command.args(["plan", "--explain", "--target", "last"]).current_dir(sandbox.context());
    let text = sandbox.start(&mut command).wait().assert_code(0).stdout.clone();
    let has = |words: &[&str]| text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == words);
    assert!(has(&["NAME", "VALUE", "FROM"]) && has(&["target", "last", "--target"]), "{text}");
    assert!(has(&["pull", "false", "default"]) && !text.contains("set by"), "{text}");
}
