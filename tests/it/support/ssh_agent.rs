//! [`SshAgent`]: a real `ssh-agent` with one key, and a build step that asks it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Sandbox;

/// A real `ssh-agent` with one key. It ends with this value.
pub(crate) struct SshAgent {
    dir: TempDir,
    child: Child,
    /// As `ssh-add -l` prints it: `SHA256:…`.
    pub(crate) fingerprint: String,
}

impl SshAgent {
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("lba").tempdir_in("/tmp").unwrap();
        let (socket, key) = (dir.path().join("agent"), dir.path().join("key"));
        let child = tool("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        output(tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        let add = || tool("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
        // It may be about to listen.
        let added = (0..200).any(|_| {
            add().success() || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                false
            }
        });
        assert!(added, "the agent took no key");
        let shown = output(tool("ssh-keygen").arg("-lf").arg(&key));
        let fingerprint = shown.split_whitespace().nth(1).unwrap().to_owned();
        Self { dir, child, fingerprint }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// The file of the key that it holds.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// The step's command that lists the agent's keys. Puts `ssh-add` into the context, with the libraries it needs: the
    /// Dockerfile has to begin with [`SshAgent::COPY`].
    pub(crate) fn list(sandbox: &Sandbox) -> &'static str {
        let program = output(tool("sh").args(["-c", "command -v ssh-add"]));
        let needed = output(tool("ldd").arg(program.trim()));
        for library in needed.split_whitespace().filter(|word| word.starts_with('/')) {
            let name = Path::new(library).file_name().unwrap().to_str().unwrap();
            let name = if name.starts_with("ld-") { "ld.so" } else { name };
            sandbox.write(&format!("agent/{name}"), std::fs::read(library).unwrap());
        }
        sandbox.write("agent/ssh-add", std::fs::read(program.trim()).unwrap());
        "/agent/ld.so --library-path /agent /agent/ssh-add -l"
    }

    /// What the command of [`SshAgent::list`] needs in the image.
    pub(crate) const COPY: &str = "COPY --chmod=755 agent /agent\n";
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "tools that are not ours, as a user would start them")]
fn tool(name: &str) -> Command {
    Command::new(name)
}

fn output(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}
