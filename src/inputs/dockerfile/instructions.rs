//! [`instructions`]: a Dockerfile as its instructions, by BuildKit's rules for lines.

use std::str::Lines;

use super::directives;
use super::heredoc::{Heredoc, heredocs};

/// One instruction on one line: continued lines are joined, comments and the bodies of heredocs left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// In upper case: `FROM`.
    pub(super) name: String,
    /// The words behind it that start with `--`, quotes and all.
    pub(super) flags: Vec<String>,
    /// What follows the flags, as it stands.
    pub(super) rest: String,
    /// False where this instruction, or where it ends, may be read differently by BuildKit.
    pub(super) is_clear: bool,
}

impl Instruction {
    /// Splits a line as BuildKit does: its flags by quotes and escapes, whatever the instruction.
    fn read(line: &str, escape: char) -> Option<Self> {
        let line = line.trim();
        let (name, mut rest) = line.split_once(is_blank).unwrap_or((line, ""));
        let mut flags = Vec::new();
        let mut is_clear = true;
        loop {
            rest = rest.trim_start();
            if !rest.starts_with("--") {
                break;
            }
            let (flag, behind) = split_word(rest, escape, true);
            rest = behind;
            if flag == "--" {
                break;
            }
            // BuildKit takes flags apart by bytes, and some letters hold bytes that it takes for spaces.
            is_clear &= flag.is_ascii();
            flags.push(flag.to_owned());
        }
        let name = name.to_ascii_uppercase();
        (!name.is_empty()).then(|| Self { name, flags, rest: rest.trim().to_owned(), is_clear })
    }

    /// What an `ONBUILD` says is to be done, and every other instruction itself.
    pub(super) fn triggered(&self, escape: char) -> Option<Self> {
        if self.name != "ONBUILD" {
            return Some(self.clone());
        }
        let inner = Self::read(&self.rest, escape)?;
        let is_clear = self.is_clear && inner.is_clear && self.flags.is_empty();
        (inner.name != "ONBUILD").then_some(Self { is_clear, ..inner })
    }

    /// What follows the flags, split at blanks; quotes hold nothing together.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.rest.split(is_blank).filter(|word| !word.is_empty())
    }

    /// What follows the flags, split at white space outside of quotes; quotes and escapes stay.
    pub(super) fn words(&self, escape: char) -> Vec<&str> {
        let mut words = Vec::new();
        let mut rest = self.rest.trim_start();
        while !rest.is_empty() {
            let (word, behind) = split_word(rest, escape, false);
            words.push(word);
            rest = behind.trim_start();
        }
        words
    }

    /// The instruction on one line.
    pub(super) fn text(&self) -> String {
        let words = std::iter::once(self.name.as_str()).chain(self.flags.iter().map(String::as_str));
        words.chain(Some(self.rest.as_str()).filter(|rest| !rest.is_empty())).collect::<Vec<_>>().join(" ")
    }
}

/// Every instruction, in order, and the character that escapes in them.
pub(super) fn instructions(text: &str) -> (Vec<Instruction>, char) {
    let escape = directives::escape(text);
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let mut found = Vec::new();
    while let Some(line) = next_line(&mut lines, escape) {
        let Some(mut instruction) = Instruction::read(&line, escape) else { continue };
        if let Some(inner) = instruction.triggered(escape)
            && matches!(inner.name.as_str(), "RUN" | "COPY" | "ADD")
        {
            match heredocs(&line) {
                Some(heredocs) => heredocs.iter().for_each(|heredoc| instruction.is_clear &= skip(&mut lines, heredoc)),
                None => instruction.is_clear = false,
            }
        }
        found.push(instruction);
    }
    (found, escape)
}

/// The next line that is no comment, with the lines that continue it. Comments and empty lines do not end it.
fn next_line(lines: &mut Lines<'_>, escape: char) -> Option<String> {
    let mut joined = String::new();
    let mut is_open = false;
    for line in lines.by_ref() {
        let line = line.trim_end_matches(['\r', '\n']);
        let is_comment = line.trim_start().starts_with('#');
        if is_comment || line.trim().is_empty() {
            continue;
        }
        match continued(line, escape) {
            Some(part) => {
                joined.push_str(part);
                is_open = true;
            }
            None => {
                joined.push_str(line);
                return Some(joined);
            }
        }
    }
    is_open.then_some(joined)
}

