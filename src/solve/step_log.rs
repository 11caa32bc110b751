//! [`StepLog`]: makes lines of a step's output and keeps the last ones. Bounded whatever is printed.

use std::collections::VecDeque;

use memchr::memchr2;

use crate::sanitise;

/// Most bytes of one line that are looked at; the rest of it is counted and cut.
const MAX_LINE: usize = 8 << 10;
/// Most lines of a step that are kept.
const MAX_TAIL_LINES: usize = 200;
/// Most bytes of a step's last lines.
const MAX_TAIL_BYTES: usize = 64 << 10;

/// The output of one step.
#[derive(Debug, Default)]
pub(super) struct StepLog {
    /// The line that has begun, raw.
    pending: Vec<u8>,
    /// Bytes of it that are cut.
    cut: u64,
    /// A carriage return came last: what follows replaces the line, as on a terminal.
    returned: bool,
    tail: VecDeque<String>,
    tail_bytes: usize,
}

impl StepLog {
    /// Takes the next chunk and hands every line that it completes to `each`, safe to show.
    ///
    /// A carriage return starts the line again, so a progress bar becomes its last state.
    pub(super) fn push(&mut self, mut chunk: &[u8], each: &mut dyn FnMut(&str)) {
        while let Some(position) = memchr2(b'\n', b'\r', chunk) {
            let (part, rest) = chunk.split_at(position);
            self.hold(part);
            if rest.first() == Some(&b'\n') {
                self.end_line(each);
            } else {
                self.returned = true;
            }
            chunk = rest.get(1..).unwrap_or_default();
        }
        self.hold(chunk);
    }

    /// The step has ended: a last line without a line break counts too.
    pub(super) fn flush(&mut self, each: &mut dyn FnMut(&str)) {
        if !self.pending.is_empty() {
            self.end_line(each);
        }
    }

    /// Forgets everything: the step ended well, nobody will ask for its last lines.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The last lines, oldest first.
    pub(super) fn tail(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }

    /// Bytes held by the last lines.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// Drops the oldest of the last lines.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(line) = self.tail.pop_front() {
            self.tail_bytes = self.tail_bytes.saturating_sub(line.len());
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.returned) {
            self.pending.clear();
            self.cut = 0;
        }
        let room = MAX_LINE.saturating_sub(self.pending.len());
        let (kept, cut) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.pending.extend_from_slice(kept);
        self.cut = self.cut.saturating_add(cut.len() as u64);
    }

    fn end_line(&mut self, each: &mut dyn FnMut(&str)) {
        self.returned = false;
        let mut line = sanitise::bytes(&self.pending);
        if self.cut > 0 {
            line.push_str(&format!(" … [{} more bytes]", self.cut));
        }
        self.pending.clear();
        self.cut = 0;
        each(&line);
        self.tail_bytes = self.tail_bytes.saturating_add(line.len());
        self.tail.push_back(line);
        while self.tail.len() > MAX_TAIL_LINES || self.tail_bytes > MAX_TAIL_BYTES {
            self.drop_oldest();
        }
    }
}
