//! [`Matcher`]: all patterns of an ignore file, applied while a tree is walked.

use std::rc::Rc;

use super::ignore_file::IgnoreFile;
use super::pattern::Pattern;
use super::{go_glob, go_path};
use crate::error::Result;

/// All patterns, in order.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    patterns: Vec<Pattern>,
    /// The places below which exceptions may find something; `None` when an exception has wildcards before its end, so
    /// that ignored directories must be entered.
    exception_bases: Option<Vec<String>>,
    file: Option<IgnoreFile>,
}

/// Which patterns matched a directory: what its children are asked with. The default stands for the root.
#[derive(Debug, Clone, Default)]
pub struct Parent(Option<Rc<[bool]>>);

impl Matcher {
    /// Reads the patterns of `file`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] naming the line of a malformed pattern.
    pub fn new(file: &IgnoreFile) -> Result<Self> {
        let mut patterns = Vec::new();
        for line in file.lines()? {
            let text = line.text.trim();
            if text.is_empty() {
                continue;
            }
            let cleaned = go_path::clean(text);
            let (is_exception, pattern) = match cleaned.strip_prefix('!') {
                Some("") => return Err(file.error(line.number, "`!` has no pattern behind it")),
                Some(pattern) => (true, pattern),
                None => (false, cleaned.as_str()),
            };
            if go_glob::check(pattern).is_err() {
                let error = file.error(line.number, &format!("the pattern `{text}` is malformed"));
                return Err(error.hint("a `[` needs its `]`, and a `\\` something behind it; the separator is `/`"));
            }
            patterns.push(Pattern::new(pattern.to_owned(), is_exception, line.number));
        }
        let exceptions = patterns.iter().filter(|pattern| pattern.is_exception);
        let exception_bases = exceptions.map(|pattern| pattern.literal_base().map(|base| format!("{base}/"))).collect();
        Ok(Self { patterns, exception_bases, file: Some(file.clone()) })
    }

    /// Whether `path` (relative, with `/`) is ignored, and what its children are to be asked with.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] naming the line of a pattern that turns out to be malformed.
    pub fn check(&self, path: &[u8], parent: &Parent) -> Result<(bool, Parent)> {
        let mut ignored = false;
        let mut matched = Vec::with_capacity(self.patterns.len());
        for (index, pattern) in self.patterns.iter().enumerate() {
            let by_parent = parent.0.as_ref().is_some_and(|parent| parent.get(index).copied().unwrap_or(false));
            // A pattern that cannot change the answer is not asked, and its children are told that it did not match:
            // that is BuildKit's own rule, and it shows when a line is repeated behind an exception.
            let matches = by_parent || (pattern.is_exception == ignored && self.ask(pattern, path)?);
            if matches {
                ignored = !pattern.is_exception;
            }
            matched.push(matches);
        }
        Ok((ignored, Parent(Some(matched.into()))))
    }

    /// True when something below the ignored directory `path` may be sent after all, so that it has to be entered.
    pub fn may_except_below(&self, path: &[u8]) -> bool {
        let Some(bases) = &self.exception_bases else { return true };
        bases.iter().any(|base| base.as_bytes().strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/")))
    }

    fn ask(&self, pattern: &Pattern, path: &[u8]) -> Result<bool> {
        pattern.matches(path).map_err(|reason| match &self.file {
            Some(file) => file.error(pattern.line, reason),
            None => crate::error::Error::usage(reason),
        })
    }
}