/// The line without its last character when that says that it goes on. A doubled one says no such thing. Only spaces and
/// tabs may follow it: a line that ends otherwise, be it in other white space, is complete.
fn continued(line: &str, escape: char) -> Option<&str> {
    let part = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!part.ends_with(escape)).then_some(part)
}

/// What BuildKit splits plain arguments at.
fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// The word at the start, with its quotes and escapes, and what follows it. `escapes_in_single`: whether the escape counts
/// within single quotes, too, as it does in flags.
fn split_word(text: &str, escape: char, escapes_in_single: bool) -> (&str, &str) {
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == escape && (escapes_in_single || quote != Some('\'')) {
            characters.next();
            continue;
        }
        match quote {
            None if character.is_whitespace() => return text.split_at_checked(at).unwrap_or((text, "")),
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
    }
    (text, "")
}

/// Leaves out lines up to the heredoc's end; false when it has none.
fn skip(lines: &mut Lines<'_>, heredoc: &Heredoc) -> bool {
    lines.by_ref().any(|line| {
        let line = line.trim_end_matches(['\r', '\n']);
        let line = if heredoc.chomp { line.trim_start_matches('\t') } else { line };
        line == heredoc.delimiter
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<String> {
        instructions(text).0.iter().map(Instruction::text).collect()
    }

    #[test]
    fn continued_lines_are_one() {
        assert_eq!(read("from \\\n  # a comment\n\n a \\  \n AS x\nRUN y"), ["FROM a  AS x", "RUN y"]);
        assert_eq!(read("# escape=`\nRUN a`\nb\nRUN c\\\nRUN d``\nRUN e"), ["RUN ab", "RUN c\\", "RUN d``", "RUN e"]);
        assert_eq!(read("RUN a \\"), ["RUN a"]);
    }

    #[test]
    fn the_body_of_a_heredoc_is_no_instruction() {
        let text = "RUN <<A 3<<-'B C' cat\nFROM a\nA\nFROM b\n\tB C\nCOPY <<\"E\" /x\nFROM c \\\nE\nRUN echo \"<<F\"\nFROM d\n";
        assert_eq!(read(text), ["RUN <<A 3<<-'B C' cat", "COPY <<\"E\" /x", "RUN echo \"<<F\"", "FROM d"]);
        assert_eq!(read("ONBUILD RUN <<A\nFROM a\nA\nENV x=<<A\nFROM b"), ["ONBUILD RUN <<A", "ENV x=<<A", "FROM b"]);
    }

    #[test]
    fn nothing_but_buildkits_own_rules_hides_a_line() {
        for (text, lines) in [
            ("RUN echo \"\\\" <<A x\"\nFROM b\nA", &["RUN echo \"\\\" <<A x\"", "FROM b", "A"][..]),
            ("RUN echo \"open <<A\nFROM b\n", &["RUN echo \"open <<A", "FROM b"]),
            ("RUN a \\\u{a0}\nFROM b\n", &["RUN a \\", "FROM b"]),
            ("RUN <<A\nx\nA\r\r\nFROM b\n", &["RUN <<A", "FROM b"]),
            ("# x=y\n# escape=`\nRUN a `\nFROM b\n", &["RUN a `", "FROM b"]),
            ("#!x\n# escape=`\nRUN a `\nFROM b\n", &["RUN a `", "FROM b"]),
        ] {
            assert_eq!(read(text), lines, "{text}");
        }
    }

    #[test]
    fn an_instruction_that_may_be_read_otherwise_says_so() {
        for (text, is_clear) in [
            ("RUN <<A\nA\n", true),
            ("RUN <<A\nFROM b\n", false),
            ("ONBUILD RUN <<A\nFROM b\n", false),
            ("RUN <<\\A\nA\n", false),
            ("RUN ${X%<<A} <<A\nA\n", false),
            ("COPY --chown=\u{e0} a b", false),
            ("ONBUILD COPY --chown=x a b", true),
        ] {
            let inner = instructions(text).0.first().and_then(|found| found.triggered('\\'));
            assert_eq!(inner.map(|found| found.is_clear && instructions(text).0[0].is_clear), Some(is_clear), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(FROM|RUN|<<-?|\\\\|`|'|\"|\n|\t| |#|[a-z]|\\PC){0,60}") {
            let _ = instructions(&text);
        }
    }
}
