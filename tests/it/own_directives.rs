//! The two invocations of the project's own presentation, as they are written there, and the repository's Dockerfile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lian_build::inputs::nickel::{Contract, Document, Evaluator, Limits};
use serde_json::{Value, json};

use crate::support::{Sandbox, StubImages};

/// `ci/directives.ncl` as the presentation has it, on one line.
const CI: &str = "# ci/directives.ncl let D = import \"defaults/build_directives.ncl\" in D.make_ci_build { \
    workspace = \"lian-build\", artifact = { image = \"registry/lian-build:${sha}\" }, cache_policy = D.ci_cache_policy, }";
/// `dev/session.ncl` as the presentation has it, on one line.
const SESSION: &str = "# dev/session.ncl let D = import \"defaults/build_directives.ncl\" in D.make_session_build { \
    workspace = \"lian-build\", actor_id = \"jpl\", disposition = 'discard, }";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The directives' value by the contract.
async fn evaluate(name: &str) -> Value {
    // Debug builds evaluate many times slower than the program that users get.
    let limits = Limits { cpu_seconds: 60, wall: Duration::from_secs(120), ..Limits::default() };
    let evaluator = Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits);
    let values = evaluator.evaluate(vec![Document::file(&root(), name, "", Contract::Directives)]).await;
    values.unwrap_or_else(|error| panic!("{}", error.message())).remove(0).value
}

#[tokio::test]
async fn they_are_written_as_presented_and_keep_the_contract() {
    for (name, presented) in [("ci/directives.ncl", CI), ("dev/session.ncl", SESSION)] {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), presented, "{name}");
    }
    let ci = evaluate("ci/directives.ncl").await;
    assert_eq!(ci["workspace"], "lian-build");
    assert_eq!(ci["artifact"]["image"], json!(["registry/lian-build:${sha}"]));
    assert_eq!(ci["cache_policy"], json!({ "actor": "ci", "disposition": "export", "namespaces": {} }));
    let session = evaluate("dev/session.ncl").await;
    assert_eq!(session["artifact"]["image"], Value::Null);
    assert_eq!(
        session["cache_policy"],
        json!({ "actor": "human", "actor_id": "jpl", "disposition": "discard", "namespaces": {} })
    );
}

#[test]
fn the_repositorys_dockerfile_builds() {
    let sandbox = Sandbox::new();
    let tar = sandbox.path().join("image.tar");
    let images = StubImages::new(&sandbox).arguments("rust:1-slim-bookworm", "debian:bookworm-slim");
    let mut command = sandbox.command();
    command.arg("build").arg(root()).args(images).arg(format!("--output=type=tar,dest={}", tar.display()));
    let built = sandbox.start(command.args(["--progress=plain", "--workspace=own"])).wait();
    built.assert_code(0);
    for call in [
        "cargo build --release --locked --bin lian-build",
        "apt-get install --yes --no-install-recommends ca-certificates git openssh-client rsync",
    ] {
        assert!(built.stderr.contains(call), "`{call}` was not run: {}", built.stderr);
    }
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    let paths: Vec<PathBuf> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
    for wanted in
        ["usr/local/bin/lian-build", "usr/share/doc/lian-build/licenses", "usr/share/doc/lian-build/LICENSE-MIT"]
    {
        assert!(paths.iter().any(|path| path.starts_with(wanted)), "`{wanted}` is not in the image");
    }
}

/// What the program is made of goes along: a file that is compiled in and ignored would fail the real build.
#[test]
fn what_is_compiled_in_is_sent() {
    let loaded = lian_build::inputs::context::load(&root(), None).unwrap();
    let sent: Vec<&Path> = loaded.context.entries().iter().map(|entry| entry.path.as_path()).collect();
    for wanted in
        ["Cargo.toml", "Cargo.lock", "src/main.rs", "schemas/common.ncl", "defaults/tiers.ncl", "runner/packages"]
    {
        assert!(sent.contains(&Path::new(wanted)), "`{wanted}` is not sent");
    }
    for left in ["target", ".git", "tests"] {
        assert!(!sent.iter().any(|path| path.starts_with(left)), "`{left}` is sent");
    }
}
