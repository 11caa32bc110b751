//! `init`: what it finds, what it writes, and what it leaves alone.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use lian_build::inputs::nickel::{Contract, Document, Evaluator, Limits};
use serde_json::{Value, json};

use crate::support::{Sandbox, SmallDisk, StubImages, assert_follows, commit, git};

const SPEC: &str = ".build-spec.ncl";
const DIRECTIVES: &str = "ci/directives.ncl";

/// Runs `init` on the sandbox's context, and expects `code`.
#[track_caller]
fn init(sandbox: &Sandbox, arguments: &[&str], code: i32) -> Value {
    let arguments = ["init", "context", "--format=json"].iter().chain(arguments);
    let document = sandbox.run(arguments).assert_code(code).envelope();
    assert_follows(&document, "init.v1.json");
    document
}

fn files(document: &Value, action: &str) -> Vec<String> {
    let files = document["files"].as_array().unwrap().iter().filter(|file| file["action"] == action);
    files.map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

/// What was chosen for `name`.
fn choice<'a>(document: &'a Value, name: &str) -> &'a Value {
    let choices = document["choices"].as_array().unwrap();
    &choices.iter().find(|choice| choice["name"] == name).unwrap_or_else(|| panic!("no {name}: {document}"))["value"]
}

/// Everything below a directory with its content, sorted.
fn tree(directory: &Path) -> Vec<(String, Option<String>)> {
    let entries = walkdir::WalkDir::new(directory).sort_by_file_name().into_iter().map(Result::unwrap);
    entries
        .map(|entry| {
            let path = entry.path().strip_prefix(directory).unwrap().display().to_string();
            (path, std::fs::read_to_string(entry.path()).ok())
        })
        .collect()
}

/// The values of the spec and the directives, by our contracts.
async fn evaluate(root: &Path) -> (Value, Value) {
    // Debug builds evaluate many times slower than the program that users get.
    let limits = Limits { cpu_seconds: 60, wall: Duration::from_secs(120), ..Limits::default() };
    let evaluator = Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits);
    let documents = vec![
        Document::file(root, SPEC, "", Contract::BuildSpec),
        Document::file(root, DIRECTIVES, "", Contract::Directives),
    ];
    let values = evaluator.evaluate(documents).await.unwrap_or_else(|error| panic!("{}", error.message()));
    (values[0].value.clone(), values[1].value.clone())
}

/// A sandbox whose context is a git repository with this remote.
fn repository(remote: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    git(&sandbox, &["init", "--quiet"]);
    git(&sandbox, &["remote", "add", "origin", remote]);
    sandbox
}

/// Checks the project in the context's directory and builds by the directives in `file`, as the next steps say.
#[track_caller]
fn check_and_build(sandbox: &Sandbox, file: &str, arguments: &[String]) -> Value {
    let mut command = sandbox.command();
    let project = Path::new(file).ancestors().nth(2).unwrap();
    command.args(["check", "--format=json", "."]).current_dir(sandbox.context().join(project));
    let checked = sandbox.start(&mut command).wait().assert_code(0).envelope();
    assert_eq!(checked["files"].as_array().unwrap().len(), 2, "{checked}");
    let mut command = sandbox.command();
    command.args(["build", "--directives", file, "--push=false", "--format=json"]).args(arguments);
    sandbox.start(command.current_dir(sandbox.context())).wait().assert_code(0).envelope()
}

