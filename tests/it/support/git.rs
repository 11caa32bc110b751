//! git in a sandbox's context, as its user.

use std::process::Command;

use super::Sandbox;

/// git in the sandbox's context, as its user.
#[expect(clippy::disallowed_methods, reason = "tests start git as a user would")]
pub(crate) fn git(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", sandbox.path().join("home"))
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(sandbox.context())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes the context a repository with everything in one commit; its id.
pub(crate) fn commit(sandbox: &Sandbox) -> String {
    git(sandbox, &["init", "--quiet"]);
    git(sandbox, &["add", "--all"]);
    git(sandbox, &["commit", "--quiet", "--message", "all"]);
    git(sandbox, &["rev-parse", "HEAD"])
}
