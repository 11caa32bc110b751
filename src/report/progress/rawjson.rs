//! [`RawJsonView`]: BuildKit's own messages, one JSON object a line, for programs.
//!
//! As with `buildctl`, text that is no message stands between them: readers skip lines that do not begin with `{`.

use std::borrow::Cow;

use super::event::{Event, Level, Summary};
use super::view::{Now, ProgressView, Sink};
use super::writer::Target;
use crate::sanitise;
use crate::solve::BuildObserver;

/// BuildKit's own messages.
pub(super) struct RawJsonView(Sink);

impl RawJsonView {
    pub(super) fn new(target: Box<dyn Target>) -> Self {
        Self(Sink::new(target))
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
        self.0.put(escaped(line).as_bytes());
        self.0.put(b"\n");
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

/// The same JSON in printable ASCII: outside of strings there is nothing else, and inside of them `\u` says the same.
/// A terminal that is handed a message takes no orders from it.
fn escaped(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text;
    }
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => ascii.push(character),
            // White space between tokens; inside of a string a control character is no JSON.
            '\0'..' ' => ascii.push(' '),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    Cow::Owned(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_ascii_and_mean_the_same() {
        let line = "{\"name\":\"\u{9b}31m \u{202e} \u{7f} ü 🦀\"}\t";
        let shown = escaped(line.as_bytes());
        assert!(shown.is_ascii() && shown.bytes().all(|byte| !byte.is_ascii_control()), "{shown:?}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(line));
    }
}
