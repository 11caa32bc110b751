//! [`Guest`]: a whole machine, and how a test looks into it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lian_simulators::backend::{Backend as _, GuestBackend, Machine, Seed};

use crate::support::{environment, variable};

/// The id of a test's only machine.
const ID: &str = "4711";

/// A way into a machine by SSH, as root.
pub(super) struct Door {
    /// Of `ssh`.
    config: PathBuf,
}

/// A whole machine. Its power goes with it.
pub(super) struct Guest {
    backend: GuestBackend,
    door: Door,
    /// Since it has had power.
    started: Instant,
}

/// A pair of keys in these files.
pub(super) fn key_pair(file: &Path) {
    let made =
        command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(file).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[expect(clippy::disallowed_methods, reason = "tests look at a machine as a person would")]
fn command(program: &str) -> Command {
    Command::new(program)
}

impl Door {
    /// Into the machine at this address with the private key in this file, as long as it answers with this key. What `ssh`
    /// needs is written to `dir`.
    pub(super) fn new(dir: &Path, address: Ipv4Addr, identity: &Path, host_key: &str) -> Self {
        let (config, known_hosts) = (dir.join("config"), dir.join("known_hosts"));
        std::fs::write(&known_hosts, format!("{address} {host_key}")).unwrap();
        let text = format!(
            "Host guest\nHostName {address}\nUser root\nIdentityFile {}\nIdentitiesOnly yes\nBatchMode yes\n\
             UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n\
             ConnectTimeout 20\nServerAliveInterval 15\nLogLevel ERROR\n",
            identity.display(),
            known_hosts.display()
        );
        std::fs::write(&config, text).unwrap();
        Self { config }
    }

    /// Runs a shell line in it.
    pub(super) fn ssh(&self, line: &str) -> Output {
        command("ssh").arg("-F").arg(&self.config).args(["guest", line]).output().unwrap()
    }

    /// What a shell line in it says.
    #[track_caller]
    pub(super) fn says(&self, line: &str) -> String {
        let output = self.ssh(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Guest {
    /// Boots a machine with this user data from the image that the variable names. `keys` has the key of its client and the one
    /// that it has to answer with.
    #[expect(clippy::disallowed_methods, reason = "the test's own clock")]
    pub(super) fn boot(image: &str, keys: &Path, user_data: &str) -> Self {
        let backend = GuestBackend::new(variable(image).as_ref()).unwrap();
        let machine = Machine { id: ID.into(), name: "guest".into(), cpus: 2, memory_bytes: 4 << 30, snapshot: None };
        let address = wait(backend.create(&machine)).unwrap();
        let host = std::fs::read_to_string(keys.join("host.pub")).unwrap();
        let door = Door::new(keys, address, &keys.join("client"), &host);
        let seed = Seed { user_data: user_data.to_owned(), ..Seed::default() };
        wait(backend.start(ID, &seed)).unwrap();
        Self { backend, door, started: Instant::now() }
    }

    /// Runs a shell line in it as root.
    pub(super) fn ssh(&self, line: &str) -> Output {
        self.door.ssh(line)
    }

    /// What a shell line in it says.
    #[track_caller]
    pub(super) fn says(&self, line: &str) -> String {
        self.door.says(line)
    }

    /// Waits, bounded by many minutes, until `happened`; yields the seconds since it has had power.
    #[track_caller]
    pub(super) fn wait_until(&self, what: &str, mut happened: impl FnMut() -> bool) -> u64 {
        // Each look costs the machine a second.
        for _ in 0..600 {
            if happened() {
                return self.started.elapsed().as_secs();
            }
            std::thread::sleep(Duration::from_secs(3));
        }
        panic!("waited in vain until {what}: {}", self.backend.consoles());
    }

    /// Whether it has power.
    pub(super) fn is_on(&self) -> bool {
        wait(self.backend.is_on(ID))
    }

    /// What its console showed.
    pub(super) fn console(&self) -> String {
        self.backend.consoles()
    }

    /// What it asked the metadata address for.
    pub(super) fn asked(&self) -> String {
        self.backend.asked(ID)
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Adds a line to the figures that `ci/faults` prints.
pub(super) fn figure(text: &str) {
    if let Some(path) = environment().path("LIAN_TEST_FIGURES") {
        let mut all = std::fs::read_to_string(&path).unwrap_or_default();
        all.push_str(text);
        all.push('\n');
        std::fs::write(path, all).unwrap();
    }
}
