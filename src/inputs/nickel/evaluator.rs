//! [`Evaluator`]: starts the guarded child and says what became of it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use super::SUBCOMMAND;
use super::checked::Checked;
use super::diagnostic::{Diagnostic, Rule};
use super::evaluated::Evaluated;
use super::limits::{Limits, MAX_ANSWER};
use super::wire::{Answer, Document, Request};
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

    /// What `documents` say, in their order, each valid by its contract. One child does them all.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when a document cannot be read, is not valid, imports what it may not, or needs more time
    /// or memory than the limits allow. The message has everything that is wrong.
    pub async fn evaluate(&self, documents: Vec<Document>) -> Result<Vec<Evaluated>> {
        let names: Vec<String> = documents.iter().map(Document::shown).collect();
        let checked = self.ask(&documents.iter().collect::<Vec<_>>()).await?;
        let faults: Vec<_> = names
            .iter()
            .enumerate()
            .flat_map(|(number, name)| {
                let diagnostics = checked.get(&number).map(|checked| checked.diagnostics.as_slice());
                diagnostics.unwrap_or_default().iter().map(move |diagnostic| (name.as_str(), diagnostic))
            })
            .collect();
        if let Some(error) = refusal(&faults) {
            return Err(error);
        }
        let values: Vec<Evaluated> = checked.into_values().filter_map(|checked| checked.value).collect();
        if values.len() == names.len() {
            return Ok(values);
        }
        Err(Error::new(ErrorKind::Spec, format!("`{}` could not be evaluated", names.join("`, `"))))
    }

    /// What becomes of each of `documents`, in their order: its value, or everything that is wrong with it. Each has a
    /// child, and so the limits, of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when no child could be started, or it made no sense.
    pub async fn check(&self, documents: &[Document]) -> Result<Vec<Checked>> {
        let mut all = Vec::with_capacity(documents.len());
        for document in documents {
            let checked = self.ask(&[document]).await?.into_values().next();
            let silent = || Error::new(ErrorKind::Spec, format!("nothing was said of `{}`", document.shown()));
            all.push(checked.ok_or_else(silent)?);
        }
        Ok(all)
    }

    /// Starts a child for these documents. It may die of one of them, and then say nothing of those that come after.
    async fn ask(&self, documents: &[&Document]) -> Result<BTreeMap<usize, Checked>> {
        let asked = documents.iter().map(|document| (*document).clone()).collect();
        let request = serde_json::to_vec(&Request { documents: asked, limits: self.limits })
            .context(ErrorKind::Spec, || "cannot ask for an evaluation".to_owned())?;
        let child = Cmd::new(&self.program, ErrorKind::Spec).arg(SUBCOMMAND).clear_env().spawn(
            Stdio::piped(),
            Stdio::piped(),
            Stdio::piped(),
        )?;
        let mut said = Said::default();
        let ended = tokio::time::timeout(self.limits.wall, listen(child, &request, &mut said)).await;
        let Answers { busy, mut checked, is_done } = said.answers();
        let name = documents.get(busy).map_or_else(|| "the documents".to_owned(), |document| document.shown());
        let end = match ended {
            Ok(Ok(status)) if status.success() && is_done => None,
            Ok(Ok(status)) => Some(self.died(&name, status, &said)),
            Ok(Err(error)) => {
                return Err(Error::new(ErrorKind::Spec, format!("`{name}` could not be evaluated")).because(error));
            }
            Err(_) => Some(self.too_slow(&name, self.limits.wall.as_secs())),
        };
        if let Some(end) = end {
            checked.insert(busy, Checked::invalid(vec![end]));
        }
        Ok(checked)
    }

    /// What a child that died without an answer died of.
    fn died(&self, name: &str, status: ExitStatus, said: &Said) -> Diagnostic {
        let complaint = String::from_utf8_lossy(&said.stderr);
        let fault = |message: String| Diagnostic::of_file(name, Rule::Limit, message);
        if said.stdout.len() as u64 > MAX_ANSWER {
            return fault(format!("the value of `{name}` is larger than {MAX_ANSWER} bytes"));
        }
        // The last words of Rust's allocator, of Nickel's, and of Rust's stack guard.
        if complaint.contains("memory allocation of") || complaint.contains("out of memory") {
            let limit = self.limits.memory_mb;
            return fault(format!("evaluation of `{name}` needed more than {limit} MB of memory")).hint(RECURSION);
        }
        if complaint.contains("overflowed its stack") {
            return fault(format!("`{name}` is nested too deeply to be evaluated"));
        }
        match status.signal() {
            // SIGXCPU at the limit, SIGKILL a second later.
            Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => {
                self.too_slow(name, self.limits.cpu_seconds)
            }
            Some(signal) => fault(format!("evaluation of `{name}` was killed by signal {signal}")),
            None => fault(format!("evaluation of `{name}` failed: {}", complaint.trim())),
        }
    }

    fn too_slow(&self, name: &str, seconds: u64) -> Diagnostic {
        let message = format!("evaluation of `{name}` did not end within {seconds} s");
        Diagnostic::of_file(name, Rule::Limit, message).hint(RECURSION)
    }
}

/// What to do about an evaluation that needs too much.
const RECURSION: &str = "look for a recursion without an end";

/// The most faults that one error shows.
const MAX_SHOWN: usize = 10;

/// Everything that is wrong as one error: what is wrong with `x` says which document it is wrong with.
fn refusal(faults: &[(&str, &Diagnostic)]) -> Option<Error> {
    let mut before = None;
    let mut texts: Vec<String> = Vec::new();
    for (name, diagnostic) in faults.iter().take(MAX_SHOWN) {
        texts.push(match diagnostic.rule {
            Rule::Limit => diagnostic.message.clone(),
            Rule::Unreadable => format!("`{name}` {}", diagnostic.message),
            _ if before == Some(name) => diagnostic.excerpt.clone(),
            _ => format!("`{name}` is not valid: {}", diagnostic.excerpt),
        });
        before = Some(name);
    }
    if faults.len() > MAX_SHOWN {
        texts.push(format!("and {} more", faults.len() - MAX_SHOWN));
    }
    let (_, first) = faults.first()?;
    let error = Error::new(ErrorKind::Spec, texts.join("\n\n"));
    // Other hints are in the excerpts.
    Some(match &first.hint {
        Some(hint) if first.rule == Rule::Limit => error.hint(hint),
        _ => error,
    })
}

/// What the child has said so far.
#[derive(Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// The child's words, understood.
#[derive(Default)]
struct Answers {
    /// The document that it was busy with in the end.
    busy: usize,
    checked: BTreeMap<usize, Checked>,
    is_done: bool,
}

impl Said {
    fn answers(&self) -> Answers {
        let mut answers = Answers::default();
        for line in self.stdout.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Answer::Busy(number)) => answers.busy = number,
                Ok(Answer::Checked(number, checked)) => drop(answers.checked.insert(number, checked)),
                Ok(Answer::Done) => answers.is_done = true,
                Err(_) => {}
            }
        }
        answers
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
