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
use crate::solve::{BuildObserver, Step, StepStatus};
use crate::units;

/// Most logs that are kept.
const KEEP_FILES: usize = 50;
/// Most bytes of logs that are kept.
const KEEP_BYTES: u64 = 500 << 20;

/// Longest log of one run. A step that prints without end must not fill the user's disk.
const MAX_BYTES: u64 = 1 << 30;

/// The full log of one run: `<state>/logs/<run id>.log`.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// `None` once a write has failed.
    file: Option<BufWriter<File>>,
    fault: Option<String>,
    /// Bytes that may still be written.
    room: u64,
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
        Ok(Self::over(path, file))
    }

    fn over(path: PathBuf, file: File) -> Self {
        Self {
            path,
            file: Some(BufWriter::with_capacity(64 << 10, file)),
            fault: None,
            room: MAX_BYTES,
            current: None,
            at_line_start: true,
        }
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
        let (Some(last), Some(file)) = (bytes.last(), &mut self.file) else { return };
        self.at_line_start = *last == b'\n';
        self.room = self.room.saturating_sub(bytes.len() as u64);
        if self.room == 0 {
            // What stands in the buffer is whole and still belongs there.
            let _ = file.flush();
            self.give_up(&format!("it would be longer than {}", units::bytes(MAX_BYTES)));
            return;
        }
        let written = file.write_all(bytes);
        self.check(written);
    }

    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.give_up(&error.to_string());
        }
    }

    fn give_up(&mut self, reason: &str) {
        self.fault = Some(format!("the log `{}` ends early: {reason}", self.path.display()));
        if let Some(file) = self.file.take() {
            // Taken apart, because it would be written again while it is dropped.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A log of `size` bytes that was written `age` seconds after 2001.
    fn old_log(directory: &Path, name: &str, size: u64, age: u64) -> PathBuf {
        let path = directory.join(name);
        let file = File::create(&path).unwrap();
        file.set_len(size).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000 + age)).unwrap();
        path
    }

    #[test]
    fn only_the_owner_may_read_it() {
        let state = tempfile::tempdir().unwrap();
        let log = LogFile::create(state.path(), RunId::new()).unwrap();
        assert_eq!(mode(log.path()), 0o600);
        assert_eq!(mode(&state.path().join("logs")), 0o700);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..6 {
            old_log(directory.path(), &format!("{number}.log"), 10, number);
        }
        old_log(directory.path(), "notes.txt", 10, 0);
        prune(directory.path(), 4, 1000);
        assert_eq!(names(directory.path()), ["2.log", "3.log", "4.log", "5.log", "notes.txt"]);
        prune(directory.path(), 4, 25);
        assert_eq!(names(directory.path()), ["4.log", "5.log", "notes.txt"]);
    }

    #[test]
    fn the_log_of_a_living_run_stays() {
        let state = tempfile::tempdir().unwrap();
        let living = LogFile::create(state.path(), RunId::new()).unwrap();
        let directory = state.path().join("logs");
        prune(&directory, 0, 0);
        assert_eq!(names(&directory).len(), 1);
        drop(living);
        prune(&directory, 0, 0);
        assert_eq!(names(&directory), [""; 0]);
    }

    #[test]
    fn a_full_disk_is_said_once_and_nothing_more() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut log = LogFile::over(PathBuf::from("/state/logs/1.log"), full);
        log.note("hello");
        assert_eq!(log.take_fault(), None);
        log.flush();
        let fault = log.take_fault().unwrap();
        assert!(fault.starts_with("the log `/state/logs/1.log` ends early: "), "{fault}");
        log.note("again");
        log.flush();
        assert_eq!(log.take_fault(), None);
    }

    #[test]
    fn a_log_without_end_ends() {
        let state = tempfile::tempdir().unwrap();
        let mut log = LogFile::create(state.path(), RunId::new()).unwrap();
        log.room = 20;
        log.note("0123456789");
        log.note("0123456789");
        assert!(log.take_fault().unwrap().ends_with("it would be longer than 1 GB"));
        assert_eq!(std::fs::read_to_string(log.path()).unwrap(), "0123456789\n");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("logs"), "in the way").unwrap();
        assert_eq!(LogFile::create(state.path(), RunId::new()).unwrap_err().kind(), ErrorKind::State);
    }
}
