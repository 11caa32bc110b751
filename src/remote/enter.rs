//! [`enter`]: a user's own SSH connection to a runner, beside whatever works there.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{shell_line, ssh_config};
use crate::env_vars;
use crate::error::{Context as _, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::private_dir::create_private;
use crate::process::Cmd;

/// The `ssh` that gives a shell on the runner, or runs `command` there, with the lease's key and its pinned host key. Its
/// files are in the lease's session directory and go with the lease. `terminal` is the kind of the user's terminal.
///
/// # Errors
/// [`ErrorKind::State`] when the files cannot be written.
pub fn enter(endpoint: &Endpoint, command: &[String], terminal: Option<&str>) -> Result<Cmd> {
    let dir = &endpoint.session_dir;
    let (config, known_hosts) = (dir.join("enter_config"), dir.join("enter_known_hosts"));
    let place = || format!("cannot write the SSH configuration in `{}`", dir.display());
    let texts = [
        (&known_hosts, ssh_config::known_hosts(endpoint)?),
        (&config, ssh_config::render(endpoint, &known_hosts, Path::new("none"))?),
    ];
    create_private(dir).context(ErrorKind::State, place)?;
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
