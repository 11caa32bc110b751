//! [`Evaluator`]: starts the guarded child and says what became of it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use super::SUBCOMMAND;
use super::limits::{Limits, MAX_ANSWER};
use super::wire::{Answer, Document, Invalid, Request};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::process::Cmd;

/// Evaluates Nickel documents in a child of its own.
#[derive(Debug, Clone)]
pub struct Evaluator {
    program: PathBuf,
    limits: Limits,
}

impl Evaluator {
    /// An evaluator whose child is this very program.
    ///
    /// # Errors
    /// When the program's own path is not known.
    pub fn of_this_program() -> Result<Self> {
        let program =
            std::env::current_exe().context(ErrorKind::Spec, || "cannot find this program's own file".to_owned())?;
        Ok(Self::of_program(program))
    }

    /// An evaluator whose child is `program`, a `lian-build`.
    pub fn of_program(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), limits: Limits::default() }
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The values of `documents`, in their order, each valid by its contract. One child does them all.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when a document cannot be read, is not valid, imports what it may not, or needs more time
    /// or memory than the limits allow.
    pub async fn evaluate(&self, documents: Vec<Document>) -> Result<Vec<serde_json::Value>> {
        let names: Vec<String> = documents.iter().map(Document::shown).collect();
        let request = serde_json::to_vec(&Request { documents, limits: self.limits })
            .context(ErrorKind::Spec, || "cannot ask for an evaluation".to_owned())?;
        let child = Cmd::new(&self.program, ErrorKind::Spec).arg(SUBCOMMAND).clear_env().spawn(
            Stdio::piped(),
            Stdio::piped(),
            Stdio::piped(),
        )?;
        let mut said = Said::default();
        let ended = tokio::time::timeout(self.limits.wall, listen(child, &request, &mut said)).await;
        let last = said.answers();
        let name = names.get(last.busy).map_or("the documents", String::as_str);
        let status = match ended {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => {
                return Err(Error::new(ErrorKind::Spec, format!("`{name}` could not be evaluated")).because(error));
            }
            Err(_) => return Err(self.too_slow(name, self.limits.wall.as_secs())),
        };
        match last.answer {
            Some(Answer::Values(values)) if status.success() => Ok(values),
            Some(Answer::Invalid(Invalid { message, hints })) => {
                let error = Error::new(ErrorKind::Spec, format!("`{name}` {message}"));
                Err(hints.into_iter().fold(error, Error::hint))
            }
            _ => Err(self.died(name, status, &said)),
        }
    }

    /// What a child that died without an answer died of.
    fn died(&self, name: &str, status: ExitStatus, said: &Said) -> Error {
        let complaint = String::from_utf8_lossy(&said.stderr);
        let recursion = "look for a recursion without an end";
        if said.stdout.len() as u64 > MAX_ANSWER {
            return Error::new(ErrorKind::Spec, format!("the value of `{name}` is larger than {MAX_ANSWER} bytes"));
        }
        // The last words of Rust's allocator, of Nickel's, and of Rust's stack guard.
        if complaint.contains("memory allocation of") || complaint.contains("out of memory") {
            let limit = self.limits.memory_mb;
            return Error::new(
                ErrorKind::Spec,
                format!("evaluation of `{name}` needed more than {limit} MB of memory"),
            )
            .hint(recursion);
        }
        if complaint.contains("overflowed its stack") {
            return Error::new(ErrorKind::Spec, format!("`{name}` is nested too deeply to be evaluated"));
        }
        match status.signal() {
            // SIGXCPU at the limit, SIGKILL a second later.
            Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => {
                self.too_slow(name, self.limits.cpu_seconds)
            }
            Some(signal) => {
                Error::new(ErrorKind::Spec, format!("evaluation of `{name}` was killed by signal {signal}"))
            }
            None => Error::new(ErrorKind::Spec, format!("evaluation of `{name}` failed: {}", complaint.trim())),
        }
    }

    fn too_slow(&self, name: &str, seconds: u64) -> Error {
        Error::new(ErrorKind::Spec, format!("evaluation of `{name}` did not end within {seconds} s"))
            .hint("look for a recursion without an end")
    }
}

/// What the child has said so far.
#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// The child's words, understood.
struct Last {
    busy: usize,
    answer: Option<Answer>,
}

impl Said {
    fn answers(&self) -> Last {
        let mut last = Last { busy: 0, answer: None };
        for line in self.stdout.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Answer::Busy(number)) => last.busy = number,
                Ok(answer) => last.answer = Some(answer),
                Err(_) => {}
            }
        }
        last
    }
}

/// Feeds the child and listens to it, up to the largest answer; a child that says more is killed.
async fn listen(mut child: Child, request: &[u8], said: &mut Said) -> std::io::Result<ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A child that does not read says why on its own stderr.
            let _ = stdin.write_all(request).await;
            let _ = stdin.shutdown().await;
        }
    };
    let Said { stdout: out, stderr: err } = said;
    let read_out = async {
        match stdout {
            Some(stdout) => stdout.take(MAX_ANSWER + 1).read_to_end(out).await.map(|_| ()),
            None => Ok(()),
        }
    };
    let read_err = async {
        match stderr {
            Some(stderr) => stderr.take(64 << 10).read_to_end(err).await.map(|_| ()),
            None => Ok(()),
        }
    };
    let ((), out, err) = tokio::join!(feed, read_out, read_err);
    out.and(err)?;
    child.wait().await
}
