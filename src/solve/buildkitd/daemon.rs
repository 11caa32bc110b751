//! Starting the daemon, and finding out whether it lives.

use super::config::{BuildkitConfig, render};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{CgroupVersion, Endpoint, MemoryLimit};
use crate::remote::Session;

const START: &str = include_str!("start.sh");

/// How long the daemon may take until it answers, in seconds.
const START_LIMIT: u32 = 30;

/// Prints the exit code or `running` or `gone`, then the log's last bytes. `$1` is the run directory.
///
/// Between the daemon's end and its supervisor's word on it there is a moment: a second is waited for that word.
const DIAGNOSE: &str = r#"cd -- "$1" || exit 1
tries=0
while [ ! -e buildkitd.exit ] && [ -e buildkitd.pid ] && ! kill -0 "$(cat buildkitd.pid)" 2>/dev/null && [ "$tries" -lt 50 ]; do
    tries=$((tries + 1))
    sleep 0.02 2>/dev/null || sleep 1
done
if [ -e buildkitd.exit ]; then cat buildkitd.exit
elif [ -e buildkitd.pid ] && kill -0 "$(cat buildkitd.pid)" 2>/dev/null; then echo running
else echo gone; fi
tail -c 16384 buildkitd.log 2>/dev/null || true"#;

/// What became of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonState {
    /// It runs.
    Running,
    /// It ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended it: 9 is the kernel's for memory, or somebody's.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It was never started, or its supervisor died with it.
    Gone,
}

/// What became of the daemon, with its own last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What became of it.
    pub state: DaemonState,
    /// The last lines of its log, safe to show.
    pub log_tail: String,
}

/// A daemon that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// What `buildctl --addr` is given, on the runner.
    pub address: String,
    /// What `buildctl debug workers` said: JSON.
    pub workers: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What `buildctl --addr` is given, on the runner.
pub fn address(endpoint: &Endpoint) -> String {
    format!("unix://{}", socket(endpoint))
}

fn socket(endpoint: &Endpoint) -> String {
    format!("{}/buildkitd.sock", endpoint.paths.run)
}

/// Starts the daemon and returns once it answers. It lives until the lease ends, also when this connection is lost. Safe to
/// repeat when it is not known what became of an earlier call.
///
/// # Errors
/// [`ErrorKind::Runner`] with the daemon's last words when it ends or does not answer within 30 seconds;
/// [`ErrorKind::State`] when its disk is full.
pub async fn start(session: &Session, endpoint: &Endpoint, config: &BuildkitConfig) -> Result<Started> {
    let runtime = format!("{}/runc", endpoint.paths.bin);
    let rendered = render(endpoint, config, &runtime);
    let mut files = rendered.files;
    files.push(("buildkitd.toml".to_owned(), rendered.toml));
    let archive = pack(&files)?;
    let (paths, address) = (&endpoint.paths, address(endpoint));
    let (socket, limit) = (socket(endpoint), START_LIMIT.to_string());
    let group = own_group(endpoint);
    let argv = ["sh", "-c", START, "start-buildkitd", &paths.run, &paths.bin, &address, &socket, &limit, &group];
    let output = session.run(&argv, Some(&archive)).await?;
    if !output.success() {
        return Err(not_started(&output.stderr_text()));
    }
    let said = output.stdout_text();
    let (workers, rest) = said.split_once('\n').unwrap_or((&said, ""));
    let mut notes = Vec::new();
    if let Some(snapshotter) = rest.trim().strip_prefix("auto snapshotter: using ")
        && snapshotter != "overlayfs"
    {
        let snapshotter = crate::sanitise::line(snapshotter);
        notes.push(format!("BuildKit uses the `{snapshotter}` snapshotter, which is slower than overlayfs: `{}` cannot hold overlay mounts", paths.buildkit_root));
    }
    Ok(Started { address, workers: workers.to_owned(), notes })
}

/// The control group of the daemon, on a machine of its own: beside the one of the steps, and not that of `sshd`, which systemd
/// would end with it when the daemon is killed for memory.
fn own_group(endpoint: &Endpoint) -> String {
    let hierarchy = match &endpoint.memory {
        MemoryLimit::Cgroup { version: CgroupVersion::V2, .. } => "/sys/fs/cgroup",
        MemoryLimit::Cgroup { version: CgroupVersion::V1, .. } => "/sys/fs/cgroup/memory",
        MemoryLimit::None { .. } => return String::new(),
    };
    if endpoint.is_own_machine() { format!("{hierarchy}/{}/runner", endpoint.lease_id) } else { String::new() }
}

/// With a full disk it is not the runner's own failure: the next one's disk is as large.
fn not_started(said: &str) -> Error {
    let message = format!("buildkitd did not start: {said}");
    if said.contains("no space left on device") {
        return Error::new(ErrorKind::State, message).hint(
            "the runner's disk is full: free space where runners keep their files, or take a tier with a larger disk",
        );
    }
    Error::new(ErrorKind::Runner, message)
}

/// What became of the daemon.
///
/// # Errors
/// [`ErrorKind::Runner`] when the runner does not answer.
pub async fn diagnose(session: &Session, endpoint: &Endpoint) -> Result<Diagnosis> {
    let output = session.run(&["sh", "-c", DIAGNOSE, "diagnose", &endpoint.paths.run], None).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (state, log) = text.split_once('\n').unwrap_or((&text, ""));
    Ok(Diagnosis { state: parse_state(state), log_tail: crate::sanitise::lines(log.trim_end()) })
}

/// A shell says 128 + n for signal n.
fn parse_state(word: &str) -> DaemonState {
    match word.trim() {
        "running" => DaemonState::Running,
        code => match code.parse::<i32>() {
            Ok(code) if (129..=192).contains(&code) => DaemonState::Killed { signal: code - 128 },
            Ok(code) => DaemonState::Exited { code },
            Err(_) => DaemonState::Gone,
        },
    }
}

fn pack(files: &[(String, String)]) -> Result<Vec<u8>> {
    let broken = |error: std::io::Error| Error::new(ErrorKind::Runner, "cannot pack buildkitd's files").because(error);
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).map_err(broken)?;
    }
    archive.into_inner().map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_fault_of_this_runner() {
        assert_eq!(not_started("write /x: no space left on device").kind(), ErrorKind::State);
        assert_eq!(not_started("buildkitd ended with exit code 1").kind(), ErrorKind::Runner);
    }

    #[test]
    fn a_shell_status_tells_signals_from_exits() {
        assert_eq!(parse_state("running\n"), DaemonState::Running);
        assert_eq!(parse_state("1"), DaemonState::Exited { code: 1 });
        assert_eq!(parse_state("137"), DaemonState::Killed { signal: 9 });
        assert_eq!(parse_state(""), DaemonState::Gone);
        assert_eq!(parse_state("gone"), DaemonState::Gone);
    }
}
