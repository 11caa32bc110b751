//! [`Failure`]: why a build failed, as far as `buildctl`'s own last words say it.

use std::collections::VecDeque;

use crate::sanitise;

/// Most lines of text that are kept: the excerpt and the error come last.
const MAX_LINES: usize = 200;
/// Most bytes of one line of text.
const MAX_LINE: usize = 16 << 10;
/// Most bytes of text in all.
const MAX_BYTES: usize = 256 << 10;
/// What the final error begins with.
const ERROR: &str = "error: ";

/// Why a build failed. All text is safe to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// The step that the final error is about; `None` when no step ran (a broken Dockerfile).
    pub step_name: Option<String>,
    /// True when the build itself was done and its result could not be brought to where it belongs.
    pub in_export: bool,
    /// The final error, without `error: failed to solve: `; empty when `buildctl` ended without a word.
    pub error: String,
    /// The failing step's last lines.
    pub log_tail: Vec<String>,
    /// The lines of the Dockerfile around the failing one, as BuildKit prints them (`>>>` marks it). The first line
    /// names the file and the line number.
    pub dockerfile_excerpt: Vec<String>,
    /// The exit code of the failing step's command, where the error names one.
    pub exit_code: Option<i32>,
}

impl Failure {
    /// What the user can do, as far as the error tells: one line each.
    pub fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        if self.error.contains("failed to calculate checksum of ref") && self.error.contains("not found") {
            let name = self.error.rsplit('"').nth(1).unwrap_or("the file").trim_start_matches('/');
            hints.push(format!("`{name}` is not in the build context: check its path and `.dockerignore`"));
        }
        if self.error.contains("no space left on device") {
            hints.push(
                "the runner's disk is full: set `disk_gb` in `.build-spec.ncl`, or build less at once".to_owned(),
            );
        }
        if self.error.contains("denied by policy") {
            hints.push(
                "`pull_from` of the operator's policy allows no image from there, nor does it when a base image's `ONBUILD` or a \
                 frontend asks for it: `lian-build plan` shows the line"
                    .to_owned(),
            );
        }
        match self.exit_code {
            Some(126) => hints.push("exit code 126: the command is there but cannot be executed".to_owned()),
            Some(127) => hints.push("exit code 127: the command is not in the image at this step".to_owned()),
            _ => {}
        }
        hints
    }

    /// True when BuildKit, or the step in its last lines, says that no space is left. It may be free again by the time anybody
    /// looks, for what a failed step wrote is removed; and it may have been a tmpfs.
    pub fn says_no_space(&self) -> bool {
        let says_so = |text: &str| text.to_ascii_lowercase().contains("no space left on device");
        says_so(&self.error) || self.log_tail.iter().any(|line| says_so(line))
    }
}

/// `buildctl`'s own text: its log lines, the Dockerfile excerpt, the final error.
#[derive(Debug, Default)]
pub(super) struct ClientText {
    lines: VecDeque<String>,
    bytes: usize,
}

impl ClientText {
    /// Keeps a line.
    pub(super) fn push(&mut self, line: &[u8]) {
        let line = sanitise::bytes(line.get(..MAX_LINE).unwrap_or(line));
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let dropped = self.lines.pop_front().map_or(0, |line| line.len());
            self.bytes = self.bytes.saturating_sub(dropped);
        }
    }

    /// The lines that are kept.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The final error with what follows it; it may have several lines.
    pub(super) fn error(&self) -> Option<String> {
        let start = self.lines.iter().rposition(|line| line.starts_with(ERROR))?;
        let text = self.lines.range(start..).map(String::as_str).collect::<Vec<_>>().join("\n");
        let text = text.strip_prefix(ERROR).unwrap_or(&text);
        Some(text.strip_prefix("failed to solve: ").unwrap_or(text).trim_end().to_owned())
    }

    /// The Dockerfile excerpt: `Dockerfile:3`, a rule, the lines, a rule.
    pub(super) fn excerpt(&self) -> Vec<String> {
        let rules: Vec<usize> =
            (0..self.lines.len()).filter(|at| self.lines.get(*at).is_some_and(|line| is_rule(line))).collect();
        let Some([.., first, last]) = rules.get(..).filter(|rules| rules.len() >= 2) else { return Vec::new() };
        let head = first.checked_sub(1).and_then(|at| self.lines.get(at)).filter(|line| names_a_line(line));
        let body = self.lines.range(first.saturating_add(1)..*last);
        head.into_iter().chain(body).cloned().collect()
    }
}

/// `exit code: 2` in an error.
pub(super) fn exit_code(error: &str) -> Option<i32> {
    let (_, after) = error.rsplit_once("exit code: ")?;
    let digits = after.find(|character: char| !character.is_ascii_digit()).unwrap_or(after.len());
    after.get(..digits)?.parse().ok()
}

fn is_rule(line: &str) -> bool {
    line.len() >= 10 && line.bytes().all(|byte| byte == b'-')
}

fn names_a_line(line: &str) -> bool {
    line.rsplit_once(':').is_some_and(|(file, number)| {
        !file.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: &str) -> Failure {
        Failure { exit_code: exit_code(error), error: error.to_owned(), ..Failure::default() }
    }

    #[test]
    fn the_exit_code_is_the_last_one_named() {
        assert_eq!(exit_code("process \"echo exit code: 9\" did not complete successfully: exit code: 137"), Some(137));
        assert_eq!(exit_code("exit code: 2: context canceled"), Some(2));
        assert_eq!(exit_code("exit code: "), None);
        assert_eq!(exit_code("exit code: 99999999999"), None);
    }

    #[test]
    fn hints_say_what_can_be_done() {
        let missing =
            "failed to compute cache key: failed to calculate checksum of ref a::b: \"/src/x.txt\": not found";
        assert_eq!(
            failure(missing).hints(),
            ["`src/x.txt` is not in the build context: check its path and `.dockerignore`"]
        );
        assert_eq!(failure("process \"x\" did not complete successfully: exit code: 127").hints().len(), 1);
        assert_eq!(failure("process \"x\" did not complete successfully: exit code: 1").hints(), [""; 0]);
    }

    #[test]
    fn an_error_may_have_several_lines() {
        let mut text = ClientText::default();
        for line in ["time=\"x\" level=warning", "error: an early one", "error: failed to solve: first", "second", ""] {
            text.push(line.as_bytes());
        }
        assert_eq!(text.error().as_deref(), Some("first\nsecond"));
        assert!(text.excerpt().is_empty());
    }

    #[test]
    fn text_without_end_keeps_little() {
        let mut text = ClientText::default();
        for _ in 0..1000 {
            text.push(&[b'x'; 20_000]);
        }
        assert!(text.lines().map(str::len).sum::<usize>() <= MAX_BYTES);
        assert!(text.lines().count() > 1);
    }
}
