//! [`Document`]: what a pool says of a runner besides how it is reached, checked.
//!
//! Whoever answers is not trusted: sizes are bounded, and paths are plain and lead to places where a runner keeps such
//! things.

use serde::Deserialize;
use serde_json::Value;

use crate::lease::{Isolation, MemoryLimit, RunnerPaths};

/// The longest path, in bytes.
const LONGEST_PATH: usize = 200;

/// The longest path of the directory that sockets are in, in bytes.
const LONGEST_RUN: usize = 64;

/// The least and the most memory that a runner can have, in bytes.
const LEAST_MEMORY: u64 = 64 << 20;
const MOST_MEMORY: u64 = 1 << 50;

/// The most CPUs.
const MOST_CPU: u32 = 4096;

/// Where nothing of a runner is: what the kernel and the system keep there.
const SYSTEM: &[&str] = &["proc", "sys", "dev", "etc", "boot"];

/// Where programs are, and nothing that is written to.
const PROGRAMS: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64"];

/// Whole directories that others use too; places below them are fine.
const SHARED: &[&str] = &["var", "run", "tmp", "root", "home", "opt", "srv", "mnt", "media"];

/// What a pool says of a runner besides how it is reached: [`crate::lease::Endpoint`] without what is the client's own.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Document {
    pub(super) paths: RunnerPaths,
    pub(super) isolation: Isolation,
    pub(super) shared: bool,
    pub(super) rootless: bool,
    pub(super) memory: MemoryLimit,
    pub(super) effective_memory_bytes: u64,
    pub(super) effective_cpu: u32,
    #[serde(default)]
    pub(super) cache_cap_bytes: Option<u64>,
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) notes: Vec<String>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

impl Document {
    /// Reads and checks one.
    ///
    /// # Errors
    /// With what about it cannot be used. Foreign text in it is not safe to show yet.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let document = Self::deserialize(value).map_err(|error| error.to_string())?;
        document.check_paths()?;
        document.check_sizes()?;
        if document.isolation != Isolation::Vm && !document.shared {
            return Err("its isolation is less than a machine's, and yet it says that nothing else is on its machine"
                .to_owned());
        }
        Ok(document)
    }

    fn check_paths(&self) -> Result<(), String> {
        let RunnerPaths { context, extra_contexts, run, buildkit_root, output, secrets, bin } = &self.paths;
        let written = [
            ("context", context),
            ("extra_contexts", extra_contexts),
            ("run", run),
            ("buildkit_root", buildkit_root),
            ("output", output),
            ("secrets", secrets),
        ];
        for (what, path) in written {
            check_path(what, path)?;
            if PROGRAMS.contains(&first_of(path)) {
                return Err(format!("its path `{what}`, `{path}`, is where programs are"));
            }
        }
        check_path("bin", bin)?;
        if run.len() > LONGEST_RUN {
            return Err(format!("its path `run`, `{run}`, is too long for sockets below it"));
        }
        for (index, (what, path)) in written.iter().enumerate() {
            if let Some((other, _)) = written.iter().skip(index + 1).find(|(_, other)| other == path) {
                return Err(format!("its paths `{what}` and `{other}` are the same, `{path}`"));
            }
        }
        // What is built, and what comes back, must hold no secret.
        for (what, path) in [
            ("context", context),
            ("extra_contexts", extra_contexts),
            ("output", output),
            ("buildkit_root", buildkit_root),
        ] {
            if is_below(secrets, path) || is_below(path, secrets) {
                return Err(format!("its paths `secrets`, `{secrets}`, and `{what}`, `{path}`, are not apart"));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), String> {
        let bytes = self.effective_memory_bytes;
        if !(LEAST_MEMORY..=MOST_MEMORY).contains(&bytes) {
            return Err(format!("it says that it has {bytes} bytes of memory"));
        }
        if !(1..=MOST_CPU).contains(&self.effective_cpu) {
            return Err(format!("it says that it has {} CPUs", self.effective_cpu));
        }
        if let MemoryLimit::Cgroup { parent, bytes: limit, .. } = &self.memory {
            check_plain("the cgroup of its build steps", parent)?;
            if *limit == 0 || *limit > bytes {
                return Err(format!("its build steps may use {limit} of {bytes} bytes of memory"));
            }
        }
        Ok(())
    }
}

/// An absolute path of plain characters, in one way of writing it.
fn check_plain(what: &str, path: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'@');
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.starts_with('-') && name.bytes().all(plain);
    let fits = path.len() <= LONGEST_PATH && path.strip_prefix('/').is_some_and(|names| names.split('/').all(is_name));
    if fits { Ok(()) } else { Err(format!("{what} is at `{path}`, which is no plain absolute path")) }
}

