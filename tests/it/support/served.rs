//! [`Served`]: a pool that is the real command, `lian-build serve`, and what a client of it needs.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::memory_pool::PoolClient;
use super::{Dockerd, Running, Sandbox};

/// Of a tier that no machine has: a request that takes less gets all that builds can have of one.
const WHOLE_GB: f64 = 4096.0;

/// The real server in a sandbox, and a client's key pair.
pub(crate) struct Served {
    pub(crate) sandbox: Sandbox,
    pub(crate) token: String,
    public_key: String,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::of(Sandbox::new())
    }

    /// As on a machine of its own, whose memory no other test has.
    pub(crate) fn on_own_machine() -> Self {
        Self::of(Sandbox::on_own_machine())
    }

    #[expect(clippy::disallowed_methods, reason = "a caller makes its key as a user would")]
    fn of(sandbox: Sandbox) -> Self {
        let tokens = sandbox.path().join("tokens.json");
        let made = sandbox.run(["serve", "token", "new", "ci", "--workspace=*", "--tokens", tokens.to_str().unwrap()]);
        made.assert_code(0);
        let key = sandbox.path().join("key");
        let ssh_keygen = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(ssh_keygen.unwrap().success());
        let public_key = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        Self { token: made.stdout.trim().to_owned(), public_key, sandbox }
    }

    /// Starts the server; `failpoint` is where it stands still.
    pub(crate) fn start(&self, provider: &str, failpoint: Option<&str>) -> (Running<'_>, PoolClient) {
        let mut command = self.sandbox.command();
        command.args(["serve", "--listen=127.0.0.1:0", "--tokens=tokens.json", "--provider", provider]);
        command.arg("--tiers").arg(self.sandbox.tiers(&[("tiny", 0.25), ("whole", WHOLE_GB)]));
        command.envs(Dockerd::of_the_tests().environment()).stdout(Stdio::null());
        if let Some(failpoint) = failpoint {
            command.env("LIAN_FAILPOINT", failpoint);
        }
        let mut server = self.sandbox.start(&mut command);
        let said = server.wait_for("listening at ");
        let url = said.split("listening at ").nth(1).unwrap().trim().to_owned();
        (server, PoolClient::new(&url, &self.token))
    }

    /// The leases on the server's own record.
    pub(crate) fn records(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.sandbox.state().join("serve/leases")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
    }

    pub(crate) fn body(&self) -> Value {
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        json!({ "memory_gb": 0.25, "arch": arch, "ssh_public_key": self.public_key, "ttl_s": 1200, "max_ttl_s": 3600 })
    }

    /// A request for all memory that there is.
    pub(crate) fn body_of_whole_machine(&self) -> Value {
        let mut body = self.body();
        body["memory_gb"] = json!(WHOLE_GB);
        body["memory_is_explicit"] = json!(false);
        body
    }

    /// What the runner says when the client gets in with its own key.
    #[expect(clippy::disallowed_methods, reason = "a caller gets in as a user would")]
    pub(crate) fn say(&self, ready: &Value, words: &str) -> String {
        let known = self.sandbox.path().join("known_hosts");
        std::fs::write(&known, format!("lease {}\n", ready["host_key"].as_str().unwrap())).unwrap();
        let output = Command::new("ssh")
            .args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "HostKeyAlias=lease"])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", &format!("UserKnownHostsFile={}", known.display())])
            .arg("-i")
            .arg(self.sandbox.path().join("key"))
            .args(["-p", &ready["port"].to_string(), "-l", "root", ready["host"].as_str().unwrap(), "echo", words])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
