//! [`sync`]: one rsync run that lays a context into a fresh directory on the runner.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::progress::{Statistics, Transferred, progress_line};
use super::remote_shell::RemoteShell;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::context::Traits;
use crate::process::{Cmd, exit_code};
use crate::sanitise;

/// The longest line of rsync's output that is kept, in bytes.
const MAX_LINE: usize = 64 << 10;
/// How much of rsync's error output is kept, in bytes.
const MAX_ERRORS: usize = 16 << 10;

/// What is sent where.
#[derive(Debug, Clone, Copy)]
pub struct SyncRequest<'a> {
    /// The context's directory, absolute.
    pub source: &'a Path,
    /// What of it is sent: see [`mod@super::file_list`].
    pub files: &'a [u8],
    /// What has to be kept besides contents, modes, times and links.
    pub traits: Traits,
    /// A fresh directory on the runner, absolute. It is made when only its last part is missing.
    pub destination: &'a str,
    /// How the runner is reached.
    pub shell: &'a RemoteShell,
    /// The local `rsync` program.
    pub rsync_program: &'a Path,
}

/// Sends a context. `on_progress` is called whenever rsync says how far it is, about once a second.
///
/// # Errors
/// [`ErrorKind::Usage`] when a file changed or vanished while it was sent; [`ErrorKind::Runner`] for everything else.
pub async fn sync(request: SyncRequest<'_>, mut on_progress: impl FnMut(Transferred) + Send) -> Result<Statistics> {
    let mut child = command(&request).spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // rsync that ends early says why on its own stderr.
            let _ = stdin.write_all(request.files).await;
            let _ = stdin.shutdown().await;
        }
    };
    let mut statistics = Statistics::default();
    let listen = async {
        if let Some(stdout) = stdout {
            each_line(stdout, |line| match progress_line(line) {
                Some(transferred) => on_progress(transferred),
                None => statistics.read_line(line),
            })
            .await;
        }
    };
    let mut errors = Vec::new();
    let collect = async {
        if let Some(stderr) = stderr {
            each_line(stderr, |line| {
                if errors.iter().map(String::len).sum::<usize>() < MAX_ERRORS && !line.trim().is_empty() {
                    errors.push(sanitise::line(line.trim()));
                }
            })
            .await;
        }
    };
    let ((), (), ()) = tokio::join!(feed, listen, collect);
    let status = child.wait().await.context(ErrorKind::Runner, || "cannot wait for `rsync`".to_owned())?;
    match exit_code(status) {
        0 => Ok(statistics),
        code => Err(failure(code, &errors)),
    }
}

/// The command line. The list of files comes on standard input.
fn command(request: &SyncRequest<'_>) -> Cmd {
    let mut source = request.source.as_os_str().to_owned();
    source.push("/");
    let mut destination = OsString::from(&request.shell.host_alias);
    destination.push(":");
    destination.push(request.destination);
    destination.push("/");
    Cmd::new(request.rsync_program, ErrorKind::Runner)
        .env("LC_ALL", "C")
        // Links, modes and times as they are. Owners are left behind: BuildKit makes everything root's. Devices and
        // FIFOs never get into the list.
        .args(["--links", "--perms", "--times", "--dirs", "--no-implied-dirs"])
        .args(request.traits.hard_links.then_some("--hard-links"))
        .args(request.traits.xattrs.then_some("--xattrs"))
        // The directory is fresh: there is nothing to compare with and nothing to replace atomically.
        .args(["--whole-file", "--inplace"])
        .args(["--files-from=-", "--from0"])
        // The destination's name is not for the remote shell to interpret.
        .arg("--protect-args")
        .args(["--info=progress2", "--stats", "--no-human-readable", "--outbuf=Line"])
        .arg("--rsh")
        .arg(request.shell.rsh())
        .arg("--")
        .arg(source)
        .arg(destination)
}

/// Calls `take` for each line, ended by a line feed or a carriage return; what is longer than [`MAX_LINE`] is cut.
async fn each_line(mut stream: impl AsyncRead + Unpin, mut take: impl FnMut(&str)) {
    let mut buffer = vec![0_u8; 8 << 10];
    let mut line = Vec::new();
    while let Ok(length) = stream.read(&mut buffer).await {
        if length == 0 {
            break;
        }
        for &byte in buffer.get(..length).unwrap_or_default() {
            if byte == b'\n' || byte == b'\r' {
                take(&String::from_utf8_lossy(&line));
                line.clear();
            } else if line.len() < MAX_LINE {
                line.push(byte);
            }
        }
    }
    take(&String::from_utf8_lossy(&line));
}

/// What rsync's exit code means for us.
fn failure(code: i32, errors: &[String]) -> Error {
    let said = errors.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    match code {
        24 => Error::usage(format!("a file of the context vanished while it was sent{said}"))
            .hint("build again when nothing writes to the context, or add what changes to `.dockerignore`"),
        23 => Error::usage(format!("a part of the context could not be sent{said}")).hint(
            "a file changed while it was sent, or cannot be read; build again when nothing writes to the context",
        ),
        11 => Error::new(ErrorKind::Runner, format!("the context could not be written on the runner{said}")),
        code => Error::new(ErrorKind::Runner, format!("`rsync` failed with exit code {code}{said}")),
    }
}
