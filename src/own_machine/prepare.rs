//! [`prepare`]: what a machine of its own needs before `buildkitd` starts there, done over SSH.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::user_data::BOOT;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{CgroupVersion, Endpoint, MemoryLimit};
use crate::remote::Session;
use crate::runner_image::{FILES, layout};
use crate::sanitise;

const PREPARE: &str = include_str!("prepare.sh");

/// How long the first boot may take after SSH answers: packages are installed then.
const BOOT_LIMIT: Duration = Duration::from_secs(600);

/// The lease's deadlines, for a machine that no user data told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// When the machine powers itself off, whatever else is said.
    pub hard: Timestamp,
    /// When it does so unless it is told a later time; `None` for a machine that may be left standing.
    pub expires: Option<Timestamp>,
}

/// A machine that may start `buildkitd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// How build steps are limited there: what the kernel really took.
    pub memory: MemoryLimit,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The SHA-256 of each BuildKit program that is there, by its name.
    pub(super) programs: BTreeMap<String, String>,
}

/// Waits until the machine's first boot is done, or does what that would have done; switches swap off; blocks the address that
/// tells a machine's secrets; makes the private directories and the group of the build's steps. Safe to repeat.
///
/// # Errors
/// [`ErrorKind::Runner`] when it cannot be made a runner, with its last words.
pub async fn prepare(session: &Session, endpoint: &Endpoint, deadlines: Deadlines) -> Result<Prepared> {
    let bytes = match &endpoint.memory {
        MemoryLimit::Cgroup { bytes, .. } => *bytes,
        MemoryLimit::None { .. } => endpoint.effective_memory_bytes,
    };
    let archive = pack(endpoint, deadlines, bytes)?;
    let (lease, paths) = (endpoint.lease_id.as_str(), &endpoint.paths);
    let limit = crate::failpoint::seconds("boot", BOOT_LIMIT);
    let (bytes, limit) = (bytes.to_string(), limit.as_secs().to_string());
    let argv =
        ["sh", "-c", PREPARE, "prepare", lease, &bytes, &limit, &paths.secrets, &paths.buildkit_root, &paths.bin];
    let output = session.run(&argv, Some(&archive)).await?;
    if output.success() {
        return read(endpoint, &output.stdout_text());
    }
    Err(Error::new(ErrorKind::Runner, format!("the machine could not be made a runner: {}", output.stderr_text())))
}

/// Reads what the script says. A build may own the machine later, but not yet.
fn read(endpoint: &Endpoint, said: &str) -> Result<Prepared> {
    let mut prepared = Prepared {
        memory: MemoryLimit::None { reason: "it does not say how".to_owned() },
        notes: Vec::new(),
        programs: BTreeMap::new(),
    };
    for line in said.lines() {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (what, rest.split_once(' ')) {
            ("memory", Some(("none", reason))) => {
                prepared.memory = MemoryLimit::None { reason: sanitise::line(reason) };
            }
            ("memory", Some((version, bytes))) => {
                let version = if version == "v1" { CgroupVersion::V1 } else { CgroupVersion::V2 };
                let bytes = bytes.parse().map_err(|_| {
                    Error::new(ErrorKind::Runner, format!("the machine says `{}`", sanitise::line(line)))
                })?;
                prepared.memory = layout::memory_limit(&endpoint.lease_id, version, bytes);
            }
            ("program", Some((name, sum))) => {
                prepared.programs.insert(name.to_owned(), sum.to_owned());
            }
            ("note", _) => prepared.notes.push(sanitise::line(rest)),
            _ => {}
        }
    }
    Ok(prepared)
}

/// What the user data would have brought.
fn pack(endpoint: &Endpoint, deadlines: Deadlines, build_memory: u64) -> Result<Vec<u8>> {
    let seconds = |at: Timestamp| format!("{}\n", at.as_second());
    let mut files = vec![
        ("boot".to_owned(), BOOT.to_owned()),
        ("etc/lease".to_owned(), format!("{}\n", endpoint.lease_id)),
        ("etc/hard-deadline".to_owned(), seconds(deadlines.hard)),
        ("etc/build-memory".to_owned(), format!("{build_memory}\n")),
    ];
    files.extend(deadlines.expires.map(|at| ("etc/expires".to_owned(), seconds(at))));
    files.extend(FILES.iter().map(|file| (format!("recipe/{}", file.name), file.text.to_owned())));
    let broken = |error: std::io::Error| Error::new(ErrorKind::Runner, "cannot pack the recipe").because(error);
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).map_err(broken)?;
    }
    archive.into_inner().map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_took_is_the_limit() {
        let endpoint = Endpoint::nowhere();
        let said = "memory v2 3489660928\nprogram buildctl aa\nprogram buildkitd bb\nnote its swap\u{1b}[31m\n";
        let prepared = read(&endpoint, said).unwrap();
        assert_eq!(prepared.memory, layout::memory_limit(&endpoint.lease_id, CgroupVersion::V2, 3_489_660_928));
        assert_eq!(prepared.programs.get("buildkitd").map(String::as_str), Some("bb"));
        assert!(!prepared.notes.concat().contains('\u{1b}'));
        let none = read(&endpoint, "memory none its kernel has no memory controller\n").unwrap();
        assert!(matches!(none.memory, MemoryLimit::None { reason } if reason.contains("controller")));
        assert!(read(&endpoint, "memory v2 x\n").is_err());
    }
}
