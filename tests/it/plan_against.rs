//! `plan --against`: what is reached newly is told item by item, and the same elsewhere is not.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Finished, Sandbox};

const BASE: [&str; 3] = ["--provider=local", "--workspace=shop", "-t=r.example/shop:abc123"];

fn project(dockerfile: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", dockerfile);
    std::fs::create_dir(sandbox.context().join(".git")).unwrap();
    sandbox
}

fn plan(sandbox: &Sandbox, arguments: &[&str]) -> Finished {
    sandbox.run(["plan", "context", "--format=json"].iter().chain(arguments))
}

/// Writes the plan with these arguments to a file.
fn earlier(sandbox: &Sandbox, arguments: &[&str]) -> PathBuf {
    let path = sandbox.path().join("earlier.json");
    std::fs::write(&path, &plan(sandbox, &[&BASE, arguments].concat()).assert_code(0).stdout).unwrap();
    path
}

fn against(sandbox: &Sandbox, earlier: &std::path::Path, arguments: &[&str]) -> Finished {
    plan(sandbox, &[arguments, &["--against", earlier.to_str().unwrap()]].concat())
}

#[test]
fn the_same_project_elsewhere_under_another_commit_reaches_nothing_new() {
    let dockerfile = "FROM base.example/x:1\n";
    let (here, there) = (project(dockerfile), project("FROM base.example/x:2\n"));
    let output = |sandbox: &Sandbox| format!("-o=type=local,dest={}", sandbox.context().join("out").display());
    let file = earlier(&here, &[&output(&here), "--secret=id=t,env=HOME"]);
    let arguments = ["--provider=local", "--workspace=shop", "-t=r.example/shop:def456", &output(&there)];
    let document = against(&there, &file, &arguments).assert_code(0).envelope();
    assert_eq!(document["against"]["new"], json!([]), "{document}");
    assert_eq!(document["against"]["file"], json!(file));
    assert_eq!(document["against"]["moved_from"], json!(here.context()));
    assert_eq!(document["status"], "succeeded");
    assert_eq!(plan(&here, &BASE).assert_code(0).envelope()["against"], Value::Null);
}

