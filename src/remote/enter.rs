//! [`enter`]: a user's own SSH connection to a runner, beside whatever works there.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{shell_line, ssh_config};
use crate::env_vars;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::process::Cmd;

/// The `ssh` that gives a shell on the runner, or runs `command` there, with the lease's key and its pinned host key. Its
/// files are in the lease's session directory and go with the lease. `terminal` is the kind of the user's terminal.
///
/// # Errors
/// [`ErrorKind::Runner`] when the lease's directory is gone, and the runner with it; [`ErrorKind::State`] when the files
/// cannot be written.
pub fn enter(endpoint: &Endpoint, command: &[String], terminal: Option<&str>) -> Result<Cmd> {
    let dir = &endpoint.session_dir;
    let (config, known_hosts) = (dir.join("enter_config"), dir.join("enter_known_hosts"));
    let place = || format!("cannot write the SSH configuration in `{}`", dir.display());
    let texts = [
        (&known_hosts, ssh_config::known_hosts(endpoint)?),
        (&config, ssh_config::render(endpoint, &known_hosts, Path::new("none"))?),
    ];
    match DirBuilder::new().mode(0o700).create(dir) {
        // Its parent goes with the lease: made again, it would stay for good.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(ErrorKind::Runner, format!("the runner `{}` is gone", endpoint.lease_id)));
        }
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).context(ErrorKind::State, place);
        }
        _ => {}
    }
    for (path, text) in texts {
        write(path, &text).context(ErrorKind::State, place)?;
    }
    let cmd = Cmd::new("ssh", ErrorKind::Runner).plain_env().args(["-F".as_ref(), config.as_os_str()]).args([
        "-o",
        "ControlMaster=no",
        "-S",
        "none",
        "-o",
        "RequestTTY=auto",
        endpoint.lease_id.as_str(),
    ]);
    let cmd = match terminal {
        Some(terminal) => cmd.env(env_vars::TERM, terminal),
        None => cmd,
    };
    Ok(if command.is_empty() { cmd } else { cmd.args(["--", &shell_line(command)]) })
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_lease_that_was_released_is_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let lease = dir.path().join("lease");
        let endpoint = Endpoint {
            session_dir: lease.join("session"),
            host_key: "ssh-ed25519 AAAA".to_owned(),
            ..Endpoint::nowhere()
        };
        let error = enter(&endpoint, &[], None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runner, "{error:?}");
        assert!(!lease.exists());
        std::fs::create_dir(&lease).unwrap();
        for _ in 0..2 {
            enter(&endpoint, &[], None).unwrap();
        }
        assert!(lease.join("session/enter_config").exists());
    }
}