fn check_path(what: &str, path: &str) -> Result<(), String> {
    check_plain(&format!("its path `{what}`"), path)?;
    let first = first_of(path);
    let is_whole = path.matches('/').count() == 1;
    let in_memory = path.starts_with("/dev/shm/");
    if (SYSTEM.contains(&first) && !in_memory) || (is_whole && (SHARED.contains(&first) || PROGRAMS.contains(&first))) {
        return Err(format!("its path `{what}` is `{path}`, which is the system's"));
    }
    Ok(())
}

/// The first name of an absolute path.
fn first_of(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "paths": { "context": "/workspace", "extra_contexts": "/build/extra-contexts", "run": "/run/lian",
                "buildkit_root": "/var/lib/buildkit", "output": "/build/output", "secrets": "/run/lian-secrets",
                "bin": "/usr/local/bin" },
            "isolation": "container", "shared": true, "rootless": false,
            "memory": { "Cgroup": { "version": "v2", "parent": "/lb-1/build", "bytes": 1_000_000_000_u64 } },
            "effective_memory_bytes": 2_000_000_000_u64, "effective_cpu": 2, "cache_cap_bytes": null,
            "architecture": "amd64", "notes": ["a"], "warnings": [], "something_new": 1
        })
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut document = good();
        *document.pointer_mut(pointer).unwrap() = value;
        document
    }

    #[test]
    fn a_runner_of_ours_is_taken() {
        Document::read(&good()).unwrap();
        Document::read(&with("/paths/secrets", json!("/dev/shm/lian"))).unwrap();
        let run = "/run/lian-build/lb-00000000000000000000000000000001/r";
        Document::read(&with("/paths/run", json!(run))).unwrap();
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for (pointer, path) in [
            ("/paths/context", "/"),
            ("/paths/context", ""),
            ("/paths/context", "workspace"),
            ("/paths/context", "/workspace/"),
            ("/paths/context", "/work/../etc"),
            ("/paths/context", "//workspace"),
            ("/paths/context", "/etc/ssh"),
            ("/paths/context", "/-rf"),
            ("/paths/context", "/work space"),
            ("/paths/context", "/$(id)"),
            ("/paths/context", "/a\nb"),
            ("/paths/context", "/a\u{0}b"),
            ("/paths/output", "/root"),
            ("/paths/output", "/usr/lib/x"),
            ("/paths/output", "/workspace"),
            ("/paths/secrets", "/workspace/secrets"),
            ("/paths/secrets", "/dev/sda"),
            ("/paths/secrets", "/build"),
            ("/paths/run", "/proc/1/root"),
            ("/paths/run", "/run/a-name-that-leaves-no-room-for-the-names-of-sockets-which-are-below-it"),
            ("/paths/bin", "/bin"),
            ("/paths/bin", "/sys/x"),
            ("/memory/Cgroup/parent", "../.."),
        ] {
            let why = Document::read(&with(pointer, json!(path))).unwrap_err();
            assert!(!why.is_empty(), "{pointer} {path}");
        }
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        assert!(Document::read(&with("/paths/context", json!(long))).is_err());
    }

    #[test]
    fn sizes_that_no_machine_has_are_refused() {
        for (pointer, value) in [
            ("/effective_memory_bytes", json!(0)),
            ("/effective_memory_bytes", json!(u64::MAX)),
            ("/effective_memory_bytes", json!(-1)),
            ("/effective_cpu", json!(0)),
            ("/effective_cpu", json!(1_000_000)),
            ("/memory/Cgroup/bytes", json!(0)),
            ("/memory/Cgroup/bytes", json!(3_000_000_000_u64)),
            ("/shared", json!(false)),
            ("/isolation", json!("none of your business")),
            ("/notes", json!("x")),
        ] {
            assert!(Document::read(&with(pointer, value.clone())).is_err(), "{pointer} {value}");
        }
        assert!(Document::read(&json!([])).is_err());
    }
}
