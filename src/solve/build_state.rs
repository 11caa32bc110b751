//! [`BuildState`]: what is known of a build, folded out of BuildKit's messages.
//!
//! Bounded whatever comes: steps, lines, warnings and text all have caps. Never decides that a build failed: only
//! `buildctl`'s exit does (a cache that cannot be imported also leaves a step with an error).

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::failure::{self, ClientText, Failure};
use super::status::{SolveStatus, Vertex, VertexWarning};
use super::step::{Step, StepStatus, Transfer};
use super::step_log::StepLog;
use crate::sanitise;

/// Most steps that are kept. A large real build has a few hundred.
const MAX_STEPS: usize = 10_000;
/// Most vertices that are known, over all steps.
const MAX_VERTICES: usize = 50_000;
/// Longest digest or group id, in bytes; real ones have 71.
const MAX_ID: usize = 256;
/// Most warnings that are kept.
const MAX_WARNINGS: usize = 200;
/// Most bytes of last lines, over all steps.
const MAX_TAILS: usize = 1 << 20;
/// Longest warning, in characters.
const MAX_WARNING: usize = 500;

/// Hears what happens, in the order in which it should be shown. Every method does nothing unless it is written.
pub trait BuildObserver {
    /// A step began (or began again).
    fn step_started(&mut self, _step: &Step) {}
    /// A step printed these bytes, as they are: for the log file only.
    fn raw_output(&mut self, _step: &Step, _data: &[u8]) {}
    /// A step printed a line. `seconds` is the time since the step began; `line` is safe to show.
    fn log_line(&mut self, _step: &Step, _seconds: f64, _line: &str) {}
    /// Something inside of a step moved on.
    fn transfer(&mut self, _step: &Step, _transfer: &Transfer) {}
    /// The frontend warns; safe to show, one line. The step is the one it belongs to. Repeated warnings are told once.
    fn warning(&mut self, _step: Option<&Step>, _warning: &str) {}
    /// A step ended; its [`Step::status`] says how.
    fn step_ended(&mut self, _step: &Step) {}
    /// A line of `buildctl`'s own; not safe to show.
    fn client_text(&mut self, _line: &[u8]) {}
}

/// Hears nothing.
impl BuildObserver for () {}

/// How many steps there are, as buildx counts them: every vertex that is shown, BuildKit's own work included, a
/// progress group once. `[+] Building 1.2s (5/7)` is `completed`/`total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// All.
    pub total: u32,
    /// Ended, in whatever way.
    pub completed: u32,
    /// Of the ended ones: taken from the cache.
    pub cached: u32,
}

/// What is known of a build.
#[derive(Debug, Default)]
pub struct BuildState {
    steps: Vec<Step>,
    /// How many steps have a number.
    numbered: u32,
    /// Beside `steps`, so that a line can be handed out with its step.
    logs: Vec<Progress>,
    /// Vertex digest → step; progress groups under `group:<id>`.
    by_digest: HashMap<String, usize>,
    warnings: Vec<String>,
    text: ClientText,
    dropped: u64,
}

/// What was said of a step so far, and what it printed.
#[derive(Debug, Default)]
struct Progress {
    log: StepLog,
    announced: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// Seconds between the step's beginning and its last output.
    seconds: f64,
}

impl BuildState {
    /// Folds a message in and tells the observer what it changed.
    pub fn apply(&mut self, status: &SolveStatus, observer: &mut dyn BuildObserver) {
        let mut touched: BTreeSet<usize> = BTreeSet::new();
        for vertex in &status.vertexes {
            if let Some(at) = self.step_of(vertex)
                && let Some(step) = self.steps.get_mut(at)
            {
                step.update(vertex);
                touched.insert(at);
            }
        }
        let mut touched: Vec<usize> = touched.into_iter().collect();
        touched.sort_by_key(|at| self.steps.get(*at).and_then(Step::last_started));
        for at in &touched {
            self.announce_start(*at, observer);
        }
        for transfer in &status.statuses {
            let Some(at) = self.by_digest.get(&transfer.vertex).copied() else { continue };
            if let Some(moved) = self.steps.get_mut(at).and_then(|step| step.update_transfer(transfer)).cloned()
                && let Some(step) = self.steps.get(at)
            {
                observer.transfer(step, &moved);
            }
        }
        for log in &status.logs {
            if let Some(at) = self.by_digest.get(&log.vertex).copied() {
                self.output(at, &log.data, log.timestamp, observer);
            }
        }
        for warning in &status.warnings {
            self.warn(warning, observer);
        }
        // Last, because one message may hold a step's last lines and its end.
        touched.sort_by_key(|at| self.steps.get(*at).and_then(Step::last_ended));
        for at in touched {
            self.announce_end(at, observer);
        }
        self.limit_tails();
    }

