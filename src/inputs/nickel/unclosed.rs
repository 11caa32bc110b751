//! Finds the bracket that a text forgets to close: the parser only says that the text ended.

/// The innermost bracket that is open at the end, and its line from 1. Strings and comments are passed over; where a string holds
/// code, what is said may be wrong, and it is a hint only.
pub(super) fn last(source: &str) -> Option<(char, usize)> {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut line = 1;
    let mut rest = source.chars().peekable();
    let mut before = ' ';
    while let Some(character) = rest.next() {
        match character {
            '\n' => line += 1,
            '#' => while rest.next_if(|next| *next != '\n').is_some() {},
            '"' => {
                // `m%"…"%` ends with as many signs as it began with; `"…"` ends with a quote that nothing escapes.
                let many = before == '%';
                let mut last = ' ';
                for inner in rest.by_ref() {
                    line += usize::from(inner == '\n');
                    if (many && last == '"' && inner == '%') || (!many && inner == '"' && last != '\\') {
                        break;
                    }
                    last = if last == '\\' { ' ' } else { inner };
                }
            }
            '{' | '[' | '(' => open.push((character, line)),
            '}' | ']' | ')' => drop(open.pop()),
            _ => {}
        }
        before = character;
    }
    open.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_open_bracket_is_found() {
        assert_eq!(last("let x = 1 in\n{\n  a = [1, 2],\n"), Some(('{', 2)));
        assert_eq!(last("{ a = [1,\n b = 2 "), Some(('[', 1)));
        assert_eq!(last("{ a = (1) } # {\n"), None);
        assert_eq!(last("{ a = \"\\\"{\", b = m%\"\n{ \"x\" \"%,\n c = {"), Some(('{', 3)));
        assert_eq!(last("}}}\n"), None);
    }
}