#[tokio::test]
async fn every_kind_of_project_is_told_and_gets_files_that_our_contracts_take() {
    for (project, kind, written, missing) in [
        (&[("Dockerfile", "FROM scratch\n")][..], "other", [SPEC, DIRECTIVES].as_slice(), 0),
        (&[], "other", &[SPEC, DIRECTIVES], 1),
        (&[("go.mod", "module shop\n")], "go", &[SPEC, DIRECTIVES], 1),
        (&[("package.json", "{}"), ("docker/Dockerfile", "FROM scratch\n")], "node", &[SPEC, DIRECTIVES], 0),
        (&[("pom.xml", "<project/>")], "maven", &[SPEC, DIRECTIVES], 1),
        (&[("build.gradle.kts", "")], "gradle", &[SPEC, DIRECTIVES], 1),
        (&[("Cargo.toml", "[package]\nname = \"a\""), ("src/lib.rs", "")], "rust_library", &[SPEC, DIRECTIVES], 1),
        (
            &[("Cargo.toml", "[package]\nname = \"a\""), ("src/main.rs", ""), (".dockerignore", "x")],
            "rust_package",
            &[SPEC, "Dockerfile", DIRECTIVES],
            0,
        ),
        (
            &[
                ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]"),
                ("crates/one/Cargo.toml", "[package]\nname = \"one\""),
                ("crates/one/src/main.rs", ""),
                ("crates/context/Cargo.toml", "[package]\nname = \"context\""),
                ("crates/context/src/main.rs", ""),
            ],
            "rust_workspace",
            &[SPEC, ".dockerignore", "Dockerfile", DIRECTIVES],
            0,
        ),
    ] {
        let sandbox = Sandbox::new();
        for (name, text) in project {
            sandbox.write(name, text);
        }
        let document = init(&sandbox, &[], 0);
        assert_eq!(document["project"]["kind"], kind);
        assert_eq!(document["workspace"], "context");
        assert_eq!(files(&document, "written"), written, "{kind}");
        assert_eq!(document["missing"].as_array().unwrap().len(), missing, "{document}");
        let (spec, directives) = evaluate(&sandbox.context()).await;
        assert_eq!(spec["schema_version"], 1);
        assert_eq!(directives["workspace"], "context");
        assert_eq!(directives["cache_policy"]["actor"], "ci");
        assert_eq!(directives["artifact"]["image"], Value::Null, "{kind}");
        let dockerfile = if kind == "node" { json!("docker/Dockerfile") } else { Value::Null };
        assert_eq!(directives["artifact"]["dockerfile"], dockerfile);
        if kind == "rust_workspace" {
            assert_eq!(choice(&document, "program"), "context", "it is named like the project");
        }
    }
}

#[tokio::test]
async fn a_remote_names_project_and_image() {
    let sandbox = repository("git@github.com:Acme/Web-Shop.git");
    sandbox.write("Dockerfile", "FROM scratch\n");
    let document = init(&sandbox, &[], 0);
    assert_eq!(document["workspace"], "web-shop");
    assert_eq!(choice(&document, "image"), "ghcr.io/acme/web-shop:${sha}");
    let (_, directives) = evaluate(&sandbox.context()).await;
    assert_eq!(directives["artifact"]["image"], json!(["ghcr.io/acme/web-shop:${sha}"]));
    assert_eq!(document["next"][0], "cd context");
    assert!(document["next"][1].as_str().unwrap().starts_with("commit"), "{document}");
}

#[test]
fn what_was_written_builds_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write("docker/Dockerfile", "FROM scratch\nCOPY main.py /\n").write("main.py", "").write("setup.py", "");
    init(&sandbox, &[], 0);
    assert_eq!(check_and_build(&sandbox, DIRECTIVES, &[])["workspace"], "context");

    let sandbox = Sandbox::new();
    sandbox.write("Cargo.toml", "[package]\nname = \"tool\"").write("src/main.rs", "");
    init(&sandbox, &[], 0);
    let images = StubImages::new(&sandbox).arguments("rust:1-slim-bookworm", "debian:bookworm-slim");
    assert_eq!(check_and_build(&sandbox, DIRECTIVES, &images)["status"], "succeeded");

    let sandbox = repository("git@github.com:acme/shop.git");
    sandbox.write("services/api/Dockerfile", "FROM scratch\nCOPY api /\n").write("services/api/api", "");
    sandbox.run(["init", "context/services/api"]).assert_code(0);
    let commit = commit(&sandbox);
    let envelope = check_and_build(&sandbox, "services/api/ci/directives.ncl", &[]);
    assert_eq!(envelope["image"]["references"], json!([format!("ghcr.io/acme/shop:{commit}")]));
    assert_eq!(envelope["image"]["pushed"], false);
}

