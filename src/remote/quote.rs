//! Quoting for the runner's shell, the one place where an argument vector becomes a line of text.

/// Joins arguments to a line that a POSIX shell splits into the same arguments again.
///
/// NUL cannot stand in an argument; it is dropped, as no program could be given it.
pub fn shell_line<S: AsRef<str>>(argv: &[S]) -> String {
    let mut line = String::new();
    for argument in argv {
        if !line.is_empty() {
            line.push(' ');
        }
        push_quoted(&mut line, argument.as_ref());
    }
    line
}

/// Single quotes keep everything but a single quote, which is written outside of them.
fn push_quoted(line: &mut String, argument: &str) {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.' | b':' | b'=' | b'@');
    if !argument.is_empty() && argument.bytes().all(plain) && !argument.starts_with(['-', '=']) {
        line.push_str(argument);
        return;
    }
    line.push('\'');
    for character in argument.chars() {
        match character {
            '\'' => line.push_str("'\\''"),
            '\0' => {}
            other => line.push(other),
        }
    }
    line.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(shell_line(&["cat", "/etc/hosts"]), "cat /etc/hosts");
        assert_eq!(shell_line(&["a b", "", "it's"]), r"'a b' '' 'it'\''s'");
    }

    #[test]
    fn nothing_is_expanded() {
        assert_eq!(shell_line(&["$(id)", "~", "*", "a;b", "`x`"]), "'$(id)' '~' '*' 'a;b' '`x`'");
    }

    proptest! {
        #[test]
        fn a_shell_reads_back_what_was_given(argv in prop::collection::vec("[^\0]{0,30}", 1..6)) {
            let words = shlex::split(&shell_line(&argv)).unwrap_or_default();
            prop_assert_eq!(words, argv);
        }
    }
}
