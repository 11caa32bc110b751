//! What stands where a pool says that its runner is: with another host key than the pool named, nobody logs in there.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{FakePool, Finished, HOST_KEY, Sandbox, TOKEN, install_tls, request, wait_until};

/// An `sshd` that lets everybody in, and runs nothing for them.
struct Sshd {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Sshd {
    #[expect(clippy::disallowed_methods, reason = "stands for somebody else's machine")]
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("lb").rand_bytes(6).tempdir_in("/tmp").unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at("key")]).status();
        assert!(made.unwrap().success());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile none\nLogLevel VERBOSE\nStrictModes no\n\
             PermitRootLogin yes\nAuthorizedKeysCommand /bin/echo %t %k\nAuthorizedKeysCommandUser root\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nForceCommand /bin/false\n",
            at("key")
        );
        std::fs::write(dir.path().join("config"), config).unwrap();
        // Where it separates its privileges: a machine without a daemon of its own has no such directory.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", &at("config")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let sshd = Self { dir, port, child };
        wait_until("sshd listens", || sshd.log().contains("Server listening"));
        sshd
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn host_key(&self) -> String {
        std::fs::read_to_string(Path::new(self.dir.path()).join("key.pub")).unwrap().trim().to_owned()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A build with a secret whose runner is there and has this host key, as its pool says.
async fn build(port: u16, host_key: String) -> Finished {
    install_tls();
    let pool = FakePool::with(move |said| {
        said["port"] = json!(port);
        said["host_key"] = json!(host_key);
    })
    .await;
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let platform = format!("linux/{}", request("test", 1.0, jiff::Timestamp::now()).architecture);
    let mut command = sandbox.build_command();
    command.args(["--platform", &platform, "--secret", "id=x"]).env("LIAN_SECRET_X", "the-secret");
    command.env("ORCHESTRATOR_URL", pool.url()).env("ORCHESTRATOR_TOKEN", TOKEN);
    command.env("ORCHESTRATOR_PROVIDER", "docker_local");
    let finished = tokio::task::block_in_place(|| sandbox.start(&mut command).wait());
    assert!(pool.leases().is_empty(), "{:?}", pool.seen());
    finished
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_logs_in_where_the_host_key_is_not_the_one_that_was_named() {
    let sshd = Sshd::start();
    let finished = build(sshd.port, HOST_KEY.to_owned()).await;
    let envelope = finished.assert_code(5).envelope();
    assert!(envelope["error"]["message"].as_str().unwrap().contains("ost key"), "{envelope}");
    let log = sshd.log();
    assert!(log.contains("Connection closed") || log.contains("Connection reset"), "it was never asked: {log}");
    assert!(!log.contains("Accepted") && !log.contains("Postponed"), "somebody logged in: {log}");
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("the-secret"));
    // With its own key it would have let us in: the look above is one that can fail.
    build(sshd.port, sshd.host_key()).await;
    assert!(sshd.log().contains("Accepted publickey"), "{}", sshd.log());
}
