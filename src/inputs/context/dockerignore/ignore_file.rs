//! [`IgnoreFile`]: which ignore file counts, and its lines.

use std::path::{Path, PathBuf};

use super::go_path::clean;
use super::go_text::lossy;
use crate::error::{Error, Result};
use crate::inputs::context::dockerfile::DockerfileSource;
use crate::inputs::context::root::{Root, read_small};

/// The longest line BuildKit can read, in bytes, the line break not counted.
const MAX_LINE_BYTES: usize = 65_535;

/// The ignore file's name.
const NAME: &str = ".dockerignore";

/// The one ignore file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreFile {
    /// Where it was read, as it is shown to the user.
    pub path: PathBuf,
    /// Its content, to be laid beside the Dockerfile on the runner as `<Dockerfile>.dockerignore`: so the runner's
    /// BuildKit applies the same file, wherever it stood here.
    pub bytes: Vec<u8>,
}

/// One pattern and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    /// The pattern, trimmed and cleaned, with its `!`.
    pub(super) text: String,
}

impl IgnoreFile {
    /// Finds the ignore file: `<Dockerfile>.dockerignore` beside the Dockerfile wins, also when it is empty; else
    /// `.dockerignore` at the context's root.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when it cannot be read, is too large, or is a link that leads outside the
    /// context.
    pub fn find(root: &Root, dockerfile: Option<&DockerfileSource>) -> Result<Option<Self>> {
        if let Some(dockerfile) = dockerfile {
            let name = format!("{}{NAME}", dockerfile.name);
            let beside = dockerfile.directory.join(&name);
            let found = match beside.strip_prefix(root.path()) {
                Ok(relative) => root.resolve(relative, "ignore file")?,
                Err(_) => beside.exists().then_some(beside),
            };
            if let Some(path) = found {
                return Self::read(&path, dockerfile.path.with_file_name(name)).map(Some);
            }
        }
        match root.resolve(Path::new(NAME), "ignore file")? {
            Some(path) => Self::read(&path, root.given().join(NAME)).map(Some),
            None => Ok(None),
        }
    }

    fn read(path: &Path, shown: PathBuf) -> Result<Self> {
        Ok(Self { bytes: read_small(path, "ignore file")?, path: shown })
    }

    /// The patterns, in order, without comments and blank lines.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for a line that is longer than BuildKit can read.
    pub(super) fn lines(&self) -> Result<Vec<Line>> {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes);
        let mut lines = Vec::new();
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let number = index + 1;
            if line.len() > MAX_LINE_BYTES {
                return Err(self.error(number, "the line is longer than 65,535 bytes"));
            }
            // A comment starts in the first column; anywhere else `#` is part of a name.
            if line.starts_with(b"#") {
                continue;
            }
            let text = lossy(line);
            let text = text.trim();
            if !text.is_empty() {
                lines.push(Line { number, text: normalised(text) });
            }
        }
        Ok(lines)
    }

    /// An error that names the file and the line.
    pub(super) fn error(&self, line: usize, reason: &str) -> Error {
        Error::usage(format!("`{}`, line {line}: {reason}", self.path.display()))
    }
}

/// The pattern relative to the context's root: cleaned, without a leading slash.
fn normalised(pattern: &str) -> String {
    let (sign, pattern) = match pattern.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", pattern),
    };
    if pattern.is_empty() {
        return sign.to_owned();
    }
    let cleaned = clean(pattern);
    let relative = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
    format!("{sign}{relative}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(usize, String)> {
        let file = IgnoreFile { path: PathBuf::from(NAME), bytes: bytes.to_owned() };
        file.lines().unwrap().into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn comments_blank_lines_and_marks_are_skipped() {
        let text = b"\xef\xbb\xbf# head\r\n\r\n  \n a/./b/ \r\n #no comment\n!  /c\n";
        let expected = [(4, "a/b"), (5, "#no comment"), (6, "!c")];
        assert_eq!(lines(text), expected.map(|(number, text)| (number, text.to_owned())));
    }

    #[test]
    fn patterns_are_made_relative_to_the_root() {
        for (line, text) in [("/", "/"), ("/a", "a"), ("//a", "a"), ("/../a", "a"), ("../a", "../a"), ("!", "!")] {
            assert_eq!(lines(line.as_bytes()), [(1, text.to_owned())], "{line}");
        }
    }

    #[test]
    fn a_line_that_buildkit_cannot_read_is_named() {
        let mut bytes = b"a\n".to_vec();
        bytes.extend(vec![b'x'; MAX_LINE_BYTES + 1]);
        let error = IgnoreFile { path: PathBuf::from("i"), bytes }.lines().unwrap_err();
        assert_eq!(error.message(), "`i`, line 2: the line is longer than 65,535 bytes");
    }
}
