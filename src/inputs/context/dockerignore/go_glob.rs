//! The syntax check that BuildKit makes of every pattern when it reads an ignore file: Go's `filepath.Match(pattern,
//! ".")`, of which only "malformed or not" counts. It stops at the first part that does not match, so it lets some
//! malformed patterns through; those fail later, when a file is matched.

/// The pattern is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadPattern;

/// Checks `pattern`.
///
/// # Errors
/// [`BadPattern`] for a class that is not closed or has an empty or open range, and for a `\` at the end.
pub(super) fn check(pattern: &str) -> Result<(), BadPattern> {
    let mut rest = pattern;
    let mut name = ".";
    while !rest.is_empty() {
        let (star, chunk, after) = next_chunk(rest);
        rest = after;
        if star && chunk.is_empty() {
            return Ok(());
        }
        match match_chunk(chunk, name)? {
            Some(left) if left.is_empty() || !rest.is_empty() => {
                name = left;
                continue;
            }
            _ => {}
        }
        if star && !name.is_empty() {
            // A star may also eat the only character there is.
            match match_chunk(chunk, "")? {
                Some(left) if rest.is_empty() && !left.is_empty() => {}
                Some(left) => {
                    name = left;
                    continue;
                }
                None => {}
            }
        }
        return Ok(());
    }
    Ok(())
}

/// Splits off the leading stars and what follows them up to the next star outside of a class.
fn next_chunk(pattern: &str) -> (bool, &str, &str) {
    let rest = pattern.trim_start_matches('*');
    let star = rest.len() < pattern.len();
    let (mut in_class, mut escaped) = (false, false);
    for (at, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => {
                let (chunk, after) = rest.split_at(at);
                return (star, chunk, after);
            }
            _ => {}
        }
    }
    (star, rest, "")
}

/// Matches a chunk without stars at the start of `name`: what is left of the name, or `None`. The chunk's syntax is
/// checked to its end even when it does not match.
fn match_chunk<'n>(chunk: &str, name: &'n str) -> Result<Option<&'n str>, BadPattern> {
    let mut chunk = chunk.chars();
    let mut name = name.chars();
    let mut failed = false;
    while let Some(character) = chunk.next() {
        let read = if failed { None } else { name.next() };
        failed |= read.is_none();
        match character {
            '[' => {
                let is_match = match_class(&mut chunk, read)?;
                failed |= !is_match;
            }
            '?' => failed |= read == Some('/'),
            '\\' => {
                let literal = chunk.next().ok_or(BadPattern)?;
                failed |= read != Some(literal);
            }
            literal => failed |= read != Some(literal),
        }
    }
    Ok((!failed).then_some(name.as_str()))
}

fn match_class(chunk: &mut std::str::Chars<'_>, read: Option<char>) -> Result<bool, BadPattern> {
    let negated = chunk.as_str().starts_with('^');
    if negated {
        chunk.next();
    }
    let (mut matched, mut ranges) = (false, 0_usize);
    while ranges == 0 || !chunk.as_str().starts_with(']') {
        let low = class_character(chunk)?;
        let mut high = low;
        if chunk.as_str().starts_with('-') {
            chunk.next();
            high = class_character(chunk)?;
        }
        matched |= read.is_some_and(|read| (low..=high).contains(&read));
        ranges += 1;
    }
    chunk.next();
    Ok(matched != negated)
}

/// A character of a class, escaped or not; something must follow it.
fn class_character(chunk: &mut std::str::Chars<'_>) -> Result<char, BadPattern> {
    let character = match chunk.next() {
        None | Some('-' | ']') => return Err(BadPattern),
        Some('\\') => chunk.next().ok_or(BadPattern)?,
        Some(character) => character,
    };
    if chunk.as_str().is_empty() { Err(BadPattern) } else { Ok(character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_patterns_are_found() {
        for bad in ["[", "[]", "[]a]", "[a", "[^]", "[a-]", "[-a]", "[a-b-c]", "\\", ".\\", "*[", "[\\", "?["] {
            assert_eq!(check(bad), Err(BadPattern), "{bad}");
        }
    }

    #[test]
    fn well_formed_patterns_pass() {
        for good in ["", "a", "**", "*.rs", "[a-z]", "[^a]", "\\[", "[\\]]", "a*b*c", "**/x", "{a,b}", "é*"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn the_check_stops_at_the_first_mismatch() {
        assert_eq!(check("a*["), Ok(()));
    }
}