    /// Takes a line that is no message.
    pub fn client_text(&mut self, line: &[u8], observer: &mut dyn BuildObserver) {
        observer.client_text(line);
        self.text.push(line);
    }

    /// The steps that are shown, in the order in which they became known.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.is_hidden())
    }

    /// The steps that run now.
    pub fn running(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps().filter(|step| step.status() == StepStatus::Running)
    }

    /// How many steps there are.
    pub fn counts(&self) -> StepCounts {
        let mut counts = StepCounts::default();
        for step in self.steps() {
            counts.total = counts.total.saturating_add(1);
            match step.status() {
                StepStatus::Pending | StepStatus::Running => continue,
                StepStatus::Cached => counts.cached = counts.cached.saturating_add(1),
                StepStatus::Done | StepStatus::Failed | StepStatus::Cancelled => {}
            }
            counts.completed = counts.completed.saturating_add(1);
        }
        counts
    }

    /// True when an instruction of the Dockerfile really ran: a build that came from the cache alone says nothing about
    /// what the next one needs.
    pub fn ran_anything(&self) -> bool {
        self.steps().any(|step| {
            step.is_instruction()
                && matches!(step.status(), StepStatus::Done | StepStatus::Failed | StepStatus::Cancelled)
        })
    }

    /// When the first step began, by the runner's clock.
    pub fn first_step_started(&self) -> Option<Timestamp> {
        self.steps.iter().filter_map(Step::started).min()
    }

    /// What the user should know though the build may have succeeded: the frontend's warnings, caches that could not
    /// be exported or imported. A cache that does not exist yet is no warning: every first build has one.
    pub fn warnings(&self) -> Vec<String> {
        let caches = self.steps().filter(|step| step.status() == StepStatus::Failed).filter_map(|step| {
            let error = step.error()?;
            let missing = step.is_cache_import() && error.trim_end().ends_with("not found");
            let said = sanitise::short(error, MAX_WARNING);
            ((step.is_cache_import() || step.is_cache_export()) && !missing).then(|| format!("{}: {said}", step.name()))
        });
        let dropped = (self.dropped > 0).then(|| {
            format!("the build has more steps than are followed: {} messages about others were left out", self.dropped)
        });
        self.warnings.iter().cloned().chain(caches).chain(dropped).collect()
    }

    /// The last lines that a step printed.
    pub fn log_tail(&self, step: &Step) -> Vec<String> {
        self.logs.get(step.index()).map(|progress| progress.log.tail().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// The last line that a step printed.
    pub fn last_line(&self, step: &Step) -> Option<&str> {
        self.logs.get(step.index()).and_then(|progress| progress.log.tail().next_back())
    }

    /// Lines of `buildctl`'s own, the last ones; safe to show.
    pub fn client_lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Why the build failed. To be asked only when `buildctl` said that it did, by its exit.
    pub fn failure(&self) -> Failure {
        let error = self.text.error().unwrap_or_default();
        let step = self.failing_step(&error);
        Failure {
            step_name: step.map(|step| step.name().to_owned()),
            in_export: step.is_some_and(Step::is_export),
            log_tail: step.map(|step| self.log_tail(step)).unwrap_or_default(),
            dockerfile_excerpt: self.text.excerpt(),
            exit_code: failure::exit_code(&error),
            error,
        }
    }

    /// The step that the final error speaks of: its own error stands in it. The longest one wins: `exit code: 1` of
    /// one step must not win over the whole sentence of another.
    fn failing_step(&self, error: &str) -> Option<&Step> {
        self.steps()
            .filter(|step| step.status() == StepStatus::Failed)
            .filter_map(|step| Some((step, sanitise::lines(step.error()?))))
            .filter(|(_, said)| error.contains(said.trim_end()))
            .max_by_key(|(_, said)| said.len())
            .map(|(step, _)| step)
    }

    /// The step a vertex belongs to, made where it is new.
    fn step_of(&mut self, vertex: &Vertex) -> Option<usize> {
        if vertex.digest.len() > MAX_ID || vertex.group.as_ref().is_some_and(|group| group.id.len() > MAX_ID) {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        if let Some(at) = self.by_digest.get(&vertex.digest) {
            return Some(*at);
        }
        if self.by_digest.len() >= MAX_VERTICES {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        let at = match &vertex.group {
            Some(group) => {
                let key = format!("group:{}", group.id);
                match self.by_digest.get(&key) {
                    Some(at) => *at,
                    None => {
                        let at = self.new_step(&group.name, true)?;
                        self.by_digest.insert(key, at);
                        at
                    }
                }
            }
            None => self.new_step(&vertex.name, false)?,
        };
        self.by_digest.insert(vertex.digest.clone(), at);
        Some(at)
    }

    fn new_step(&mut self, name: &str, hidden: bool) -> Option<usize> {
        if self.steps.len() >= MAX_STEPS {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        let at = self.steps.len();
        self.steps.push(Step::new(at, name, hidden));
        self.logs.push(Progress::default());
        Some(at)
    }

    fn announce_start(&mut self, at: usize, observer: &mut dyn BuildObserver) {
        let (Some(step), Some(progress)) = (self.steps.get_mut(at), self.logs.get_mut(at)) else { return };
        let started = step.last_started();
        if !step.is_hidden() && started.is_some() && started != progress.announced {
            progress.announced = started;
            if step.number() == 0 {
                self.numbered = self.numbered.saturating_add(1);
                step.give_number(self.numbered);
            }
            observer.step_started(step);
        }
    }

    fn announce_end(&mut self, at: usize, observer: &mut dyn BuildObserver) {
        let (Some(step), Some(progress)) = (self.steps.get(at), self.logs.get_mut(at)) else { return };
        let ended = step.last_ended();
        let runs = matches!(step.status(), StepStatus::Pending | StepStatus::Running);
        if step.is_hidden() || runs || ended == progress.ended {
            return;
        }
        progress.ended = ended;
        let seconds = progress.seconds;
        progress.log.flush(&mut |line| observer.log_line(step, seconds, line));
        if matches!(step.status(), StepStatus::Done | StepStatus::Cached) {
            progress.log.forget();
        }
        observer.step_ended(step);
    }

    fn output(&mut self, at: usize, data: &[u8], when: Option<Timestamp>, observer: &mut dyn BuildObserver) {
        let (Some(step), Some(progress)) = (self.steps.get(at), self.logs.get_mut(at)) else { return };
        observer.raw_output(step, data);
        let seconds = match (when, step.last_started()) {
            (Some(when), Some(started)) => when.duration_since(started).as_secs_f64().max(0.0),
            _ => 0.0,
        };
        progress.seconds = seconds;
        progress.log.push(data, &mut |line| observer.log_line(step, seconds, line));
    }

    fn warn(&mut self, warning: &VertexWarning, observer: &mut dyn BuildObserver) {
        let text = sanitise::short(&String::from_utf8_lossy(&warning.short), MAX_WARNING);
        if self.warnings.len() >= MAX_WARNINGS || self.warnings.contains(&text) {
            return;
        }
        let step = self.by_digest.get(&warning.vertex).and_then(|at| self.steps.get(*at));
        observer.warning(step, &text);
        self.warnings.push(text);
    }

    /// Many steps that each hold their last lines are held to one bound; the largest gives first.
    fn limit_tails(&mut self) {
        let mut bytes: usize = self.logs.iter().map(|progress| progress.log.tail_bytes()).sum();
        while bytes > MAX_TAILS {
            let Some(largest) = self.logs.iter_mut().max_by_key(|progress| progress.log.tail_bytes()) else { return };
            let before = largest.log.tail_bytes();
            largest.log.drop_oldest();
            bytes = bytes.saturating_sub(before.saturating_sub(largest.log.tail_bytes()).max(1));
        }
    }
}

#[cfg(test)]
#[path = "build_state_tests.rs"]
mod tests;
