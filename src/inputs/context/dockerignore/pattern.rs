//! [`Pattern`]: one line of an ignore file, ready to match.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

use super::go_regex::{self, Reason};
use super::go_text::lossy;

/// How a pattern is compared; BuildKit chooses by the pattern's shape, and the choice shows in the answers.
#[derive(Debug, Clone)]
enum Kind {
    /// The path's bytes are the pattern.
    Exact,
    /// `a/**`: the path's bytes start with what stands before the stars.
    Prefix,
    /// `**/a`, `**a`: the path's bytes end with what stands behind the stars.
    Suffix,
    /// Anything else with `*`, `?`, `[`, `]` or `\`.
    Regex(Regex),
    /// The pattern passed the first check but has no meaning; said when a path is compared with it, as in BuildKit.
    Broken(Reason),
}

/// One pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// True for a line with `!`: what matches is sent after all.
    pub(super) is_exception: bool,
    /// The line it stands on.
    pub(super) line: usize,
    cleaned: String,
    kind: Kind,
}

impl Pattern {
    /// A pattern whose syntax was checked.
    pub(super) fn new(cleaned: String, is_exception: bool, line: usize) -> Self {
        let kind = compile(&cleaned);
        Self { is_exception, line, cleaned, kind }
    }

    /// True when `path` itself matches; parents are the caller's matter.
    pub(super) fn matches(&self, path: &[u8]) -> Result<bool, Reason> {
        let cleaned = self.cleaned.as_bytes();
        Ok(match &self.kind {
            Kind::Exact => path == cleaned,
            Kind::Prefix => path.starts_with(cleaned.get(..cleaned.len().saturating_sub(2)).unwrap_or_default()),
            Kind::Suffix => {
                let suffix = cleaned.get(2..).unwrap_or_default();
                // `**/a` is also `a` itself.
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|name| path == name)
            }
            Kind::Regex(regex) => regex.is_match(&lossy(path)),
            Kind::Broken(reason) => return Err(reason),
        })
    }

    /// The directory below which an exception may find something, or `None` when its text cannot tell.
    pub(super) fn literal_base(&self) -> Option<&str> {
        let base = self.cleaned.strip_suffix("/**").unwrap_or(&self.cleaned);
        let base = base.strip_suffix("/*").unwrap_or(base);
        (!base.contains(['*', '[', ']', '?', '^', '\\'])).then_some(base)
    }
}

/// Writes the Go expression that BuildKit makes of the pattern, and finds the kind of comparison on the way.
fn compile(pattern: &str) -> Kind {
    let mut expression = String::from("^");
    let mut kind = Kind::Exact;
    let mut is_regex = false;
    // BuildKit's scanner skips a byte order mark at the start.
    let mut rest = pattern.strip_prefix('\u{feff}').unwrap_or(pattern).chars().peekable();
    let mut is_first = true;
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                if rest.peek().is_some() {
                    expression.push_str("(.*/)?");
                    is_regex = true;
                } else if !is_regex && matches!(kind, Kind::Exact) {
                    kind = Kind::Prefix;
                } else {
                    expression.push_str(".*");
                    is_regex = true;
                }
                if is_first {
                    // Holds unless something later needs an expression after all.
                    kind = Kind::Suffix;
                    is_regex = false;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                is_regex = true;
            }
            '?' => {
                expression.push_str("[^/]");
                is_regex = true;
            }
            '\\' => is_regex |= escaped(&mut rest, &mut expression),
            '[' | ']' => {
                expression.push(character);
                is_regex = true;
            }
            // Not in this list, in BuildKit neither: `|`, `{` and `}`, which therefore keep their meaning.
            '.' | '+' | '(' | ')' | '$' => {
                expression.push('\\');
                expression.push(character);
            }
            other => expression.push(other),
        }
        is_first = false;
    }
    if !is_regex {
        return kind;
    }
    expression.push('$');
    match go_regex::translate(&expression) {
        Ok(translated) => Regex::new(&translated).map_or(Kind::Broken("the pattern is too large"), Kind::Regex),
        Err(reason) => Kind::Broken(reason),
    }
}

/// A backslash and what it escapes; false for a backslash at the end.
fn escaped(rest: &mut Peekable<Chars<'_>>, expression: &mut String) -> bool {
    expression.push('\\');
    match rest.next() {
        Some(character) => {
            expression.push(character);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        Pattern::new(pattern.to_owned(), false, 1).matches(path).unwrap()
    }

    #[test]
    fn stars_stop_at_slashes_and_double_stars_do_not() {
        assert!(matches("*.rs", b"a.rs"));
        assert!(!matches("*.rs", b"a/b.rs"));
        assert!(matches("**/*.rs", b"a/b/c.rs"));
        assert!(matches("a/**", b"a/b/c"));
        assert!(!matches("a/**", b"a"));
        assert!(matches("**/a", b"a"));
        assert!(matches("**a", b"x/ya"));
        assert!(matches("a**b", b"a/x/b") == matches("a**b", b"axb/b"));
    }

    #[test]
    fn an_expression_may_match_broken_utf8() {
        assert!(matches("caf?", b"caf\xe9"));
        assert!(matches("caf??", b"caf\xc3\x28"));
        assert!(!matches("caf\u{fffd}", b"caf\xe9"), "an exact comparison is of bytes");
    }

    #[test]
    fn what_buildkit_forgets_to_escape_keeps_its_meaning() {
        assert!(matches("a|b*", b"abc"), "`^a|b[^/]*$` finds an `a` at the start");
        assert!(matches("a{2}*", b"aab"));
        assert!(matches(r"v\d*", b"v1x"));
    }

    #[test]
    fn a_broken_expression_is_an_error_when_it_is_used() {
        let pattern = Pattern::new(r"src\query*".to_owned(), false, 1);
        assert!(pattern.matches(b"src").is_err());
    }
}
