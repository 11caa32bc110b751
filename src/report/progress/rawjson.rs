//! [`RawJsonView`]: BuildKit's own messages, one JSON object a line, for programs.
//!
//! As with `buildctl`, text that is no message stands between them: readers skip lines that do not begin with `{`.

use std::io::Write;

use super::event::{Event, Level, Summary};
use super::view::{Now, ProgressView, Sink};
use crate::sanitise;
use crate::solve::BuildObserver;

/// BuildKit's own messages.
pub(super) struct RawJsonView(Sink);

impl RawJsonView {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Sink::new(out))
    }
}

impl BuildObserver for RawJsonView {
    fn client_text(&mut self, line: &[u8]) {
        let mut text = sanitise::bytes(line);
        text.push('\n');
        self.0.put(text.as_bytes());
    }
}

impl ProgressView for RawJsonView {
    fn event(&mut self, event: &Event, _now: Now) {
        if let Event::Message { level, text } = event {
            let word = match level {
                Level::Info => return,
                Level::Warning => "warning",
                Level::Error => "error",
            };
            self.0.put(format!("{word}: {}\n", sanitise::lines(text)).as_bytes());
        }
    }

    fn raw_message(&mut self, line: &[u8]) {
        let mut bytes = Vec::with_capacity(line.len().saturating_add(1));
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        self.0.put(&bytes);
    }

    fn finish(&mut self, _summary: &Summary, _now: Now) {}
}
