//! What rsync says while it works (`--info=progress2`) and at the end (`--stats`).

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transferred {
    /// Bytes of file content that have been dealt with.
    pub bytes: u64,
    /// Files that have been sent.
    pub files: u64,
}

/// What a finished transfer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Regular files that were sent.
    pub files: u64,
    /// Bytes that went over the connection, with rsync's own.
    pub bytes_sent: u64,
    /// Bytes of all files together.
    pub file_bytes: u64,
}

/// Reads `  1234  56%  1.00MB/s  0:00:01 (xfr#7, to-chk=3/10)`.
pub(super) fn progress_line(line: &str) -> Option<Transferred> {
    let mut words = line.split_ascii_whitespace();
    let bytes = number(words.next()?)?;
    if !words.next()?.ends_with('%') {
        return None;
    }
    let files = line.split_once("xfr#").map_or(Some(0), |(_, rest)| {
        number(rest.split(|character: char| !character.is_ascii_digit()).next().unwrap_or_default())
    })?;
    Some(Transferred { bytes, files })
}

impl Statistics {
    /// Takes over what a line of `--stats` says; any other line changes nothing.
    pub(super) fn read_line(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(": ") else { return };
        let Some(value) = value.split_ascii_whitespace().next().and_then(number) else { return };
        match name {
            "Number of regular files transferred" => self.files = value,
            "Total bytes sent" => self.bytes_sent = value,
            "Total file size" => self.file_bytes = value,
            _ => {}
        }
    }
}

/// A number, with or without separators.
fn number(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|character| !matches!(character, ',' | '.')).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn progress_lines_are_read() {
        let line = "      500000 100%   12.34MB/s    0:00:01 (xfr#2, to-chk=0/5)";
        assert_eq!(progress_line(line), Some(Transferred { bytes: 500_000, files: 2 }));
        let line = "  1,234,567  45%    1.00MB/s    0:00:09";
        assert_eq!(progress_line(line), Some(Transferred { bytes: 1_234_567, files: 0 }));
        for other in ["", "Total bytes sent: 12", "sent 1 bytes  received 2 bytes", "12 files"] {
            assert_eq!(progress_line(other), None, "{other}");
        }
    }

    #[test]
    fn statistics_are_gathered_line_by_line() {
        let mut statistics = Statistics::default();
        for line in [
            "Number of files: 5 (reg: 2, dir: 3)",
            "Number of regular files transferred: 2",
            "Total file size: 1,500,000 bytes",
            "Total bytes sent: 1500321",
            "Total bytes received: 57",
        ] {
            statistics.read_line(line);
        }
        assert_eq!(statistics, Statistics { files: 2, bytes_sent: 1_500_321, file_bytes: 1_500_000 });
    }

    proptest! {
        #[test]
        fn any_line_is_taken(line in ".{0,80}") {
            let _ = progress_line(&line);
            Statistics::default().read_line(&line);
        }
    }
}