#[test]
fn a_project_below_its_repositorys_root_is_named_by_its_path() {
    let sandbox = repository("https://git.example.org/team/shop");
    sandbox.write("services/api/go.mod", "module api\n");
    let document = sandbox.run(["init", "context/services/api", "--format=json"]).assert_code(0).envelope();
    assert_eq!(files(&document, "written"), [SPEC, DIRECTIVES]);
    let text = std::fs::read_to_string(sandbox.context().join("services/api/ci/directives.ncl")).unwrap();
    assert!(text.contains("context = \"services/api\","), "{text}");
}

#[test]
fn a_second_run_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("Cargo.toml", "[package]\nname = \"a\"").write("src/main.rs", "");
    let written = files(&init(&sandbox, &[], 0), "written");
    let before = tree(&sandbox.context());
    let again = init(&sandbox, &[], 0);
    assert_eq!(tree(&sandbox.context()), before);
    // The Dockerfile is there already, so it is not one that `init` has to write.
    let kept: Vec<String> = written.into_iter().filter(|name| name == SPEC || name == DIRECTIVES).collect();
    assert_eq!(files(&again, "left"), kept);
    assert_eq!(files(&again, "written"), [""; 0]);
    let why = again["choices"].as_array().unwrap().iter().find(|choice| choice["name"] == "image").unwrap();
    assert_eq!(why["reason"], "`ci/directives.ncl` is there already, and says it");
}

#[test]
fn what_is_there_is_left_and_no_link_is_followed() {
    let sandbox = Sandbox::new();
    let other = sandbox.path().join("other");
    std::fs::create_dir(&other).unwrap();
    sandbox.write(DIRECTIVES, "mine").write("Cargo.toml", "[package]\nname = \"a\"").write("src/main.rs", "");
    symlink(other.join("spec"), sandbox.context().join(SPEC)).unwrap();
    symlink(other.join("ignore"), sandbox.context().join(".dockerignore")).unwrap();
    let document = init(&sandbox, &[], 0);
    assert_eq!(files(&document, "left"), [SPEC, ".dockerignore", DIRECTIVES]);
    assert_eq!(files(&document, "written"), ["Dockerfile"]);
    assert_eq!(std::fs::read_to_string(sandbox.context().join(DIRECTIVES)).unwrap(), "mine");
    assert_eq!(tree(&other).len(), 1, "something was written through a link");

    std::fs::remove_dir_all(sandbox.context().join("ci")).unwrap();
    symlink(&other, sandbox.context().join("ci")).unwrap();
    let refused = init(&sandbox, &[], 2);
    assert!(refused["error"]["message"].as_str().unwrap().contains("is no directory of its own"), "{refused}");
    assert_eq!(tree(&other).len(), 1, "something was written through a link");
}

#[test]
fn a_dry_run_writes_nothing_and_shows_everything() {
    let sandbox = Sandbox::new();
    sandbox.write("Cargo.toml", "[package]\nname = \"a\"").write("src/main.rs", "");
    let before = tree(&sandbox.context());
    let document = init(&sandbox, &["--dry-run"], 0);
    assert_eq!(tree(&sandbox.context()), before);
    assert_eq!(files(&document, "would_write"), [SPEC, ".dockerignore", "Dockerfile", DIRECTIVES]);
    let shown: Vec<Value> = document["files"].as_array().unwrap().iter().map(|file| file["text"].clone()).collect();
    init(&sandbox, &[], 0);
    for (name, text) in [SPEC, ".dockerignore", "Dockerfile", DIRECTIVES].iter().zip(shown) {
        assert_eq!(Value::from(std::fs::read_to_string(sandbox.context().join(name)).unwrap()), text);
    }
    let text = sandbox.run(["init", "context", "--dry-run"]).assert_code(0).stdout.clone();
    assert!(text.contains("left Dockerfile") || text.contains("dockerfile  Dockerfile: it is there already"), "{text}");
}

