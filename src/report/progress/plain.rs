//! [`PlainView`]: one line a fact, as BuildKit's plain progress prints them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::event::{Event, Level, Summary};
use super::view::{Now, ProgressView, Sink, closing_line};
use super::writer::Target;
use crate::sanitise;
use crate::solve::{BuildObserver, BuildState, Step, StepCounts, StepStatus, Transfer};
use crate::units;

/// How often something that goes on is said again.
const AGAIN: Duration = Duration::from_secs(10);
/// How often a transfer's progress is said, by the runner's clock.
const TRANSFER_AGAIN: i64 = 5;

/// One line a fact.
pub(super) struct PlainView {
    out: Sink,
    /// What is waited for, since when, and when it was said last.
    waiting: Option<(String, Instant, Instant)>,
    /// The context's transfer as it was said last, and what has come since.
    sent: Option<Instant>,
    unsaid: Option<String>,
    /// When a transfer inside of a step was said last.
    transfers: HashMap<(u32, String), Option<Timestamp>>,
    /// Steps whose name stands in the output already.
    named: HashSet<u32>,
    /// A step that has ended, and how: said as soon as anything else happens. BuildKit begins its own steps twice in a
    /// row, and two ends would only confuse.
    ended: Option<(u32, String)>,
    counts: StepCounts,
    begun: Instant,
}

impl PlainView {
    pub(super) fn new(target: Box<dyn Target>, now: Now) -> Self {
        Self {
            out: Sink::new(target),
            waiting: None,
            sent: None,
            unsaid: None,
            transfers: HashMap::new(),
            named: HashSet::new(),
            ended: None,
            counts: StepCounts::default(),
            begun: now.monotonic,
        }
    }

    fn line(&mut self, text: &str) {
        if let Some((_, ended)) = self.ended.take() {
            self.out.put(format!("{ended}\n").as_bytes());
        }
        self.out.put(format!("{text}\n").as_bytes());
    }

    /// As [`PlainView::line`], about a step.
    fn step_line(&mut self, step: &Step, text: &str) {
        self.ended.take_if(|(number, _)| *number == step.number());
        self.line(&format!("#{} {text}", step.number()));
    }

    fn end_step(&mut self, step: &Step, how: &str) {
        if let Some((_, other)) = self.ended.take_if(|(number, _)| *number != step.number()) {
            self.line(&other);
        }
        self.ended = Some((step.number(), format!("#{} {how}", step.number())));
    }

    /// Says how far the context's transfer came, where that is not said yet.
    fn settle(&mut self) {
        if let Some(text) = self.unsaid.take() {
            self.line(&text);
        }
        self.sent = None;
    }

    fn end_wait(&mut self, now: Now) {
        if let Some((what, since, said)) = self.waiting.take()
            && said > since
        {
            let waited = units::duration(now.monotonic.saturating_duration_since(since));
            self.line(&format!("{what}: took {waited}"));
        }
    }
}

impl BuildObserver for PlainView {
    fn step_started(&mut self, step: &Step) {
        if self.named.insert(step.number()) {
            self.step_line(step, step.name());
        }
    }

    fn log_line(&mut self, step: &Step, seconds: f64, line: &str) {
        let precision = if seconds < 10.0 {
            3
        } else if seconds < 100.0 {
            2
        } else {
            1
        };
        self.step_line(step, &format!("{seconds:.precision$} {line}"));
    }

    fn transfer(&mut self, step: &Step, transfer: &Transfer) {
        let key = (step.number(), transfer.id.clone());
        if transfer.completed.is_some() {
            self.transfers.remove(&key);
        } else {
            let known = self.transfers.get(&key).copied();
            let recent = match (known, transfer.at) {
                // BuildKit's own transfers are over at once mostly; only those that last are worth a line before that.
                (None, _) => step.is_internal(),
                (Some(Some(last)), Some(at)) => at.duration_since(last).as_secs() < TRANSFER_AGAIN,
                (Some(_), _) => true,
            };
            if known.is_none() || !recent {
                self.transfers.insert(key, transfer.at);
            }
            if recent {
                return;
            }
        }
        let amount = match (transfer.current, transfer.total) {
            (0, 0) => String::new(),
            (current, 0) => format!(" {}", units::bytes(current)),
            (current, total) => format!(" {} / {}", units::bytes(current), units::bytes(total)),
        };
        let done = if transfer.completed.is_some() { " done" } else { "" };
        self.step_line(step, &format!("{}{amount}{done}", transfer.id));
    }

