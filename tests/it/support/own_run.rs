//! [`OwnRun`]: a `/run` that a test shares with nobody, so that neither other tests' runners nor their sweeps are seen.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Says that it stands, and goes with this process.
const SCRIPT: &str = "mount -t tmpfs none /run && echo it stands && exec cat";

/// A mount namespace with an empty `/run`; it stands as long as this value, or a process in it, lives.
pub(crate) struct OwnRun {
    holder: Child,
}

impl OwnRun {
    #[expect(clippy::disallowed_methods, reason = "tests start what they need")]
    pub(crate) fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 10];
        holder.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(said, *b"it stands\n");
        Self { holder }
    }

    /// What starts a program in there, with the working directory after it.
    pub(crate) fn entry(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.holder.id())]
    }

    /// The directory of its runners, as it is seen from outside.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/run/lian-build", self.holder.id()))
    }
}

impl Drop for OwnRun {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
