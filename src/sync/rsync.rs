//! [`sync`]: one rsync run that lays a context into a fresh directory on the runner.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::file_list::FileList;
use super::progress::{Statistics, Transferred, progress_line};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::context::Traits;
use crate::process::{Cmd, exit_code};
use crate::remote::{ConnectionLost, RemoteShell};
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
    pub files: &'a FileList,
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
/// [`ErrorKind::Usage`] when a file changed or vanished while it was sent; [`ErrorKind::State`] when it does not fit on the
/// runner's disk; [`ConnectionLost`] when that happened, and a repetition goes on where this one was;
/// [`ErrorKind::Runner`] for everything else.
pub async fn sync(request: SyncRequest<'_>, mut on_progress: impl FnMut(Transferred) + Send) -> Result<Statistics> {
    let mut child = command(&request).spawn(Stdio::piped(), Stdio::piped(), Stdio::piped())?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // rsync that ends early says why on its own stderr.
            let _ = stdin.write_all(&request.files.names).await;
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
        .plain_env()
        // Links, modes and times as they are. Owners are left behind: BuildKit makes everything root's. Devices and
        // FIFOs never get into the list.
        .args(["--links", "--perms", "--times"])
        .arg(if request.files.recursive { "--recursive" } else { "--dirs" })
        .args(request.traits.hard_links.then_some("--hard-links"))
        .args(request.traits.xattrs.then_some("--xattrs"))
        // The directory is fresh: there is nothing to compare with and nothing to replace atomically. After a broken
        // transfer its half-written file has another time than the source, and is sent again.
        .args(["--whole-file", "--inplace"])
        // Times count to the nanosecond: by default a directory of the same second keeps the time it was made at.
        .arg("--modify-window=-1")
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
    // rsync says of each message which side it comes from; the code alone does not tell them apart.
    let is_the_runners = errors.iter().any(|line| line.contains("[receiver]") || line.contains("[generator]"));
    let is_full = |line: &String| line.contains("No space left on device") || line.contains("Disk quota exceeded");
    if is_the_runners && errors.iter().any(is_full) {
        // Not the runner's failure: the next one's disk is as large.
        return Error::new(ErrorKind::State, format!("the context does not fit on the runner's disk{said}"))
            .hint("leave out what the build does not need in `.dockerignore`")
            .hint("free space where runners keep their files, or take a tier with a larger disk");
    }
    match code {
        23 | 24 if !is_the_runners => {
            Error::usage(format!("the context changed, or became unreadable, while it was sent{said}"))
                .hint("build again when nothing writes to the context, or add what changes to `.dockerignore`")
        }
        11 | 23 | 24 => Error::new(ErrorKind::Runner, format!("the context could not be written on the runner{said}")),
        1 | 2 => Error::new(ErrorKind::Runner, format!("`rsync` does not take our options{said}"))
            .hint("rsync 3.1.3 or newer is needed here and on the runner; macOS brings another program of that name"),
        code => {
            let message = format!("`rsync` failed with exit code {code}{said}");
            if is_connection_code(code) {
                ConnectionLost::error(message, "")
            } else {
                Error::new(ErrorKind::Runner, message)
            }
        }
    }
}