#[test]
fn a_directory_that_cannot_be_used_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    for directory in ["none", "context/file"] {
        let refused = sandbox.run(["init", directory, "--format=json"]).assert_code(2).envelope();
        assert_follows(&refused, "init.v1.json");
        assert!(refused["error"]["message"].as_str().unwrap().contains(directory), "{refused}");
    }
    let odd = sandbox.path().join("---");
    std::fs::create_dir(&odd).unwrap();
    let refused = sandbox.run(["init", "./---", "--format=json"]).assert_code(2).envelope();
    assert!(refused["error"]["hints"][0].as_str().unwrap().contains("--workspace NAME"), "{refused}");
    let named = sandbox.run(["init", "./---", "--workspace=odd", "--format=json"]).assert_code(0).envelope();
    assert_eq!(named["workspace"], "odd");
    sandbox.write("Cargo.toml", "[package\nname");
    let refused = init(&sandbox, &[], 2);
    assert!(refused["error"]["message"].as_str().unwrap().contains("`Cargo.toml` is no Cargo manifest"), "{refused}");
    let refused = sandbox.run(["init", "--bogus", "--format=json"]).assert_code(2).envelope();
    assert_eq!(refused["schema"], "lian-build/init/v1");
}

#[test]
fn a_disk_that_cannot_be_written_or_is_full_gets_no_half_file() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox.context(), "4k");
    // The check for leftovers would find the mount.
    let init = |arguments: &[&str], code| {
        let arguments = ["init", "context", "--format=json"].iter().chain(arguments);
        sandbox.beside(arguments).assert_code(code).envelope()
    };
    let full = init(&[], 5);
    assert_eq!(files(&full, "written"), [SPEC], "one page fits");
    assert_eq!(tree(&sandbox.context()).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["", SPEC, "ci"]);

    let read_only = rustix::mount::MountFlags::RDONLY;
    std::fs::remove_file(sandbox.context().join(SPEC)).unwrap();
    rustix::mount::mount_remount(sandbox.context(), read_only, c"").unwrap();
    let refused = init(&[], 2);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("context/.build-spec.ncl` cannot be written"), "{message}");
    init(&["--dry-run"], 0);
    drop(disk);
}

#[test]
fn the_dockerfile_of_a_workspace_builds_each_program() {
    let sandbox = Sandbox::new();
    sandbox.write("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]").write("Cargo.lock", "version = 4\n");
    for name in ["shop", "worker"] {
        sandbox.write(&format!("crates/{name}/Cargo.toml"), format!("[package]\nname = \"{name}\"\n"));
        sandbox.write(&format!("crates/{name}/src/main.rs"), "");
    }
    init(&sandbox, &[], 0);
    let images = StubImages::new(&sandbox).arguments("rust:1-slim-bookworm", "debian:bookworm-slim");
    for (name, target) in [("shop", &[][..]), ("worker", &["--target=worker"])] {
        let tar = sandbox.path().join(format!("{name}.tar"));
        let output = format!("--output=type=tar,dest={}", tar.display());
        let built = sandbox.build(
            images
                .iter()
                .map(String::as_str)
                .chain([output.as_str(), "--progress=plain"])
                .chain(target.iter().copied()),
        );
        built.assert_code(0);
        let called = "cargo build --release --locked --workspace --bin shop --bin worker";
        assert!(name == "worker" || built.stderr.contains(called), "{}", built.stderr);
        let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
        let paths: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .filter(|path| path.starts_with("usr/local/bin/") && !path.ends_with('/'))
            .collect();
        assert_eq!(paths, [format!("usr/local/bin/{name}")]);
    }
}
