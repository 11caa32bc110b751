//! [`heredocs`]: which heredocs a line opens, by BuildKit's rules for words.

/// What ends a heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heredoc {
    /// The line that ends it.
    pub(super) delimiter: String,
    /// `<<-`: tabs before the delimiter do not count.
    pub(super) chomp: bool,
}

/// The heredocs that a line opens, in the order of their bodies; `None` when that cannot be told here. The escape is a
/// backslash, whatever the file's directives say. A line with an open quote opens none.
pub(super) fn heredocs(line: &str) -> Option<Vec<Heredoc>> {
    if !line.contains("<<") {
        return Some(Vec::new());
    }
    let Some(words) = shell_words(line)? else { return Some(Vec::new()) };
    let mut found = Vec::new();
    for word in words {
        let rest = word.trim_start_matches(|character: char| character.is_ascii_digit());
        let Some(rest) = rest.strip_prefix("<<") else { continue };
        let (chomp, name) = rest.strip_prefix('-').map_or((false, rest), |name| (true, name));
        if name.contains(['\\', '$']) {
            return None;
        }
        let delimiter = unquoted(name);
        if !delimiter.is_empty() && !name.contains('<') {
            found.push(Heredoc { delimiter, chomp });
        }
    }
    Some(found)
}

/// Splits at white space outside of quotes; quotes and escapes stay. `Some(None)` when a quote stays open, `None` when a
/// variable is written in a way that may hide where a word ends.
fn shell_words(line: &str) -> Option<Option<Vec<&str>>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = line.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(start.take().and_then(|start| line.get(start..at)));
            continue;
        }
        start.get_or_insert(at);
        match (quote, character) {
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                characters.next();
            }
            (_, '$') if characters.peek().is_some_and(|(_, next)| *next == '{') => {
                let end = at + line.get(at..)?.find('}')?;
                if !is_plain(line.get(at + 2..end)?) {
                    return None;
                }
                while characters.next_if(|(at, _)| *at <= end).is_some() {}
            }
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            _ => {}
        }
    }
    if quote.is_some() {
        return Some(None);
    }
    words.extend(start.and_then(|start| line.get(start..)));
    Some(Some(words))
}

/// True for the inner part of `${NAME}` and `${NAME:-default}` where nothing else can be meant.
fn is_plain(inner: &str) -> bool {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let rest = inner.trim_start_matches(is_word);
    let operator = rest.strip_prefix(':').unwrap_or(rest);
    let word = operator.strip_prefix(['-', '+', '?']);
    rest.len() < inner.len()
        && (rest.is_empty()
            || word.is_some_and(|word| word.chars().all(|character| is_word(character) || "/.-".contains(character))))
}

/// The text without the quotes around its parts.
fn unquoted(text: &str) -> String {
    let mut quote = None;
    text.chars()
        .filter(|&character| match quote {
            Some(open) if open == character => {
                quote = None;
                false
            }
            None if matches!(character, '"' | '\'') => {
                quote = Some(character);
                false
            }
            _ => true,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heredocs_are_those_that_buildkit_sees() {
        for (line, delimiters) in [
            ("RUN <<A 3<<-'B C' cat", Some(&["A", "B C"][..])),
            ("COPY <<\"it's\" /x", Some(&["it's"])),
            ("RUN cat <<A > ${X}/${Y:-/y} \"$Z\"", Some(&["A"])),
            ("RUN echo \"\\\" <<A x\"", Some(&[])),
            ("RUN echo '\\' <<A", Some(&["A"])),
            ("RUN echo don't <<A", Some(&[])),
            ("RUN \\<<A x<<B <<<C << D $((1<<2)) <<''", Some(&[])),
            ("RUN <<A\\B", None),
            ("RUN <<$A", None),
            ("RUN ${X%y} <<A", None),
            ("RUN ${X:-y <<A}", None),
            ("RUN ${ <<A", None),
        ] {
            let found = heredocs(line).map(|found| found.into_iter().map(|one| one.delimiter).collect::<Vec<_>>());
            assert_eq!(found, delimiters.map(|names| names.iter().map(|&name| name.to_owned()).collect()), "{line}");
        }
    }
}
