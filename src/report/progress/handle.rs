//! [`Progress`]: the handle through which a run says what it does.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::driver::{Command, Driver, now};
use super::event::{Event, Level, Summary};
use super::live::{LiveView, Screen};
use super::mode::Mode;
use super::plain::PlainView;
use super::quiet::QuietView;
use super::rawjson::RawJsonView;
use super::view::ProgressView;
use super::writer::Writer;
use crate::clock::SharedClock;
use crate::error::{Context as _, ErrorKind, Result};
use crate::report::log_file::LogFile;
use crate::solve::BuildState;

/// Most bytes of build output that wait to be shown. More makes the build wait: nothing is queued without bound.
const MAX_QUEUED: u32 = 1 << 20;
/// How long the end of a run waits for a terminal that takes nothing.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where progress goes: stderr, made once.
pub struct Output {
    /// The stream.
    pub stream: Box<dyn Write + Send>,
    /// The terminal's size, for the live view.
    pub screen: Screen,
    /// Whether colours are used.
    pub color: bool,
}

/// The handle through which a run says what it does. Cheap to clone; no method but [`Progress::build_output`],
/// [`Progress::end_build`] and [`Progress::finish`] ever waits.
#[derive(Debug, Clone)]
pub struct Progress {
    sender: Sender<Command>,
    room: Arc<Semaphore>,
    log: Option<Arc<PathBuf>>,
    color: bool,
}

/// A wait that is shown as long as this lives.
#[derive(Debug)]
#[must_use = "the wait is over when this is dropped"]
pub struct Wait(Progress);

impl Wait {
    /// Says more precisely what the wait is for; its time counts anew.
    pub fn update(&self, what: &str) {
        self.0.waiting(what);
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.event(Event::Ready);
    }
}

impl Progress {
    /// Starts showing a run. `mode` is what [`Mode::resolve`] settled on; without a log file the run goes unlogged.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when no thread can be started.
    pub fn start(mode: Mode, output: Output, log: Option<LogFile>, clock: SharedClock) -> Result<Self> {
        let Output { stream, screen, color } = output;
        let writer = Writer::start(stream)?;
        let target = Box::new(writer.clone());
        let view: Box<dyn ProgressView> = match mode {
            Mode::Tty => Box::new(LiveView::new(target, screen, color, now(&clock))),
            Mode::Auto | Mode::Plain => Box::new(PlainView::new(target, now(&clock))),
            Mode::RawJson => Box::new(RawJsonView::new(target)),
            Mode::Quiet => Box::new(QuietView::new(target)),
        };
        let (sender, receiver) = mpsc::channel();
        let path = log.as_ref().map(|log| Arc::new(log.path().to_owned()));
        let driver = Driver::new(view, writer, log, clock);
        std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || driver.run(&receiver))
            .context(ErrorKind::State, || "cannot start the thread that shows progress".to_owned())?;
        Ok(Self { sender, room: Arc::new(Semaphore::new(MAX_QUEUED as usize)), log: path, color })
    }

    /// Where the full log is.
    pub fn log_path(&self) -> Option<&Path> {
        self.log.as_deref().map(PathBuf::as_path)
    }

    /// Whether what is shown may have colours.
    pub fn color(&self) -> bool {
        self.color
    }

    /// A stage of the flow begins.
    pub fn stage(&self, name: &str) {
        self.event(Event::Stage(name.to_owned()));
    }

    /// Nothing moves until `what` is there (`a runner on this machine to start`, `3 GB of the memory budget`); it is shown
    /// after the words `waiting for`, with the time. Over with the next stage.
    pub fn waiting(&self, what: &str) {
        self.event(Event::Waiting(format!("waiting for {what}")));
    }

    /// As [`Progress::waiting`], over when what is returned is dropped.
    pub fn wait(&self, what: &str) -> Wait {
        let wait = Wait(self.clone());
        wait.update(what);
        wait
    }

    /// Bytes and files of the context that are sent so far.
    pub fn transfer(&self, bytes: u64, total: Option<u64>, files: u64) {
        self.event(Event::Transfer { bytes, total, files });
    }

    /// An attempt begins.
    pub fn attempt(&self, number: u32, tier: &str) {
        self.event(Event::Attempt { number, tier: tier.to_owned() });
    }

    /// Something to read.
    pub fn message(&self, level: Level, text: impl Into<String>) {
        self.event(Event::Message { level, text: text.into() });
    }

    /// Something the run says of itself.
    pub fn event(&self, event: Event) {
        // Without its thread (it ended, or it died) a run goes on unseen.
        let _ = self.sender.send(Command::Event(event));
    }

    /// What `buildctl --progress rawjson` wrote on stderr, in chunks of any size. Waits while the last ones are not shown
    /// yet, so a build that prints faster than the terminal takes is held back. Safe to cancel.
    pub async fn build_output(&self, chunk: Vec<u8>) {
        if chunk.is_empty() {
            return;
        }
        let size = u32::try_from(chunk.len()).unwrap_or(u32::MAX).min(MAX_QUEUED);
        if let Ok(permit) = Arc::clone(&self.room).acquire_many_owned(size).await {
            let _ = self.sender.send(Command::Output(chunk, permit));
        }
    }

    /// The build's output has ended: what was understood of it. A next attempt starts afresh. Does not wait for the
    /// terminal.
    pub async fn end_build(&self) -> BuildState {
        let (sender, receiver) = oneshot::channel();
        let _ = self.sender.send(Command::EndBuild(sender));
        receiver.await.unwrap_or_default()
    }

    /// The run has ended: the live view folds away, the log is complete. Nothing is shown after it. A terminal that takes
    /// nothing is given up after two seconds.
    pub async fn finish(&self, summary: Summary) {
        let (sender, receiver) = oneshot::channel();
        let _ = self.sender.send(Command::Finish(summary, sender));
        let _ = tokio::time::timeout(FAREWELL, receiver).await;
    }
}
