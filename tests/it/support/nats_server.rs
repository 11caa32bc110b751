//! A real `nats-server` on a free loopback port.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use lian_build::error::ErrorKind;
use lian_build::process::Cmd;
use nkeys::KeyPair;
use tempfile::TempDir;
use tokio::process::Child;

use super::{environment, install_tls};

/// Nothing here takes long; what takes longer than this hangs.
pub const HANGS: Duration = Duration::from_secs(30);

/// A running server with three logins: `watcher` may do everything, `builder` and `outsider` are NKey users that may
/// only publish, the builder the events and the outsider something else.
pub struct NatsServer {
    child: Child,
    directory: TempDir,
    port: u16,
    builder: KeyPair,
    outsider: KeyPair,
}

impl NatsServer {
    /// Starts a server and waits until it listens.
    pub async fn start() -> Self {
        install_tls();
        let directory = tempfile::tempdir().unwrap();
        let (builder, outsider) = (KeyPair::new_user(), KeyPair::new_user());
        let config = format!(
            r#"authorization {{ users = [
                {{ user: watcher, password: "w@tch/er" }}
                {{ nkey: {}, permissions: {{ publish: "lian-build.>", subscribe: {{ deny: ">" }} }} }}
                {{ nkey: {}, permissions: {{ publish: "elsewhere.>" }} }}
            ] }}"#,
            builder.public_key(),
            outsider.public_key(),
        );
        std::fs::write(directory.path().join("server.conf"), config).unwrap();
        let (child, port) = launch(directory.path(), None).await;
        Self { child, directory, port, builder, outsider }
    }

    /// The address without a login.
    pub fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The seed of the user that may publish events and nothing else.
    pub fn seed(&self) -> String {
        self.builder.seed().unwrap()
    }

    /// The seed of a user that may not publish events.
    pub fn outsider_seed(&self) -> String {
        self.outsider.seed().unwrap()
    }

    /// The address with the watcher's login, as `NATS_URL` would hold it.
    pub fn watcher_address(&self) -> String {
        format!("nats://watcher:w%40tch%2Fer@127.0.0.1:{}", self.port)
    }

    /// Subscribes to everything; from its return on nothing is missed.
    pub async fn watch(&self) -> Watcher {
        let options = async_nats::ConnectOptions::with_user_and_password("watcher".into(), "w@tch/er".into());
        let client = options.connect(self.address()).await.unwrap();
        let mut subscriber = client.subscribe(">").await.unwrap();
        client.publish("watcher.ready", "".into()).await.unwrap();
        tokio::time::timeout(HANGS, subscriber.next()).await.unwrap().unwrap();
        Watcher { client, subscriber }
    }

    /// Kills the server with SIGKILL and waits for its end.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops the server's process without ending it: its port takes connections and nobody answers. Returns once every
    /// thread of it stands still.
    pub async fn freeze(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
        let stopped = async {
            while !all_threads_are_stopped(pid) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(HANGS, stopped).await.unwrap();
    }

    /// Starts a killed server again, on the same port.
    pub async fn restart(&mut self) {
        (self.child, self.port) = launch(self.directory.path(), Some(self.port)).await;
    }
}

/// Sees every message that the server passes on.
pub struct Watcher {
    client: async_nats::Client,
    subscriber: Subscriber,
}

impl Watcher {
    /// The next message that is not part of a client's own machinery.
    pub async fn next(&mut self) -> async_nats::Message {
        loop {
            let message = tokio::time::timeout(HANGS, self.subscriber.next()).await.unwrap().unwrap();
            if !message.subject.starts_with("_INBOX.") {
                return message;
            }
        }
    }

    /// The ids of all messages that came up to now.
    pub async fn ids_so_far(&mut self) -> Vec<String> {
        self.client.publish("watcher.end", "".into()).await.unwrap();
        let mut ids = Vec::new();
        loop {
            let message = self.next().await;
            if message.subject.as_str() == "watcher.end" {
                return ids;
            }
            ids.push(id(&message));
        }
    }
}

/// The header that NATS recognises repeated messages by.
pub fn id(message: &async_nats::Message) -> String {
    message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().to_string()
}

fn all_threads_are_stopped(pid: i32) -> bool {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().all(|thread| {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    })
}

fn program() -> PathBuf {
    let environment = environment();
    environment
        .path("LIAN_TEST_NATS")
        .or_else(|| environment.find_program("nats-server"))
        .expect("nats-server is missing: run ci/setup, or set LIAN_TEST_NATS")
}

/// Starts the server in `directory`, on a free port or on `port`. It writes where it listens into a file.
async fn launch(directory: &Path, port: Option<u16>) -> (Child, u16) {
    let ports = tempfile::tempdir_in(directory).unwrap();
    let child = Cmd::new(program(), ErrorKind::Network)
        .args(["--addr", "127.0.0.1", "--port", &port.map_or("-1".to_owned(), |port| port.to_string())])
        .arg("--config")
        .arg(directory.join("server.conf"))
        .arg("--ports_file_dir")
        .arg(ports.path())
        .spawn(Stdio::null(), Stdio::null(), Stdio::null())
        .unwrap();
    let file = ports.path().join(format!("nats-server_{}.ports", child.id().unwrap()));
    let read = async {
        loop {
            let text = tokio::fs::read(&file).await.unwrap_or_default();
            let ports: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
            if let Some(address) = ports.as_ref().and_then(|ports| ports["nats"][0].as_str()) {
                return address.rsplit(':').next().unwrap().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let port = tokio::time::timeout(HANGS, read).await.expect("nats-server does not start");
    (child, port)
}
