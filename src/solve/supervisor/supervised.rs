//! [`Supervised`]: one command of one lease, started once, followed as often as it takes.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::error::{Error, ErrorKind, Result};
use crate::lease::RunnerPaths;
use crate::remote::{MAX_STDERR, RemoteChild, Session};

/// Starts the command where it was not started, and passes its log on.
const SUPERVISE: &str = include_str!("supervise.sh");

/// Ends the command.
const STOP: &str = include_str!("stop.sh");

/// What the script's last line on stderr begins with.
const EXIT: &str = "lian-exit ";

/// The line on stderr that says that the log has gaps, because the disk was full.
const CUT: &str = "lian-cut";

/// What stands in place of the exit code while the command runs.
const RUNNING: &str = "running";

/// The most bytes that are passed on at once.
const CHUNK: usize = 64 << 10;

/// One command of one lease. Counts the bytes of its log that were passed on, so that none is lost or doubled when the
/// connection breaks and [`Supervised::follow`] is called again on another one.
#[derive(Debug)]
pub struct Supervised {
    state: String,
    log: String,
    argv: Vec<String>,
    passed_on: u64,
    log_was_cut: bool,
}

impl Supervised {
    /// The command `argv` of this lease, known there as `name`: a plain file name. What `argv` is counts at the first start
    /// only.
    pub fn new(paths: &RunnerPaths, name: &str, argv: Vec<String>) -> Self {
        Self {
            state: format!("{}/{name}", paths.run),
            // Beside the results, which are numbers: it may grow large, and where `run` is may be memory.
            log: format!("{}/{name}.log", paths.output),
            argv,
            passed_on: 0,
            log_was_cut: false,
        }
    }

    /// Bytes of the log that were passed on.
    pub fn passed_on(&self) -> u64 {
        self.passed_on
    }

    /// True when some of the log could not be written: its disk was full, at least for a while.
    pub fn log_was_cut(&self) -> bool {
        self.log_was_cut
    }

    /// Starts the command if nothing of that name was started on this lease, and calls `take` for what it says on standard
    /// error, from the first byte that was not taken yet. Yields its exit code once all was taken. Dropping it leaves the
    /// command alone.
    ///
    /// # Errors
    /// [`crate::remote::ConnectionLost`] when that happened: call it again. [`ErrorKind::Runner`] when the command is gone
    /// without a word.
    pub async fn follow(&mut self, session: &Session, mut take: impl AsyncFnMut(Vec<u8>)) -> Result<i32> {
        let mut child = session.spawn(&self.follow_argv())?;
        // Held open: its end is the end of the remote side.
        let stdin = child.stdin();
        let stderr = child.stderr();
        let ((), said) = tokio::join!(self.pass_on(&mut child, &mut take), last_words(stderr));
        drop(stdin);
        let code = child.wait().await?;
        self.log_was_cut |= says_cut(&said);
        exit_code(code, &said)
    }

    async fn pass_on(&mut self, child: &mut RemoteChild, take: &mut impl AsyncFnMut(Vec<u8>)) {
        let Some(mut stdout) = child.stdout() else { return };
        loop {
            let mut chunk = vec![0; CHUNK];
            // What an error means is what `ssh` ends with.
            let count = stdout.read(&mut chunk).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            chunk.truncate(count);
            take(chunk).await;
            self.passed_on += count as u64;
        }
    }

    /// Ends the command with all it started, and waits until it has ended. What has ended already needs no end.
    ///
    /// # Errors
    /// As [`Session::run`]; [`ErrorKind::Runner`] when it does not end.
    pub async fn stop(&self, session: &Session) -> Result<()> {
        session.run(&["sh", "-c", STOP, "stop", &self.state], None).await?.ok("ending the build").map(drop)
    }

    fn follow_argv(&self) -> Vec<String> {
        let passed_on = self.passed_on.to_string();
        let own = ["sh", "-c", SUPERVISE, "supervise", &self.state, &self.log, &passed_on];
        own.into_iter().map(str::to_owned).chain(self.argv.iter().cloned()).collect()
    }
}

/// The end of what a script says on standard error; a runner that says too much is not listened to.
async fn last_words(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // Whatever came before a fault counts.
        let _ = stream.take(MAX_STDERR as u64).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Whether the script says that the log has gaps.
fn says_cut(said: &[u8]) -> bool {
    said.split(|byte| *byte == b'\n').any(|line| line == CUT.as_bytes())
}

/// The command's exit code, from the script's own and its last words.
fn exit_code(script: i32, said: &[u8]) -> Result<i32> {
    let text = String::from_utf8_lossy(said);
    let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
    let gone = |why: &str| Error::new(ErrorKind::Runner, format!("the build's process on the runner is gone: {why}"));
    match last.strip_prefix(EXIT).filter(|_| script == 0) {
        Some(RUNNING) => Err(gone("its supervisor has ended without a word")),
        Some(code) => code.parse().map_err(|_| gone(&format!("it ended with `{}`", crate::sanitise::line(code)))),
        None => Err(gone(&crate::sanitise::lines(text.trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_of_a_script_that_succeeded_is_the_exit_code() {
        assert_eq!(exit_code(0, b"lian-exit 0\n").unwrap(), 0);
        assert_eq!(exit_code(0, b"tail: a word\nlian-exit 137\n").unwrap(), 137);
        for (script, said) in [
            (3, &b"lian-exit 0\n"[..]),
            (0, b"lian-exit running\n"),
            (0, b"lian-exit 7x\n"),
            (0, b"lian-exit 0\nx\n"),
            (0, b""),
        ] {
            assert_eq!(exit_code(script, said).unwrap_err().kind(), ErrorKind::Runner);
        }
    }

    #[test]
    fn a_log_with_gaps_is_said_on_a_line_of_its_own() {
        assert!(says_cut(b"tail: a word\nlian-cut\nlian-exit 1\n"));
        assert!(!says_cut(b"no lian-cut\nlian-exit 1\n"));
    }

    #[test]
    fn the_log_is_asked_for_from_where_it_broke_off() {
        let paths = RunnerPaths {
            context: String::new(),
            extra_contexts: String::new(),
            run: "/r".to_owned(),
            buildkit_root: String::new(),
            output: "/o".to_owned(),
            secrets: String::new(),
            bin: String::new(),
        };
        let mut supervised = Supervised::new(&paths, "solve", vec!["env".to_owned(), "A=b c".to_owned()]);
        supervised.passed_on = 12;
        assert_eq!(supervised.follow_argv()[3..], ["supervise", "/r/solve", "/o/solve.log", "12", "env", "A=b c"]);
    }
}