    fn warning(&mut self, step: Option<&Step>, warning: &str) {
        match step {
            Some(step) => self.step_line(step, &format!("WARN: {warning}")),
            None => self.line(&format!("WARN: {warning}")),
        }
    }

    fn step_ended(&mut self, step: &Step) {
        match step.status() {
            StepStatus::Pending | StepStatus::Running => {}
            StepStatus::Done => self.end_step(step, &format!("DONE {}", units::duration(step.elapsed(Timestamp::MIN)))),
            StepStatus::Cached => self.end_step(step, "CACHED"),
            StepStatus::Cancelled => self.end_step(step, "CANCELED"),
            StepStatus::Failed => {
                let error = sanitise::lines(step.error().unwrap_or_default());
                self.end_step(step, &format!("ERROR: {}", error.trim_end()));
            }
        }
    }
}

impl ProgressView for PlainView {
    fn event(&mut self, event: &Event, now: Now) {
        match event {
            Event::Stage(name) => {
                self.settle();
                self.end_wait(now);
                self.line(&format!("==> {}", sanitise::line(name)));
            }
            Event::Waiting(what) => {
                let what = sanitise::line(what);
                if self.waiting.as_ref().is_none_or(|(known, ..)| *known != what) {
                    self.end_wait(now);
                    self.line(&what);
                    self.waiting = Some((what, now.monotonic, now.monotonic));
                }
            }
            Event::Ready => self.end_wait(now),
            Event::Transfer { bytes, total, files } => {
                let of = total.map_or_else(String::new, |total| format!(" of {}", units::bytes(total)));
                self.unsaid = Some(format!("sent {}{of}, {}", units::bytes(*bytes), units::count(*files, "file")));
                if self.sent.is_none_or(|sent| now.monotonic.saturating_duration_since(sent) >= AGAIN) {
                    self.settle();
                    self.sent = Some(now.monotonic);
                }
            }
            Event::Attempt { number, tier } => {
                // The next attempt's steps are numbered afresh.
                self.named.clear();
                self.transfers.clear();
                self.line(&format!("==> attempt {number} on {}", sanitise::line(tier)));
            }
            Event::Message { level, text } => {
                let word = match level {
                    Level::Info => "",
                    Level::Warning => "warning: ",
                    Level::Error => "error: ",
                };
                self.line(&format!("{word}{}", sanitise::lines(text)));
            }
        }
    }

    fn tick(&mut self, state: &BuildState, now: Now) {
        let counts = state.counts();
        if counts.total > 0 {
            self.counts = counts;
        }
        if let Some((_, ended)) = self.ended.take() {
            self.line(&ended);
        }
        let Some((what, since, said)) = &mut self.waiting else { return };
        if now.monotonic.saturating_duration_since(*said) >= AGAIN {
            *said = now.monotonic;
            let waited = units::duration(now.monotonic.saturating_duration_since(*since));
            let text = format!("{what}: {waited} so far");
            self.line(&text);
        }
    }

    fn flush(&mut self) {
        self.out.flush();
    }

    fn finish(&mut self, summary: &Summary, now: Now) {
        self.settle();
        self.end_wait(now);
        if let Some(failure) = &summary.failure {
            self.line(failure.trim_end());
        }
        let elapsed = now.monotonic.saturating_duration_since(self.begun);
        self.line(&closing_line(summary, self.counts, elapsed));
        self.flush();
    }
}
