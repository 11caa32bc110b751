//! Names made from git, in checkouts that another user owns, as CI's containers have them: git answers, nothing of the
//! repository is run, and a repository that only lies above what is built is a stranger's as before.

use std::os::unix::fs::lchown;
use std::path::Path;

use serde_json::Value;

use crate::support::{Finished, Sandbox, commit, git};

/// Somebody else.
const OTHER: u32 = 65_534;

const DIRECTIVES: &str = "{ workspace = \"shop\", cache_policy.actor = 'ci, compute_provider = 'local, artifact.image = \"r.example/shop:${sha}\" }";

fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .write("Dockerfile", "FROM scratch\n")
        .write("ci/directives.ncl", DIRECTIVES)
        .write("sub/Dockerfile", "FROM scratch\n");
    sandbox
}

/// Gives everything below `path` to `owner`.
fn give(path: &Path, owner: u32) {
    lchown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), owner);
        }
    }
}

fn plan(sandbox: &Sandbox) -> Finished {
    let mut command = sandbox.command();
    command.args(["plan", "--directives=ci/directives.ncl", "--format=json"]).current_dir(sandbox.context());
    sandbox.start(&mut command).wait()
}

fn message(document: &Value) -> String {
    format!("{} {}", document["error"]["message"], document["error"]["hints"])
}

#[test]
fn a_checkout_of_another_user_has_its_commit() {
    let sandbox = project();
    let id = commit(&sandbox);
    // All that a configuration can name and git would run for these questions.
    let ran = sandbox.path().join("ran");
    let program = sandbox.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", ran.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    std::fs::write(sandbox.context().join(".git/info/attributes"), "* filter=x\n").unwrap();
    for (setting, value) in [
        ("core.fsmonitor", program),
        ("core.pager", program),
        ("core.sshCommand", program),
        ("filter.x.clean", program),
        ("filter.x.process", program),
        ("core.alternateRefsCommand", program),
        ("diff.external", program),
        ("alias.status", &format!("!{program}")),
        ("alias.rev-parse", &format!("!{program}")),
    ] {
        git(&sandbox, &["config", setting, value]);
    }
    // As long as before and newer, so that git has to look at what is in it.
    sandbox.write("Dockerfile", "FROM scratch\n");
    give(&sandbox.context(), OTHER);
    let document = plan(&sandbox).assert_code(0).envelope();
    let argv = document["plan"]["argv"].to_string();
    assert!(argv.contains(&format!("r.example/shop:{id},")), "{argv}");
    assert!(!ran.exists(), "the repository's configuration named a program, and it was run");
    sandbox.write("Dockerfile", "FROM scratch AS x\n");
    give(&sandbox.context(), OTHER);
    let document = plan(&sandbox).assert_code(2).envelope();
    assert!(message(&document).contains("`Dockerfile` changed since"), "{document}");
    assert!(!ran.exists());
}

#[test]
fn a_repository_above_what_is_built_is_a_strangers() {
    for given in [".git", "all but what is built"] {
        let sandbox = project();
        sandbox.write("ci/directives.ncl", DIRECTIVES.replace("artifact.", "artifact.context = \"sub\", artifact."));
        commit(&sandbox);
        if given == ".git" {
            // The repository is another's, and what is built is ours.
            give(&sandbox.context().join(".git"), OTHER);
        } else {
            // So is the directory that it is in.
            give(&sandbox.context(), OTHER);
            give(&sandbox.context().join("sub"), 0);
        }
        let document = plan(&sandbox).assert_code(2).envelope();
        let said = message(&document);
        assert!(said.contains("dubious ownership") && said.contains("chown -R"), "{given}: {said}");
    }
}

#[test]
fn a_repository_without_a_commit_is_told_what_to_do() {
    let sandbox = project();
    git(&sandbox, &["init", "--quiet"]);
    for placeholder in ["${sha}", "${branch}"] {
        sandbox.write("ci/directives.ncl", DIRECTIVES.replace("${sha}", placeholder));
        let document = plan(&sandbox).assert_code(2).envelope();
        let said = message(&document);
        assert!(said.contains("has no commit yet") && said.contains("git commit"), "{placeholder}: {said}");
    }
}
