//! [`RemoteShell`]: how every `ssh` and rsync reaches the runner over the connection that stands.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// An SSH connection that already stands, and how to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteShell {
    /// The `ssh` program.
    pub ssh_program: PathBuf,
    /// The configuration written for this lease.
    pub config_file: PathBuf,
    /// The control socket of the standing connection.
    pub control_socket: PathBuf,
    /// The host's name in that configuration.
    pub host_alias: String,
}

impl RemoteShell {
    /// The options of `ssh`. When the master is gone, no second connection is made behind our back: none is to become a
    /// new master, and port 9 is "discard".
    pub(super) fn options(&self) -> [&OsStr; 8] {
        [
            OsStr::new("-F"),
            self.config_file.as_os_str(),
            OsStr::new("-S"),
            self.control_socket.as_os_str(),
            OsStr::new("-o"),
            OsStr::new("ControlMaster=no"),
            OsStr::new("-p"),
            OsStr::new("9"),
        ]
    }

    /// The value of rsync's `-e`. rsync splits it at spaces itself, so every part is quoted by rsync's rules.
    pub fn rsh(&self) -> OsString {
        let parts = std::iter::once(self.ssh_program.as_os_str()).chain(self.options());
        let quoted: Vec<Vec<u8>> = parts.map(|part| quote(part.as_bytes())).collect();
        OsString::from_vec(quoted.join(&b' '))
    }
}

/// One part between single quotes, a single quote inside doubled. Backslashes mean nothing to rsync here.
fn quote(part: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(part.len() + 2);
    quoted.push(b'\'');
    for &byte in part {
        if byte == b'\'' {
            quoted.push(byte);
        }
        quoted.push(byte);
    }
    quoted.push(b'\'');
    quoted
}
