//! [`Runner`]: the process tree of one lease, in PID and mount namespaces of its own.
//!
//! Its first process ends when our end of a pipe is closed, by us or by our own end, and the kernel then takes
//! everything else: leak-proof by construction, also after SIGKILL. It must never share the pipe with another process.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdin};

use super::keys;
use super::lease_dirs::LeaseDirs;
use super::tools::{Launcher, Tools};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::process::Cmd;

const INIT: &str = include_str!("runner.sh");

/// Joins the cgroups named before `--`, then becomes the rest.
const JOIN: &str = r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 97; shift; done; shift; exec "$@""#;

/// The secrets' tmpfs: room for a good hundred secrets of BuildKit's largest size.
const SECRETS_SIZE: &str = "64m";

/// How often another port is tried.
const PORT_ATTEMPTS: u32 = 20;

/// How long `sshd` may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How often the files that say so are looked at.
const POLL: Duration = Duration::from_millis(3);

/// How long the processes of a runner may take to end once the pipe is closed.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The process tree of one lease.
#[derive(Debug)]
pub(super) struct Runner {
    child: Child,
    /// Closed to end the runner.
    hold: Option<ChildStdin>,
    /// Where its `sshd` listens.
    pub(super) port: u16,
}

impl Runner {
    /// Starts the namespaces and `sshd` in them, and returns once it listens. `cgroups` are joined first. The runner is
    /// in `slot` as soon as it exists, so that nothing is lost when this future is dropped.
    pub(super) async fn start(
        tools: &Tools,
        dirs: &LeaseDirs,
        cgroups: &[PathBuf],
        slot: &mut Option<Self>,
    ) -> Result<()> {
        for _ in 0..PORT_ATTEMPTS {
            let port = free_port()?;
            keys::write_sshd_files(dirs, port).await?;
            *slot = Some(Self::spawn(tools, dirs, cgroups, port)?);
            let Some(runner) = slot.as_mut() else { break };
            if runner.listens(dirs).await? {
                return Ok(());
            }
            // Somebody took the port in between.
            runner.end().await?;
            *slot = None;
            for name in ["sshd.exit", "sshd.log"] {
                let _ = tokio::fs::remove_file(dirs.sshd().join(name)).await;
            }
        }
        Err(Error::new(ErrorKind::Provider, format!("no free port for sshd after {PORT_ATTEMPTS} attempts")))
    }

    fn spawn(tools: &Tools, dirs: &LeaseDirs, cgroups: &[PathBuf], port: u16) -> Result<Self> {
        let init = dirs.runtime.join("runner.sh");
        std::fs::write(&init, INIT).context(ErrorKind::State, || format!("cannot write `{}`", init.display()))?;
        let log = dirs.runtime.join("runner.log");
        let log =
            std::fs::File::create(&log).context(ErrorKind::State, || format!("cannot write `{}`", log.display()))?;
        let command =
            Cmd::new("/bin/sh", ErrorKind::Provider).plain_env().args(["-c", JOIN, "join"]).args(cgroups).arg("--");
        let (command, mode) = match &tools.launcher {
            Launcher::Unshare(unshare) => (
                command.arg(unshare).args([
                    "--pid",
                    "--mount",
                    "--fork",
                    "--kill-child",
                    "--mount-proc",
                    "--propagation",
                    "private",
                    "--",
                ]),
                "root",
            ),
            Launcher::Rootlesskit(rootlesskit) => (
                command
                    .arg(rootlesskit)
                    .arg(format!("--state-dir={}", dirs.runtime.join("rootlesskit").display()))
                    .args(["--net=host", "--pidns", "--copy-up=/run", "--propagation=rprivate"]),
                "rootless",
            ),
        };
        let mut child =
            command.arg("/bin/sh").arg(&init).arg(&dirs.runtime).arg(&tools.sshd).args([mode, SECRETS_SIZE]).spawn(
                Stdio::piped(),
                Stdio::null(),
                Stdio::from(log),
            )?;
        let hold = child.stdin.take();
        Ok(Self { child, hold, port })
    }

    /// True once `sshd` listens, false when its port was taken.
    async fn listens(&mut self, dirs: &LeaseDirs) -> Result<bool> {
        let (pid_file, exit_file) = (dirs.sshd().join("sshd.pid"), dirs.sshd().join("sshd.exit"));
        let watch = async {
            loop {
                if pid_file.exists() {
                    return Ok(true);
                }
                let ended = self
                    .child
                    .try_wait()
                    .context(ErrorKind::Provider, || "cannot watch the runner's processes".to_owned())?
                    .is_some();
                if ended || exit_file.exists() {
                    let log = last_words(dirs).await;
                    if !ended && log.contains("Address already in use") {
                        return Ok(false);
                    }
                    return Err(not_started(&log));
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(START_LIMIT, watch).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Provider,
                format!("sshd did not listen within {} s: {}", START_LIMIT.as_secs(), last_words(dirs).await),
            )),
        }
    }

    /// False once its first process has ended, and with it all the others.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends every process of the runner. `unshare` ends after all of them: a PID namespace is waited for as a whole.
    pub(super) async fn end(&mut self) -> Result<()> {
        self.hold = None;
        if tokio::time::timeout(END_LIMIT, self.child.wait()).await.is_ok() {
            return Ok(());
        }
        let _ = self.child.start_kill();
        match tokio::time::timeout(END_LIMIT, self.child.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::ReleaseUnconfirmed,
                format!("the runner's first process {:?} does not end", self.child.id()),
            )),
        }
    }
}

/// Without namespaces there is no runner: nothing weaker is taken silently.
fn not_started(log: &str) -> Error {
    let message = format!("the runner did not start: {log}");
    if log.contains("Operation not permitted") || log.contains("Permission denied") {
        return Error::new(ErrorKind::NoCapacity, message)
            .hint("a local runner needs PID and mount namespaces: in a container, give it CAP_SYS_ADMIN")
            .hint("or choose another provider");
    }
    Error::new(ErrorKind::Provider, message)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .context(ErrorKind::Provider, || "there is no free loopback port".to_owned())
}

/// What `sshd` and the first process wrote.
async fn last_words(dirs: &LeaseDirs) -> String {
    let mut text = String::new();
    for file in [dirs.runtime.join("runner.log"), dirs.sshd().join("sshd.log")] {
        let bytes = tokio::fs::read(&file).await.unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    let text = text.trim();
    if text.is_empty() { "it said nothing".to_owned() } else { crate::sanitise::lines(text) }
}
