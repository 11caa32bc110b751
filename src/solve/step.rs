//! [`Step`]: one line of the build as a user sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::status::{Vertex, VertexStatus};
use crate::sanitise;

/// Longest name that is kept, in characters: a heredoc stands in the name as a whole.
const MAX_NAME: usize = 1024;
/// Longest error that is kept of one vertex, in characters.
const MAX_ERROR: usize = 8 << 10;
/// Most vertices of one progress group.
const MAX_MEMBERS: usize = 256;
/// Most runs of one vertex that are kept.
const MAX_RUNS: usize = 16;
/// Most transfers that are kept of one step; an image has a few dozen layers.
const MAX_TRANSFERS: usize = 256;

/// One step: a vertex of the build graph, or a progress group whose members are shown as one.
#[derive(Debug, Clone)]
pub struct Step {
    index: usize,
    number: u32,
    name: String,
    members: BTreeMap<String, Member>,
    transfers: Vec<Transfer>,
    hidden: bool,
}

/// One vertex of a step.
#[derive(Debug, Clone, Default)]
struct Member {
    started: bool,
    cached: bool,
    error: String,
    /// Start → end. A vertex may run more than once.
    runs: BTreeMap<Timestamp, Option<Timestamp>>,
}

/// Progress inside of a step: a layer that is pulled, a context that is read, an export.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// What is in progress, made safe to show.
    pub id: String,
    /// Bytes or items so far.
    pub current: u64,
    /// Bytes or items in all; 0 when not known.
    pub total: u64,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// When this was last said.
    pub at: Option<Timestamp>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Running.
    Running,
    /// Ended well.
    Done,
    /// Taken from the cache.
    Cached,
    /// Ended with an error. Whether the build failed is another question.
    Failed,
    /// Ended because something else failed or the run was cancelled.
    Cancelled,
}

impl Step {
    /// A step that nothing is known of yet. A group is `hidden` until a member that is not weak runs or fails.
    pub(super) fn new(index: usize, name: &str, hidden: bool) -> Self {
        Self { index, number: 0, name: short_name(name), members: BTreeMap::new(), transfers: Vec::new(), hidden }
    }

    /// The number it is shown with, from 1 in the order in which steps began; 0 before that.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Gives it its number, once.
    pub(super) fn give_number(&mut self, number: u32) {
        self.number = number;
    }

    /// Its place among all steps of the build.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// What it is called, on one line and safe to show: `[build 2/4] RUN make`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True for BuildKit's own work: `[internal] load build context`, `[auth] …`.
    pub fn is_internal(&self) -> bool {
        self.name.starts_with("[internal]") || self.name.starts_with("[auth]")
    }

    /// True for a step that a Dockerfile names: `[build 2/4] RUN make`. What BuildKit does around it is none.
    pub fn is_instruction(&self) -> bool {
        self.name.starts_with('[') && !self.is_internal() && !self.name.starts_with("[context ")
    }

    /// True for what brings a finished image to where it belongs.
    pub fn is_export(&self) -> bool {
        self.name.starts_with("exporting to ") || self.name.starts_with("pushing ")
    }

    /// True while the step is not shown (a progress group of weak members only).
    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// True for the import of a cache; an error there costs time only.
    pub fn is_cache_import(&self) -> bool {
        self.name.starts_with("importing cache manifest")
    }

    /// True for the export of the cache.
    pub fn is_cache_export(&self) -> bool {
        self.name.starts_with("exporting cache")
    }

    /// How it stands.
    pub fn status(&self) -> StepStatus {
        let runs = || self.members.values().flat_map(|member| member.runs.values());
        if runs().next().is_none() {
            return StepStatus::Pending;
        }
        if runs().any(Option::is_none) {
            return StepStatus::Running;
        }
        match self.error() {
            Some(error) if error.ends_with("context canceled") => StepStatus::Cancelled,
            Some(_) => StepStatus::Failed,
            None if self.members.values().all(|member| member.cached) => StepStatus::Cached,
            None => StepStatus::Done,
        }
    }

    /// The error as it came (not safe to show), where a member ended with one.
    pub fn error(&self) -> Option<&str> {
        self.members.values().map(|member| member.error.as_str()).find(|error| !error.is_empty())
    }

    /// When it first began.
    pub fn started(&self) -> Option<Timestamp> {
        self.members.values().filter_map(|member| member.runs.keys().next()).min().copied()
    }

    /// When the run that is now in progress, or the last one, began.
    pub fn last_started(&self) -> Option<Timestamp> {
        self.members.values().filter_map(|member| member.runs.keys().next_back()).max().copied()
    }

