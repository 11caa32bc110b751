//! [`Frame`]: the lines of the live view's block, from values alone.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::columns::{cut, spread};
use super::event::Event;
use super::view::Now;
use crate::report::style::Style;
use crate::sanitise;
use crate::solve::{BuildState, Step};
use crate::units;

/// Below this many columns a line says only what, not how long.
const NARROW: usize = 24;

/// The room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// What the run said of itself last.
#[derive(Debug, Default)]
pub(super) struct Frame {
    stage: String,
    tier: Option<String>,
    waiting: Option<(String, Instant)>,
    transfer: Option<String>,
    /// What must be added to the runner's clock to get ours.
    clock_difference: Option<SignedDuration>,
}

impl Frame {
    pub(super) fn event(&mut self, event: &Event, now: Now) {
        match event {
            Event::Stage(name) => {
                self.stage = sanitise::short(name, 200);
                self.waiting = None;
                self.transfer = None;
            }
            Event::Waiting(what) => {
                let what = sanitise::short(what, 500);
                if self.waiting.as_ref().is_none_or(|(known, _)| *known != what) {
                    self.waiting = Some((what, now.monotonic));
                }
            }
            Event::Ready => self.waiting = None,
            Event::Transfer { bytes, total, files } => {
                let of = total.map_or_else(String::new, |total| format!(" of {}", units::bytes(total)));
                self.transfer = Some(format!("{}{of}, {}", units::bytes(*bytes), units::count(*files, "file")));
            }
            Event::Attempt { tier, .. } => {
                self.tier = Some(sanitise::short(tier, 100));
                self.clock_difference = None;
            }
            Event::Message { .. } => {}
        }
    }

    /// The block: a head, then what is waited for, what is sent, and the running steps, as many as fit.
    pub(super) fn lines(
        &mut self,
        state: &BuildState,
        elapsed: Duration,
        now: Now,
        size: Size,
    ) -> Vec<(String, Style)> {
        let mut lines = vec![(self.head(state, elapsed, size.columns), Style::Plain)];
        if let Some((what, since)) = &self.waiting {
            let waited = units::duration(now.monotonic.saturating_duration_since(*since));
            lines.push((spread(&format!(" => {what}"), &waited, size.columns), Style::Warning));
        }
        if let Some(transfer) = &self.transfer {
            lines.push((cut(&format!(" => sent {transfer}"), size.columns), Style::Plain));
        }
        let runner_now = self.runner_now(state, now);
        let running: Vec<&Step> = state.running().collect();
        // Each step may take a second line for what it says; the names come first when room is short.
        let room = size.rows.saturating_sub(lines.len());
        let (shown, more) = if running.len() > room {
            let shown = room.saturating_sub(1);
            (shown, running.len().saturating_sub(shown))
        } else {
            (running.len(), 0)
        };
        let mut spare = if more > 0 { 0 } else { room.saturating_sub(shown) };
        for step in running.into_iter().take(shown) {
            let time = if size.columns < NARROW { String::new() } else { units::duration(step.elapsed(runner_now)) };
            lines.push((spread(&format!(" => {}", step.name()), &time, size.columns), Style::Plain));
            if spare > 0
                && let Some(detail) = detail(state, step)
            {
                lines.push((cut(&format!("    {detail}"), size.columns), Style::Faint));
                spare = spare.saturating_sub(1);
            }
        }
        if more > 0 && room > 0 {
            lines.push((cut(&format!(" => and {more} more"), size.columns), Style::Plain));
        }
        lines.truncate(size.rows);
        lines
    }

    /// `[+] build 12.3s (5/7, 2 cached) on cax21`.
    fn head(&self, state: &BuildState, elapsed: Duration, columns: usize) -> String {
        let counts = state.counts();
        let mut head = format!("[+] {} {}", self.stage, units::duration(elapsed));
        if counts.total > 0 {
            head.push_str(&format!(" ({}/{}", counts.completed, counts.total));
            if counts.cached > 0 {
                head.push_str(&format!(", {} cached", counts.cached));
            }
            head.push(')');
        }
        if let Some(tier) = &self.tier {
            head.push_str(&format!(" on {tier}"));
        }
        cut(&head, columns)
    }

    /// The runner's clock now. The difference is taken once, when its first step becomes known, so that a clock that is
    /// wrong by hours shows no wrong times.
    fn runner_now(&mut self, state: &BuildState, now: Now) -> Timestamp {
        let Some(first) = state.first_step_started() else {
            self.clock_difference = None;
            return now.wall;
        };
        let difference = *self.clock_difference.get_or_insert_with(|| now.wall.duration_since(first));
        now.wall.checked_sub(difference).unwrap_or(now.wall).max(first)
    }
}

/// What a step says of itself: what it transfers, or the last line it printed.
fn detail(state: &BuildState, step: &Step) -> Option<String> {
    let open = step.transfers().iter().rev().find(|transfer| transfer.completed.is_none());
    if let Some(transfer) = open {
        let amount = match (transfer.current, transfer.total) {
            (0, 0) => String::new(),
            (current, 0) => format!(" {}", units::bytes(current)),
            (current, total) => format!(" {} / {}", units::bytes(current), units::bytes(total)),
        };
        return Some(format!("{}{amount}", transfer.id));
    }
    state.last_line(step).map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned)
}
