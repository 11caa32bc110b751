//! [`Driver`]: folds, draws and logs a run, on a thread of its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::event::{Event, Level, Summary};
use super::fan::Fan;
use super::view::{Now, ProgressView};
use super::writer::Writer;
use crate::clock::SharedClock;
use crate::report::log_file::LogFile;
use crate::solve::BuildState;
use crate::solve::rawjson::{Item, MAX_LINE, RawJson};
use crate::units;

/// What the handle sends.
pub(super) enum Command {
    /// The run says something of itself.
    Event(Event),
    /// The build printed; the permit is let go once that is shown.
    Output(Vec<u8>, OwnedSemaphorePermit),
    /// The build has ended: what is known of it?
    EndBuild(oneshot::Sender<BuildState>),
    /// The run has ended; answered once everything is shown.
    Finish(Summary, oneshot::Sender<()>),
}

/// Folds, draws and logs a run.
pub(super) struct Driver {
    view: Box<dyn ProgressView>,
    writer: Writer,
    log: Option<LogFile>,
    clock: SharedClock,
    parser: RawJson,
    state: BuildState,
}

impl Driver {
    pub(super) fn new(view: Box<dyn ProgressView>, writer: Writer, log: Option<LogFile>, clock: SharedClock) -> Self {
        Self { view, writer, log, clock, parser: RawJson::default(), state: BuildState::default() }
    }

    /// Goes on until the run has ended or nobody can send any more.
    pub(super) fn run(mut self, receiver: &Receiver<Command>) {
        let mut last_tick = self.clock.monotonic();
        loop {
            let due = self.view.tick_every().saturating_sub(self.since(last_tick));
            let command = receiver.recv_timeout(due);
            match command {
                Ok(Command::Event(event)) => self.event(&event),
                Ok(Command::Output(chunk, permit)) => {
                    self.output(&chunk);
                    self.view.flush();
                    self.writer.release(permit);
                }
                Ok(Command::EndBuild(answer)) => {
                    let state = self.end_build();
                    // A caller that no longer waits needs no answer.
                    let _ = answer.send(state);
                }
                Ok(Command::Finish(summary, answer)) => {
                    self.finish(&summary);
                    self.writer.answer(answer);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.report_log_fault();
            self.view.flush();
            if self.since(last_tick) >= self.view.tick_every() {
                last_tick = self.clock.monotonic();
                self.view.tick(&self.state, now(&self.clock));
                self.view.flush();
            }
        }
    }

    fn since(&self, then: Instant) -> Duration {
        self.clock.monotonic().saturating_duration_since(then)
    }

    fn event(&mut self, event: &Event) {
        if let Some(log) = &mut self.log {
            match event {
                Event::Stage(name) => log.note(&format!("==> {name}")),
                Event::Waiting(what) => log.note(what),
                Event::Attempt { number, tier } => log.note(&format!("==> attempt {number} on {tier}")),
                Event::Message { text, .. } => log.note(text),
                Event::Ready | Event::Transfer { .. } => {}
            }
        }
        self.view.event(event, now(&self.clock));
    }

    fn output(&mut self, chunk: &[u8]) {
        let Self { view, log, parser, state, .. } = self;
        parser.feed(chunk, &mut |item| take(item, &mut **view, log.as_mut(), state));
    }

    fn end_build(&mut self) -> BuildState {
        let Self { view, log, parser, state, .. } = self;
        parser.finish(&mut |item| take(item, &mut **view, log.as_mut(), state));
        if let Some(log) = &mut self.log {
            log.flush();
        }
        self.report_unread_lines();
        self.view.tick(&self.state, now(&self.clock));
        self.view.flush();
        self.parser = RawJson::default();
        std::mem::take(&mut self.state)
    }

    fn finish(&mut self, summary: &Summary) {
        if let Some(log) = &mut self.log {
            log.note(&summary.headline);
            log.flush();
        }
        self.report_log_fault();
        self.view.finish(summary, now(&self.clock));
        self.view.flush();
    }

    /// Nothing of a build's output goes missing without a word.
    fn report_unread_lines(&mut self) {
        let overlong = self.parser.overlong_lines();
        if overlong > 0 {
            let text = format!(
                "{} of BuildKit's progress longer than {} skipped",
                units::count(overlong, "line"),
                units::bytes(MAX_LINE as u64)
            );
            self.event(&Event::Message { level: Level::Warning, text });
        }
        let unparsable = self.parser.unparsable_lines();
        if unparsable > 0 {
            let text = format!("{} of BuildKit's progress not understood", units::count(unparsable, "line"));
            self.event(&Event::Message { level: Level::Warning, text });
        }
    }

    fn report_log_fault(&mut self) {
        if let Some(text) = self.log.as_mut().and_then(LogFile::take_fault) {
            self.view.event(&Event::Message { level: Level::Warning, text }, now(&self.clock));
        }
    }
}

fn take(item: Item<'_>, view: &mut dyn ProgressView, log: Option<&mut LogFile>, state: &mut BuildState) {
    match item {
        Item::Status { line, status } => {
            view.raw_message(line);
            state.apply(&status, &mut Fan { view, log });
        }
        Item::Text(line) => state.client_text(line, &mut Fan { view, log }),
    }
}

/// The moment it is.
pub(super) fn now(clock: &SharedClock) -> Now {
    Now { monotonic: clock.monotonic(), wall: clock.now() }
}
