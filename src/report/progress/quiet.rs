//! [`QuietView`]: nothing but errors.

use super::event::{Event, Level, Summary};
use super::view::{Now, ProgressView, Sink};
use super::writer::Target;
use crate::sanitise;
use crate::solve::BuildObserver;

/// Nothing but errors.
pub(super) struct QuietView(Sink);

impl QuietView {
    pub(super) fn new(target: Box<dyn Target>) -> Self {
        Self(Sink::new(target))
    }
}

impl BuildObserver for QuietView {}

impl ProgressView for QuietView {
    fn event(&mut self, event: &Event, _now: Now) {
        if let Event::Message { level: Level::Error, text } = event {
            self.0.put(format!("error: {}\n", sanitise::lines(text)).as_bytes());
        }
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn finish(&mut self, summary: &Summary, _now: Now) {
        if let Some(failure) = &summary.failure {
            self.0.put(failure.as_bytes());
        }
    }
}
