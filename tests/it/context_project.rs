//! What the context says of the project: its language, its repository, its name.

use std::path::Path;

use lian_build::env_vars::Environment;
use lian_build::inputs::context::load_named;
use lian_build::inputs::git::Git;
use lian_build::inputs::language::{Detected, detect};
use lian_build::inputs::workspace::default_name;
use tempfile::TempDir;

fn directory_of(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

fn detected(files: &[(&str, &str)]) -> Detected {
    detect(&load_named(directory_of(files).path()).unwrap())
}

#[test]
fn each_language_is_told_by_its_project_file() {
    for (file, language) in [
        ("Cargo.toml", "rust"),
        ("go.mod", "go"),
        ("pom.xml", "java"),
        ("build.gradle", "java"),
        ("build.gradle.kts", "kotlin"),
        ("build.sbt", "scala"),
        ("package.json", "node"),
        ("pyproject.toml", "python"),
        ("requirements.txt", "python"),
    ] {
        let found = detected(&[("Dockerfile", ""), (file, "")]);
        assert_eq!((found.language.as_str(), found.evidence), (language, format!("`{file}`")));
    }
}

#[test]
fn of_several_the_most_demanding_counts_and_all_are_named() {
    let found = detected(&[("package.json", "{}"), ("Cargo.toml", ""), ("go.mod", "")]);
    assert_eq!(found.language, "rust");
    assert_eq!(found.evidence, "`Cargo.toml`; also `go.mod` (go), `package.json` (node), which need less");
}

#[test]
fn without_a_project_file_or_with_an_ignored_one_it_is_other() {
    let nothing = Detected { language: "other".to_owned(), evidence: "no known project file".to_owned() };
    assert_eq!(detected(&[("Dockerfile", "FROM rust")]), nothing);
    assert_eq!(detected(&[("Cargo.toml", "[package]"), (".dockerignore", "*.toml")]), nothing);
}

/// Runs git for a test's own repository, with nothing of this machine's configuration.
#[expect(clippy::disallowed_methods, reason = "a test prepares its repository")]
fn git(directory: &Path, args: &[&str]) {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with one commit.
fn repository(remote: Option<&str>) -> TempDir {
    let directory = directory_of(&[("file", "content")]);
    git(directory.path(), &["init", "-q"]);
    git(directory.path(), &["add", "."]);
    git(directory.path(), &["commit", "-q", "-m", "first"]);
    if let Some(remote) = remote {
        git(directory.path(), &["remote", "add", "origin", remote]);
    }
    directory
}

#[tokio::test]
async fn the_remote_names_the_workspace_and_else_the_directory_does() {
    let environment = Environment::from_process();
    let with_remote = repository(Some("https://ci:token@example.org/group/Some_Tool.git"));
    let (workspace, how) = default_name(&environment, with_remote.path()).await.unwrap();
    assert_eq!(workspace.as_str(), "some_tool");
    assert_eq!(how, "from the git remote `https://example.org/group/Some_Tool.git`");

    let parent = tempfile::tempdir().unwrap();
    let plain = parent.path().join("My App");
    std::fs::create_dir(&plain).unwrap();
    let (workspace, how) = default_name(&environment, &plain).await.unwrap();
    assert_eq!((workspace.as_str(), how.as_str()), ("my-app", "from the directory's name `My App`"));

    let unnameable = parent.path().join("---");
    std::fs::create_dir(&unnameable).unwrap();
    let error = default_name(&environment, &unnameable).await.unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("--workspace")));
}

#[tokio::test]
async fn no_repository_or_no_git_is_nothing_to_know() {
    let directory = tempfile::tempdir().unwrap();
    let git = Git::find(&Environment::from_process(), directory.path()).unwrap();
    assert_eq!(git.remote_url().await, None);
    let without_remote = repository(None);
    let git = Git::find(&Environment::from_process(), without_remote.path()).unwrap();
    assert_eq!(git.remote_url().await, None);
    let without_git = Environment::from_pairs([("PATH", directory.path().as_os_str())]);
    assert!(Git::find(&without_git, directory.path()).is_none());
}
