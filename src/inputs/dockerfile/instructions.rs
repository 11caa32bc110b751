//! [`instructions`]: a Dockerfile as its instructions, by BuildKit's rules for lines.

use std::str::Lines;

use super::directives;

/// One instruction on one line: continued lines are joined, comments and the bodies of heredocs left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// In upper case: `FROM`.
    pub(super) name: String,
    /// The words behind it, quotes and all.
    pub(super) words: Vec<String>,
}

impl Instruction {
    /// The words that start with `--`, before the first that does not.
    pub(super) fn flags(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str).take_while(|word| word.starts_with("--"))
    }

    /// The words behind the flags.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str).skip_while(|word| word.starts_with("--"))
    }
}

/// Every instruction, in order.
pub(super) fn instructions(text: &str) -> Vec<Instruction> {
    let escape = directives::escape(text);
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let mut found = Vec::new();
    while let Some(line) = next_line(&mut lines, escape) {
        let mut words = words(&line).into_iter();
        let Some(name) = words.next() else { continue };
        let instruction = Instruction { name: name.to_ascii_uppercase(), words: words.collect() };
        for heredoc in heredocs(&instruction) {
            skip(&mut lines, &heredoc);
        }
        found.push(instruction);
    }
    found
}

/// The next line that is no comment, with the lines that continue it. Comments and empty lines do not end it.
fn next_line(lines: &mut Lines<'_>, escape: char) -> Option<String> {
    let mut joined = String::new();
    let mut is_open = false;
    for line in lines.by_ref() {
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

/// The line without its last character when that says that it goes on. A doubled one says no such thing.
fn continued(line: &str, escape: char) -> Option<&str> {
    let part = line.trim_end().strip_suffix(escape)?;
    (!part.ends_with(escape)).then_some(part)
}

/// Splits at white space outside of quotes; quotes stay.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for character in line.chars() {
        if quote.is_none() && character.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        match quote {
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// What ends a heredoc.
#[derive(Debug, PartialEq, Eq)]
struct Heredoc {
    delimiter: String,
    /// `<<-`: tabs before the delimiter do not count.
    chomp: bool,
}

/// The heredocs that an instruction opens, in the order of their bodies.
fn heredocs(instruction: &Instruction) -> Vec<Heredoc> {
    let takes_them = |name: &str| matches!(name, "RUN" | "COPY" | "ADD");
    let of_onbuild = instruction.words.first().map(|word| word.to_ascii_uppercase());
    let is_onbuild = instruction.name == "ONBUILD" && of_onbuild.is_some_and(|name| takes_them(&name));
    if !takes_them(&instruction.name) && !is_onbuild {
        return Vec::new();
    }
    instruction.words.iter().filter_map(|word| heredoc(word)).collect()
}

/// Reads `<<EOF`, `3<<-"EOF"`.
fn heredoc(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|character: char| character.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, name) = rest.strip_prefix('-').map_or((false, rest), |name| (true, name));
    let delimiter: String = name.chars().filter(|character| !matches!(character, '"' | '\'')).collect();
    (!delimiter.is_empty() && !delimiter.contains('<')).then_some(Heredoc { delimiter, chomp })
}

/// Leaves out lines up to the heredoc's end.
fn skip(lines: &mut Lines<'_>, heredoc: &Heredoc) {
    for line in lines.by_ref() {
        let line = if heredoc.chomp { line.trim_start_matches('\t') } else { line };
        if line == heredoc.delimiter {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<String> {
        instructions(text).into_iter().map(|found| format!("{} {}", found.name, found.words.join(" "))).collect()
    }

    #[test]
    fn continued_lines_are_one() {
        assert_eq!(read("from \\\n  # a comment\n\n a \\  \n AS x\nRUN y"), ["FROM a AS x", "RUN y"]);
        assert_eq!(read("# escape=`\nRUN a`\nb\nRUN c\\\nRUN d``\nRUN e"), ["RUN ab", "RUN c\\", "RUN d``", "RUN e"]);
        assert_eq!(read("RUN a \\"), ["RUN a"]);
    }

    #[test]
    fn the_body_of_a_heredoc_is_no_instruction() {
        let text = "RUN <<A 3<<-'B C' cat\nFROM a\nA\nFROM b\n\tB C\nCOPY <<\"E\" /x\nFROM c \\\nE\nRUN echo \"<<F\"\nFROM d\n";
        assert_eq!(read(text), ["RUN <<A 3<<-'B C' cat", "COPY <<\"E\" /x", "RUN echo \"<<F\"", "FROM d"]);
        assert_eq!(read("ONBUILD RUN <<A\nFROM a\nA\nENV x=<<A\nFROM b"), ["ONBUILD RUN <<A", "ENV x=<<A", "FROM b"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(FROM|RUN|<<-?|\\\\|`|'|\"|\n|\t| |#|[a-z]|\\PC){0,60}") {
            let _ = instructions(&text);
        }
    }
}