#[test]
fn every_new_thing_is_told_and_decides_the_exit_code() {
    let sandbox = project("FROM base.example/x:1\n");
    let file = earlier(&sandbox, &[]);
    sandbox.write("Dockerfile", "FROM base.example/x:1\nCOPY --from=evil.example/y /y /y\nFROM ${Z%q}\n");
    let secret = sandbox.path().join("key");
    std::fs::write(&secret, "hush").unwrap();
    let secret = format!("--secret=id=key,src={}", secret.display());
    let more =
        ["-t=r.example/other:1", "--network=host", "--runner-type=cax31", "--nats-url=nats://n.example", &secret];
    let finished = against(&sandbox, &file, &[&BASE, &more[..]].concat());
    let document = finished.assert_code(2).envelope();
    let new = document["against"]["new"].as_array().unwrap();
    let kinds: Vec<&str> = new.iter().map(|new| new["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["secret", "push", "pull", "pull_unknown", "nats", "network", "tier"], "{document}");
    assert_eq!(new[1], json!({ "kind": "push", "what": "r.example/other", "before": null }));
    assert_eq!(new[5], json!({ "kind": "network", "what": "host", "before": "default" }));
    assert_eq!((&document["status"], &document["error"]["kind"]), (&json!("refused"), &json!("usage")));
    assert!(!document["plan"].is_null() && !finished.stdout.contains("hush"));
    let arguments: Vec<&str> = [&BASE, &more[..]].concat();
    let text = sandbox.run(["plan", "context", "--against", file.to_str().unwrap()].iter().chain(&arguments));
    let text = text.assert_code(2).stdout.clone();
    assert!(text.contains("pull evil.example/y\n") && text.contains("network host (before: default)"), "{text}");
}

#[test]
fn what_is_fetched_and_every_proxy_are_reach() {
    let sandbox = project("FROM scratch\nADD https://a.example/x /x\n");
    let file = earlier(&sandbox, &["--build-arg=HTTP_PROXY=http://ann:hush@p.example:3128"]);
    let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let reach = &document["plan"]["reach"];
    assert_eq!((&reach["fetches"], &reach["fetches_unknown"]), (&json!(["https://a.example/x"]), &json!([])));
    assert_eq!(reach["proxies"], json!(["HTTP_PROXY (http://p.example:3128)"]));
    let dockerfile = "FROM scratch\nADD https://a.example/x /x\nADD git@b.example:x.git /y\nARG U\nADD $U /z\n";
    sandbox.write("Dockerfile", dockerfile);
    let more =
        [&BASE[..], &["--build-arg=http_proxy=http://q.example", "--build-arg=HTTPS_PROXY=p.example:1"]].concat();
    let document = against(&sandbox, &file, &more).assert_code(2).envelope();
    let new: Vec<String> = document["against"]["new"]
        .as_array()
        .unwrap()
        .iter()
        .map(|new| format!("{} {} {}", new["kind"].as_str().unwrap(), new["what"].as_str().unwrap(), new["before"]))
        .collect();
    let expected = [
        "fetch git@b.example:x.git null",
        "fetch_unknown $U null",
        "proxy HTTPS_PROXY (p.example:1) null",
        "proxy HTTP_PROXY (http://q.example) \"HTTP_PROXY (http://p.example:3128)\"",
    ];
    assert_eq!(new, expected);
    let text = sandbox.run(["plan", "context"].iter().chain(&more)).assert_code(0).stdout.clone();
    for words in ["fetches     git@b.example:x.git", "$U, whatever that is", "proxies     HTTPS_PROXY (p.example:1)"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_directory_is_the_same_however_it_is_written() {
    let sandbox = project("FROM scratch\n");
    sandbox.write("sub/x", "").write("Dockerfile.dev", "FROM scratch\n");
    let file = earlier(&sandbox, &["--file=context/Dockerfile.dev", "--metadata-file=context/m.json"]);
    let mut command = sandbox.command();
    command.current_dir(sandbox.context().join("sub"));
    let same = ["plan", "..", "--file=../Dockerfile.dev", "--metadata-file=../sub/../m.json", "--format=json"];
    command.args(same).args(BASE).args(["--against", file.to_str().unwrap()]);
    let document = sandbox.start(&mut command).wait().assert_code(0).envelope();
    assert_eq!(document["plan"]["reach"]["reads"], json!([sandbox.context()]));
    assert_eq!(document["against"]["new"], json!([]));
    // What only begins like the context is outside of it, and shown; it is no link.
    std::fs::create_dir(sandbox.path().join("s")).unwrap();
    std::fs::write(sandbox.path().join("s/Dockerfile"), "FROM scratch\n").unwrap();
    let mut command = sandbox.command();
    command.current_dir(sandbox.context()).args(["plan", ".", "--file=../s/Dockerfile", "--format=json"]).args(BASE);
    let document = sandbox.start(&mut command).wait().assert_code(0).envelope();
    let reads = json!([sandbox.context(), sandbox.path().join("s/Dockerfile")]);
    assert_eq!(document["plan"]["reach"]["reads"], reads);
}

#[test]
fn what_cannot_be_built_here_can_be_compared_all_the_same() {
    let sandbox = project("FROM scratch\n");
    let file = earlier(&sandbox, &[]);
    for (more, code) in [(&[][..], 0), (&["--network=host"][..], 2)] {
        let mut command = sandbox.command();
        command.args(["plan", "context", "--format=json", "--against", file.to_str().unwrap()]).args(BASE).args(more);
        let finished = sandbox.start(command.env("LIAN_BUILDKIT_DIR", "/nowhere").env("PATH", "/nowhere")).wait();
        let document = finished.assert_code(code).envelope();
        let warnings = document["warnings"].to_string();
        assert!(warnings.contains("it cannot be built here: ") && warnings.contains("buildkitd"), "{document}");
        assert_eq!(document["against"]["new"].as_array().unwrap().len(), more.len(), "{document}");
    }
}

#[test]
fn what_is_no_plan_cannot_be_compared_with() {
    let sandbox = project("FROM scratch\n");
    let file = sandbox.path().join("earlier.json");
    let mut said = Vec::new();
    for content in [None, Some("{}"), Some("{\"schema\":\"lian-build/plan/v2\",\"plan\":{}}")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let document = against(&sandbox, &file, &BASE).assert_code(2).envelope();
        assert_eq!((&document["plan"], &document["against"]), (&Value::Null, &Value::Null));
        said.push(document["error"]["message"].as_str().unwrap().to_owned());
    }
    for (said, word) in said.iter().zip(["cannot be read", "is not a plan's document", "`lian-build/plan/v2`"]) {
        assert!(said.contains(word), "{said}");
    }
    // A plan that the earlier one's tool refused.
    let refused = plan(&sandbox, &["--provider=nobody"]);
    std::fs::write(&file, &refused.assert_code(2).stdout).unwrap();
    let document = against(&sandbox, &file, &BASE).assert_code(2).envelope();
    assert!(document["error"]["message"].as_str().unwrap().contains("holds no plan"), "{document}");
}
