//! [`SshdBackend`]: what stands behind a simulated server where nothing is built: a real `sshd` on an address of the loopback,
//! with the host key and the login key that the server's user data bring; without user data it has a host key of its own, which an
//! agent in it would read, and the login keys of its cloud-init. Whoever logs in gets nothing done: it is the tests' own machine.
//! Needs root, for port 22.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use lian_simulators::backend::{Backend, Machine, Seed};
use lian_simulators::error::{Error, Result};

use super::container_guests::HOST_KEY;
use super::lent_address::LentAddress;

/// The addresses of this process: `127.128.0.0/9`, told apart from other test processes by the process's number.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// An address of the loopback that no other server of any test has.
pub(super) fn next_address() -> Ipv4Addr {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 7);
        let process = std::process::id() % (1 << 16);
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 128, 0, 0)) | process << 7 | number);
        // After a hundred servers the first ones may still be there.
        if std::net::TcpListener::bind((address, 22)).is_ok() {
            return address;
        }
    }
}

/// What servers do when they get power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SshdServers {
    /// They answer with the keys that they are given.
    Sound,
    /// They answer with a key of their own, whatever they are given.
    OtherHostKeys,
    /// They switch themselves off again at once.
    EndAtOnce,
}

/// Servers that are one `sshd` each.
#[derive(Debug)]
pub(crate) struct SshdBackend {
    dir: tempfile::TempDir,
    kind: SshdServers,
    /// Whether their addresses are not of the loopback network.
    beyond_loopback: bool,
    servers: Mutex<BTreeMap<String, Server>>,
}

#[derive(Debug)]
struct Server {
    address: Ipv4Addr,
    _lent: Option<LentAddress>,
    dir: PathBuf,
    sshd: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl Server {
    fn end(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            // With the connections that there are: those are processes of their own.
            let group = rustix::process::Pid::from_child(&sshd);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = sshd.wait();
        }
    }
}

impl SshdBackend {
    pub(crate) fn new(kind: SshdServers) -> Self {
        let dir = tempfile::Builder::new().prefix("lian-sshd").tempdir().unwrap();
        Self { dir, kind, beyond_loopback: false, servers: Mutex::default() }
    }

    /// Servers at addresses that others could reach, for who takes no other from a machine's agent.
    pub(crate) fn beyond_loopback() -> Self {
        Self { beyond_loopback: true, ..Self::new(SshdServers::Sound) }
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, Server>> {
        self.servers.lock().unwrap()
    }

    /// Takes a server's power away.
    pub(crate) fn end(&self, id: &str) {
        self.servers().get_mut(id).unwrap().end();
    }

    /// The servers that there are, running or not.
    pub(crate) fn all(&self) -> Vec<String> {
        self.servers().keys().cloned().collect()
    }

    /// What all `sshd` said, those of servers that are gone too.
    pub(crate) fn log(&self) -> String {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        entries.map(|entry| std::fs::read_to_string(entry.unwrap().path().join("log")).unwrap_or_default()).collect()
    }
}

/// The host's private key and the keys that may log in, as the user data have them; without user data there is no host key.
fn keys(seed: &Seed) -> (Option<String>, String) {
    if seed.user_data.is_empty() {
        return (None, seed.ssh_keys.join("\n"));
    }
    let document = seed.user_data.strip_prefix("#cloud-config\n").unwrap();
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    let logins = document["ssh_authorized_keys"].as_array().unwrap();
    let logins: Vec<&str> = logins.iter().map(|key| key.as_str().unwrap()).collect();
    (Some(document["ssh_keys"]["ed25519_private"].as_str().unwrap().to_owned()), logins.join("\n"))
}

#[expect(clippy::disallowed_methods, reason = "what stands behind a simulated server is no process of lian-build's")]
fn start_sshd(server: &Server, seed: &Seed, ignores_user_data: bool) -> Child {
    use std::os::unix::process::CommandExt as _;
    let (host, login) = keys(seed);
    let file = |name: &str| server.dir.join(name);
    match host.filter(|_| !ignores_user_data) {
        Some(host) => write_private(&file("host_key"), &host),
        None if file("host_key").exists() => {}
        None => {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file("host_key")).status();
            assert!(made.unwrap().success());
        }
    }
    write_private(&file("authorized_keys"), &login);
    let config = format!(
        "ListenAddress {}\nPort 22\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PasswordAuthentication no\nLogLevel VERBOSE\nForceCommand /bin/false\n",
        server.address,
        file("host_key").display(),
        file("authorized_keys").display(),
    );
    std::fs::write(file("config"), config).unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    let log = std::fs::File::options().create(true).append(true).open(file("log")).unwrap();
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f"]).arg(file("config")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    sshd.process_group(0).spawn().unwrap()
}

fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[async_trait::async_trait]
impl Backend for SshdBackend {
    async fn create(&self, machine: &Machine) -> Result<Ipv4Addr> {
        let lent = self.beyond_loopback.then(LentAddress::take);
        let address = lent.as_ref().map_or_else(next_address, |lent| lent.0);
        let dir = self.dir.path().join(&machine.id);
        std::fs::create_dir(&dir).unwrap();
        self.servers().insert(machine.id.clone(), Server { address, _lent: lent, dir, sshd: None });
        Ok(address)
    }

    async fn start(&self, id: &str, seed: &Seed) -> Result<()> {
        let mut servers = self.servers();
        let server = servers.get_mut(id).ok_or_else(|| Error::new(format!("there is no server {id}")))?;
        server.end();
        if self.kind != SshdServers::EndAtOnce {
            server.sshd = Some(start_sshd(server, seed, self.kind == SshdServers::OtherHostKeys));
        }
        Ok(())
    }

    async fn stop(&self, id: &str) -> Result<()> {
        self.end(id);
        Ok(())
    }

    async fn is_on(&self, id: &str) -> bool {
        self.servers().get(id).is_some_and(|server| server.sshd.is_some())
    }

    async fn read_file(&self, id: &str, path: &str) -> Option<Vec<u8>> {
        let dir = self.servers().get(id)?.dir.clone();
        if path == HOST_KEY { std::fs::read(dir.join("host_key.pub")).ok() } else { None }
    }

    async fn snapshot(&self, _id: &str, _name: &str) -> Result<()> {
        Ok(())
    }

    async fn forget_snapshot(&self, _name: &str) {}

    async fn destroy(&self, id: &str) -> Result<()> {
        self.servers().remove(id);
        Ok(())
    }

    fn destroy_all(&self) {
        self.servers().clear();
    }
}