    /// How long it ran, up to `now` while it runs. Overlapping runs count once.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        let mut runs: Vec<(Timestamp, Timestamp)> = self
            .members
            .values()
            .flat_map(|member| &member.runs)
            .map(|(start, end)| (*start, end.unwrap_or(now).max(*start)))
            .collect();
        runs.sort_unstable();
        let mut total = Duration::ZERO;
        let mut counted_to = Timestamp::MIN;
        for (start, end) in runs {
            let from = start.max(counted_to);
            if end > from {
                total = total.saturating_add(Duration::try_from(end.duration_since(from)).unwrap_or_default());
                counted_to = end;
            }
        }
        total
    }

    /// Progress inside of the step, in the order in which it became known.
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// When it ended last; changes when it runs again and ends again.
    pub(super) fn last_ended(&self) -> Option<Timestamp> {
        self.members.values().flat_map(|member| member.runs.values()).flatten().max().copied()
    }

    /// Takes the newest version of a member.
    pub(super) fn update(&mut self, vertex: &Vertex) {
        if !self.members.contains_key(&vertex.digest) && self.members.len() >= MAX_MEMBERS {
            return;
        }
        if vertex.group.is_none() && !vertex.name.is_empty() {
            self.name = short_name(&vertex.name);
        }
        let member = self.members.entry(vertex.digest.clone()).or_default();
        // A late copy of the first version (no start yet) must not undo what is known.
        if !member.started || vertex.started.is_some() {
            member.cached = vertex.cached;
            member.error = vertex.error.chars().take(MAX_ERROR).collect();
        }
        if let Some(started) = vertex.started {
            member.started = true;
            member.runs.insert(started, vertex.completed);
            if member.runs.len() > MAX_RUNS {
                member.runs.pop_first();
            }
        }
        if vertex.group.as_ref().is_some_and(|group| !group.weak && vertex.started.is_some())
            || !vertex.error.is_empty()
        {
            self.hidden = false;
        }
    }

    /// Takes the newest version of a transfer; `None` when too many are known already.
    pub(super) fn update_transfer(&mut self, status: &VertexStatus) -> Option<&Transfer> {
        let id = sanitise::short(&status.id, MAX_NAME);
        let transfer = Transfer {
            current: u64::try_from(status.current).unwrap_or(0),
            total: u64::try_from(status.total).unwrap_or(0),
            started: status.started,
            completed: status.completed,
            at: status.timestamp,
            id,
        };
        let position = self.transfers.iter().position(|known| known.id == transfer.id);
        match position {
            Some(position) => {
                let known = self.transfers.get_mut(position)?;
                *known = transfer;
                Some(known)
            }
            None if self.transfers.len() < MAX_TRANSFERS => {
                self.transfers.push(transfer);
                self.transfers.last()
            }
            None => None,
        }
    }
}

fn short_name(name: &str) -> String {
    sanitise::short(name, MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solve::status::ProgressGroup;

    fn at(second: u8) -> Option<Timestamp> {
        Some(format!("2026-01-01T00:00:{second:02}Z").parse().unwrap())
    }

    fn run(digest: &str, started: u8, completed: Option<u8>) -> Vertex {
        Vertex {
            digest: digest.to_owned(),
            started: at(started),
            completed: completed.and_then(at),
            ..Vertex::default()
        }
    }

    fn step(versions: &[Vertex]) -> Step {
        let mut step = Step::new(0, "RUN x", false);
        for version in versions {
            step.update(version);
        }
        step
    }

    #[test]
    fn a_late_copy_of_the_first_version_undoes_nothing() {
        let first = Vertex { digest: "a".to_owned(), ..Vertex::default() };
        let cached = Vertex { cached: true, ..run("a", 1, Some(1)) };
        assert_eq!(step(&[first.clone(), cached.clone(), first.clone()]).status(), StepStatus::Cached);
        assert_eq!(step(&[first]).status(), StepStatus::Pending);
        // A new run does.
        assert_eq!(step(&[cached, run("a", 2, None)]).status(), StepStatus::Running);
    }

    #[test]
    fn cancelled_is_not_failed() {
        let ended = |error: &str| step(&[Vertex { error: error.to_owned(), ..run("a", 1, Some(2)) }]).status();
        assert_eq!(ended("exit code: 137: context canceled: context canceled"), StepStatus::Cancelled);
        assert_eq!(ended("exit code: 137"), StepStatus::Failed);
        assert_eq!(ended(""), StepStatus::Done);
    }

    #[test]
    fn time_that_passes_for_two_members_counts_once() {
        let second = Timestamp::from_second(1_767_225_620).unwrap();
        assert_eq!(Some(second), at(20));
        let overlapping = step(&[run("a", 1, Some(5)), run("b", 3, Some(8)), run("c", 10, Some(11))]);
        assert_eq!(overlapping.elapsed(second), Duration::from_secs(8));
        assert_eq!(step(&[run("a", 1, Some(2)), run("a", 15, None)]).elapsed(second), Duration::from_secs(6));
        // A clock that is behind makes no negative times.
        assert_eq!(step(&[run("a", 15, None)]).elapsed(Timestamp::MIN), Duration::ZERO);
    }

    #[test]
    fn a_group_of_weak_members_stays_hidden() {
        let member = |weak: bool, error: &str| Vertex {
            group: Some(ProgressGroup { weak, ..ProgressGroup::default() }),
            error: error.to_owned(),
            ..run("a", 1, Some(2))
        };
        let mut group = Step::new(0, "COPY --link", true);
        group.update(&member(true, ""));
        assert!(group.is_hidden());
        for shows in [member(false, ""), member(true, "broken")] {
            let mut group = group.clone();
            group.update(&shows);
            assert!(!group.is_hidden());
        }
    }

    #[test]
    fn what_comes_without_end_keeps_little() {
        let mut step = Step::new(0, &"x".repeat(100_000), false);
        for number in 0..2000 {
            step.update(&run(&format!("member {number}"), 1, None));
            let started = at(0).and_then(|first| first.checked_add(jiff::SignedDuration::from_secs(number)).ok());
            step.update(&Vertex { started, error: "e".repeat(100_000), ..run("member 0", 1, None) });
            step.update_transfer(&VertexStatus { id: format!("layer {number}"), ..VertexStatus::default() });
        }
        assert_eq!((step.members.len(), step.transfers.len()), (MAX_MEMBERS, MAX_TRANSFERS));
        let member = step.members.get("member 0").unwrap();
        assert_eq!((member.runs.len(), member.error.len()), (MAX_RUNS, MAX_ERROR));
        assert!(step.name().chars().count() <= MAX_NAME + 1);
    }
}
