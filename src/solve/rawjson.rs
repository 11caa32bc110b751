//! [`RawJson`]: splits what `buildctl --progress rawjson` writes on stderr into messages and text.
//!
//! Takes any bytes in chunks of any size and never fails: what is not a message is text. Never holds more than
//! [`MAX_LINE`] bytes.

use memchr::memchr;

use super::status::SolveStatus;

/// Longest line that is looked at. BuildKit splits messages at about 1 MiB of log, so a longer one is no message.
pub const MAX_LINE: usize = 16 << 20;

/// One line of the stream, without its line break.
#[derive(Debug)]
pub enum Item<'a> {
    /// A progress message.
    Status {
        /// The line as it came.
        line: &'a [u8],
        /// What it says.
        status: SolveStatus,
    },
    /// Anything else: a log line of `buildctl` itself, the Dockerfile excerpt, `error: …`.
    Text(&'a [u8]),
}

/// A streaming parser.
#[derive(Debug, Default)]
pub struct RawJson {
    /// The line that has begun; empty while a long one is skipped.
    pending: Vec<u8>,
    skipping: bool,
    overlong: u64,
    unparsable: u64,
}

impl RawJson {
    /// Takes the next bytes and hands every line that they complete to `each`.
    pub fn feed(&mut self, mut chunk: &[u8], each: &mut dyn FnMut(Item<'_>)) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = chunk.split_at(end);
            chunk = rest.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.pending.is_empty() {
                self.line(line, each);
            } else if self.hold(line) {
                let pending = std::mem::take(&mut self.pending);
                self.line(&pending, each);
                // Lines are of all sizes; one long line must not keep its memory for the whole build.
                if pending.capacity() <= 1 << 16 {
                    self.pending = pending;
                    self.pending.clear();
                }
            } else {
                self.skipping = false;
            }
        }
        if !self.skipping && !chunk.is_empty() {
            self.hold(chunk);
        }
    }

    /// The stream has ended: hands out a last line that had no line break.
    pub fn finish(&mut self, each: &mut dyn FnMut(Item<'_>)) {
        self.skipping = false;
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            self.line(&pending, each);
        }
    }

    /// How many lines were longer than [`MAX_LINE`] and skipped.
    pub fn overlong_lines(&self) -> u64 {
        self.overlong
    }

    /// How many lines began like a message and were none; they were handed out as text.
    pub fn unparsable_lines(&self) -> u64 {
        self.unparsable
    }

    /// Adds to the pending line; false when it became too long and is skipped from now on.
    fn hold(&mut self, bytes: &[u8]) -> bool {
        if self.pending.len().saturating_add(bytes.len()) > MAX_LINE {
            self.pending = Vec::new();
            self.skipping = true;
            self.overlong = self.overlong.saturating_add(1);
            return false;
        }
        self.pending.extend_from_slice(bytes);
        true
    }

    fn line(&mut self, line: &[u8], each: &mut dyn FnMut(Item<'_>)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() != Some(&b'{') {
            return each(Item::Text(line));
        }
        match serde_json::from_slice(line) {
            Ok(status) => each(Item::Status { line, status }),
            Err(_) => {
                self.unparsable = self.unparsable.saturating_add(1);
                each(Item::Text(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(parser: &mut RawJson, chunks: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut take = |item: Item<'_>| {
            seen.push(match item {
                Item::Status { status, .. } => format!("{} vertexes", status.vertexes.len()),
                Item::Text(line) => String::from_utf8_lossy(line).into_owned(),
            });
        };
        for chunk in chunks {
            parser.feed(chunk, &mut take);
        }
        parser.finish(&mut take);
        seen
    }

    #[test]
    fn messages_and_text_are_told_apart() {
        let mut parser = RawJson::default();
        let seen = items(&mut parser, &[b"{\"vertexes\":[{}]}\nerr", b"or: no\r\n{\"vertexes\":7}\n\n{}\nlast"]);
        assert_eq!(seen, ["1 vertexes", "error: no", "{\"vertexes\":7}", "", "0 vertexes", "last"]);
        assert_eq!(parser.unparsable_lines(), 1);
    }

    #[test]
    fn null_unknown_and_missing_fields_are_no_fault() {
        let line = br#"{"vertexes":null,"new":{"x":1},"logs":[{"vertex":"v","data":null,"timestamp":"never"}]}"#;
        let status: SolveStatus = serde_json::from_slice(line).unwrap();
        assert_eq!(status.logs.len(), 1);
        assert_eq!(status.logs.first().unwrap().timestamp, None);
    }

    #[test]
    fn a_line_without_end_is_skipped_and_counted() {
        let mut parser = RawJson::default();
        let part = vec![b'x'; 1 << 20];
        let mut chunks: Vec<&[u8]> = vec![&part; 17];
        chunks.extend([b"still the same\n{}\n".as_slice(), b"x"]);
        assert_eq!(items(&mut parser, &chunks), ["0 vertexes", "x"]);
        assert_eq!(parser.overlong_lines(), 1);
        assert_eq!(parser.unparsable_lines(), 0);
    }

    #[test]
    fn the_longest_line_is_still_read() {
        let mut parser = RawJson::default();
        let mut line = b"{\"vertexes\":[]".to_vec();
        line.resize(MAX_LINE - 1, b' ');
        line.extend_from_slice(b"}");
        assert_eq!(items(&mut parser, &[&line, b"\n"]), ["0 vertexes"]);
        line.extend_from_slice(b" ");
        assert!(items(&mut parser, &[&line, b"\n"]).is_empty());
        assert_eq!(parser.overlong_lines(), 1);
    }
}
