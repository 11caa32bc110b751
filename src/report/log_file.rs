//! [`LogFile`]: everything a run printed, in a file that only its owner may read.
//!
//! Raw bytes: what a terminal must not see is kept here as it came. A file that cannot be written any more is said
//! once and never ends a run.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context as _, ErrorKind, Result};
use crate::ids::RunId;
use crate::report::units;
use crate::solve::{BuildObserver, Step, StepStatus};

/// Most logs that are kept.
const KEEP_FILES: usize = 50;
/// Most bytes of logs that are kept.
const KEEP_BYTES: u64 = 500 << 20;

/// The full log of one run: `<state>/logs/<run id>.log`.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// `None` once a write has failed.
    file: Option<BufWriter<File>>,
    fault: Option<String>,
    /// The step whose output was written last, and whether its last byte was a line break.
    current: Option<u32>,
    at_line_start: bool,
}

impl LogFile {
    /// Makes the run's log below `state` (the state directory) and removes logs that are too old or too many.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when it cannot be made; a caller goes on without a log and says so.
    pub fn create(state: &Path, run_id: RunId) -> Result<Self> {
        let directory = state.join("logs");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .context(ErrorKind::State, || format!("cannot make the log directory `{}`", directory.display()))?;
        prune(&directory, KEEP_FILES.saturating_sub(1), KEEP_BYTES);
        let path = directory.join(format!("{run_id}.log"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .context(ErrorKind::State, || format!("cannot make the log `{}`", path.display()))?;
        // Held while the run lives, so that another run's clean-up leaves it alone. Only advice: no lock is no harm.
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
        Ok(Self {
            path,
            file: Some(BufWriter::with_capacity(64 << 10, file)),
            fault: None,
            current: None,
            at_line_start: true,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line of our own.
    pub fn note(&mut self, text: &str) {
        self.leave_step();
        self.write(text.as_bytes());
        self.write(b"\n");
    }

    /// Puts everything into the file.
    pub fn flush(&mut self) {
        let flushed = self.file.as_mut().map_or(Ok(()), io::Write::flush);
        self.check(flushed);
    }

    /// What went wrong with the file, once.
    pub fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.at_line_start = *last == b'\n';
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
        self.check(written);
    }

    fn check(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.fault = Some(format!("the log `{}` ends early: {error}", self.path.display()));
        if let Some(file) = self.file.take() {
            // Not written again while it is dropped.
            let _ = file.into_parts();
        }
    }

    fn leave_step(&mut self) {
        if !self.at_line_start {
            self.write(b"\n");
        }
        self.current = None;
    }

    fn enter_step(&mut self, step: &Step) {
        if self.current != Some(step.number()) {
            self.leave_step();
            self.write(format!("#{} {}\n", step.number(), step.name()).as_bytes());
            self.current = Some(step.number());
        }
    }
}

impl BuildObserver for LogFile {
    fn step_started(&mut self, step: &Step) {
        self.enter_step(step);
    }

    fn raw_output(&mut self, step: &Step, data: &[u8]) {
        self.enter_step(step);
        self.write(data);
    }

    fn warning(&mut self, _step: Option<&Step>, warning: &str) {
        self.note(&format!("warning: {warning}"));
    }

    fn step_ended(&mut self, step: &Step) {
        let end = match step.status() {
            StepStatus::Pending | StepStatus::Running => return,
            StepStatus::Done => format!("DONE {}", units::duration(step.elapsed(jiff::Timestamp::MIN))),
            StepStatus::Cached => "CACHED".to_owned(),
            StepStatus::Cancelled => "CANCELED".to_owned(),
            StepStatus::Failed => format!("ERROR: {}", step.error().unwrap_or_default()),
        };
        self.note(&format!("#{} {end}", step.number()));
    }

    fn client_text(&mut self, line: &[u8]) {
        self.leave_step();
        self.write(line);
        self.write(b"\n");
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Removes the oldest logs until at most `files` with `bytes` in all are left. Logs of living runs stay. What cannot be
/// removed is left: the next run tries again.
fn prune(directory: &Path, files: usize, bytes: u64) {
    let Ok(entries) = directory.read_dir() else { return };
    let mut logs: Vec<(SystemTime, u64, PathBuf)> = entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    logs.sort_unstable_by(|a, b| b.cmp(a));
    let mut kept = 0_usize;
    let mut total = 0_u64;
    for (_, size, path) in logs {
        total = total.saturating_add(size);
        if (kept >= files || total > bytes) && !is_in_use(&path) {
            let _ = std::fs::remove_file(&path);
        } else {
            kept = kept.saturating_add(1);
        }
    }
}

fn is_in_use(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK))
}