/// Codes that say that the stream broke: socket and protocol errors, timeouts, `ssh`'s own code, signals. What was sent so
/// far stays, and another run goes on from there.
const fn is_connection_code(code: i32) -> bool {
    matches!(code, 10 | 12 | 20 | 30 | 35 | 255) || code > 128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(files: &FileList, traits: Traits) -> Vec<String> {
        let shell = RemoteShell {
            ssh_program: "/usr/bin/ssh".into(),
            config_file: "/home/j doe/it's/config".into(),
            control_socket: "/run/ctl".into(),
            host_alias: "lb-1".to_owned(),
        };
        command(&SyncRequest {
            source: Path::new("/src/a b"),
            files,
            traits,
            destination: "/runner/context",
            shell: &shell,
            rsync_program: Path::new("rsync"),
        })
        .argv()
    }

    #[test]
    fn the_command_line_is_as_agreed() {
        let files = FileList { names: Vec::new(), recursive: true };
        insta::assert_snapshot!(argv(&files, Traits::default()).join("\n"), @r"
        rsync
        --links
        --perms
        --times
        --recursive
        --whole-file
        --inplace
        --modify-window=-1
        --files-from=-
        --from0
        --protect-args
        --info=progress2
        --stats
        --no-human-readable
        --outbuf=Line
        --rsh
        '/usr/bin/ssh' '-F' '/home/j doe/it''s/config' '-S' '/run/ctl' '-o' 'ControlMaster=no' '-p' '9'
        --
        /src/a b/
        lb-1:/runner/context/
        ");
    }

    #[test]
    fn rsync_and_the_ssh_it_starts_get_nothing_of_the_callers_environment() {
        let files = FileList { names: Vec::new(), recursive: true };
        let shell = RemoteShell {
            ssh_program: "ssh".into(),
            config_file: "c".into(),
            control_socket: "s".into(),
            host_alias: "h".to_owned(),
        };
        let (source, rsync_program) = (Path::new("/s"), Path::new("rsync"));
        let request = SyncRequest {
            source,
            files: &files,
            traits: Traits::default(),
            destination: "/d",
            shell: &shell,
            rsync_program,
        };
        // `env -i` is how the standard library shows a command whose environment starts empty.
        let shown = format!("{:?}", command(&request).into_command().as_std());
        assert!(shown.starts_with("env -i "), "{shown}");
    }

    #[test]
    fn what_is_not_there_is_not_paid_for() {
        let files = FileList { names: Vec::new(), recursive: false };
        let all = argv(&files, Traits { hard_links: true, xattrs: true });
        for option in ["--dirs", "--hard-links", "--xattrs"] {
            assert!(all.iter().any(|arg| arg == option), "{option}");
            assert!(
                !argv(&FileList { recursive: true, ..files.clone() }, Traits::default()).contains(&option.to_owned())
            );
        }
        assert!(!all.contains(&"--recursive".to_owned()));
    }

    #[tokio::test]
    async fn lines_end_at_either_break_and_are_bounded() {
        let mut stream = b"a\rb\r\nc".to_vec();
        stream.push(b'\n');
        stream.extend(vec![b'x'; 3 * MAX_LINE]);
        let mut lines = Vec::new();
        each_line(stream.as_slice(), |line| lines.push(line.len())).await;
        assert_eq!(lines, [1, 1, 0, 1, MAX_LINE]);
    }

    #[test]
    fn the_side_that_failed_decides_the_kind() {
        let failure_of = |code, text: &str| failure(code, &[text.to_owned()]).kind();
        assert_eq!(failure_of(23, "rsync: [sender] send_files failed to open \"/x\""), ErrorKind::Usage);
        assert_eq!(failure_of(24, "file has vanished: \"/x\""), ErrorKind::Usage);
        for full in ["mkstemp \"/d/x\" failed: No space left on device (28)", "write failed: Disk quota exceeded (122)"]
        {
            assert_eq!(failure_of(11, &format!("rsync: [receiver] {full}")), ErrorKind::State);
        }
        assert_eq!(failure_of(23, "rsync: [receiver] mkstemp failed: Permission denied"), ErrorKind::Runner);
        assert_eq!(failure_of(11, "rsync: [receiver] write failed"), ErrorKind::Runner);
        assert_eq!(failure_of(255, "Connection closed"), ErrorKind::Runner);
    }

    #[test]
    fn only_a_broken_stream_is_worth_another_try() {
        let is_lost = |code, text: &str| ConnectionLost::is_cause_of(&failure(code, &[text.to_owned()]));
        for code in [12, 30, 137, 255] {
            assert!(is_lost(code, "rsync error: error in rsync protocol data stream"), "{code}");
        }
        assert!(!is_lost(12, "rsync: [receiver] write failed: No space left on device (28)"));
        assert!(
            !is_lost(127, "sh: rsync: not found") && !is_lost(1, "unknown option") && !is_lost(23, "[sender] gone")
        );
    }
}
