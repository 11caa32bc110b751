//! [`LiveView`]: the view of a terminal. A block of lines that is drawn again and again, and folds away at the end.
//!
//! Nothing is left behind that would need putting right: the cursor stays visible and the terminal's modes alone, so a
//! killed process leaves a usable terminal.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::columns;
use super::event::{Event, Level, Summary};
use super::frame::{self, Frame};
use super::view::{Now, ProgressView, Sink, closing_line};
use super::writer::Target;
use crate::report::style::{Style, paint};
use crate::sanitise;
use crate::solve::{BuildObserver, BuildState, Step, StepCounts};

/// Asks for the terminal's size: columns and rows. `None` when there is none.
pub type Screen = Box<dyn Fn() -> Option<(u16, u16)> + Send>;

/// How often the block is drawn at most.
const REDRAW: Duration = Duration::from_millis(100);
/// What a terminal that does not say its size is taken for.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// The view of a terminal.
pub(super) struct LiveView {
    out: Sink,
    screen: Screen,
    color: bool,
    begun: Instant,
    frame: Frame,
    counts: StepCounts,
    /// Lines that stay, not written yet.
    above: Vec<String>,
    /// Columns of each line of the block as it stands on the terminal.
    drawn: Vec<usize>,
}

impl LiveView {
    pub(super) fn new(target: Box<dyn Target>, screen: Screen, color: bool, now: Now) -> Self {
        Self {
            out: Sink::new(target),
            screen,
            color,
            begun: now.monotonic,
            frame: Frame::default(),
            counts: StepCounts::default(),
            above: Vec::new(),
            drawn: Vec::new(),
        }
    }

    fn size(&self) -> (u16, u16) {
        (self.screen)().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL_SIZE)
    }

    fn keep(&mut self, text: &str, style: Style) {
        let text = sanitise::lines(text);
        self.above.extend(text.trim_end().lines().map(|line| paint(line, style, self.color)));
    }

    /// Replaces the block. Lines that stay go above it.
    fn draw(&mut self, block: &[(String, Style)]) {
        let (screen_columns, _) = self.size();
        let mut text = String::new();
        let up = rows(&self.drawn, usize::from(screen_columns));
        if up > 0 {
            // Writing to a string does not fail.
            let _ = write!(text, "\u{1b}[{up}A");
        }
        text.push('\r');
        if !self.above.is_empty() {
            // Lines that stay may be longer than the screen and cover the old block in part only.
            text.push_str("\u{1b}[J");
        }
        for line in self.above.drain(..) {
            text.push_str(&line);
            text.push('\n');
        }
        for (line, style) in block {
            // Cleared first: behind a full line it would clear the last column.
            let _ = writeln!(text, "\u{1b}[K{}", paint(line, *style, self.color));
        }
        text.push_str("\u{1b}[J");
        self.drawn = block.iter().map(|(line, _)| columns::width(line)).collect();
        self.out.put(text.as_bytes());
        self.out.flush();
    }
}

/// How many rows the lines take on a terminal that may have become narrower since they were drawn.
fn rows(widths: &[usize], columns: usize) -> usize {
    widths.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum()
}

impl BuildObserver for LiveView {
    fn warning(&mut self, _step: Option<&Step>, warning: &str) {
        self.keep(&format!("warning: {warning}"), Style::Warning);
    }
}

impl ProgressView for LiveView {
    fn event(&mut self, event: &Event, now: Now) {
        match event {
            Event::Message { level: Level::Info, text } => self.keep(text, Style::Plain),
            Event::Message { level: Level::Warning, text } => self.keep(&format!("warning: {text}"), Style::Warning),
            Event::Message { level: Level::Error, text } => self.keep(&format!("error: {text}"), Style::Error),
            Event::Attempt { number, tier } if *number > 1 => {
                self.keep(&format!("attempt {number} on {tier}"), Style::Plain);
                self.frame.event(event, now);
            }
            _ => self.frame.event(event, now),
        }
    }

    fn tick(&mut self, state: &BuildState, now: Now) {
        let counts = state.counts();
        if counts.total > 0 {
            self.counts = counts;
        }
        if self.out.is_busy() {
            // The terminal stands still; drawings that nobody sees must not pile up.
            return;
        }
        let (screen_columns, screen_rows) = self.size();
        let size = frame::Size {
            // The last column stays free: some terminals break the line when it is filled.
            columns: usize::from(screen_columns).saturating_sub(1),
            rows: usize::from(screen_rows).saturating_sub(1),
        };
        let elapsed = now.monotonic.saturating_duration_since(self.begun);
        let block = self.frame.lines(state, elapsed, now, size);
        self.draw(&block);
    }

    fn tick_every(&self) -> Duration {
        REDRAW
    }

    /// Nothing: what is drawn is written at once, and lines that stay wait for the next drawing.
    fn flush(&mut self) {}

    fn finish(&mut self, summary: &Summary, now: Now) {
        if let Some(failure) = &summary.failure {
            self.above.extend(failure.trim_end().lines().map(str::to_owned));
        }
        let elapsed = now.monotonic.saturating_duration_since(self.begun);
        let style = if summary.success { Style::Good } else { Style::Error };
        self.keep(&closing_line(summary, self.counts, elapsed), style);
        self.draw(&[]);
    }
}

impl Drop for LiveView {
    /// A run that ends without a summary (it panicked) leaves no block behind.
    fn drop(&mut self) {
        if !self.drawn.is_empty() || !self.above.is_empty() {
            self.draw(&[]);
        }
    }
}
