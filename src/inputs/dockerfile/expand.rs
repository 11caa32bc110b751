//! [`Variables`]: what `ARG` lines and `--build-arg` say, and the values of `$NAME` in a Dockerfile.

use std::collections::HashMap;

use crate::inputs::build_arg::KeyValue;

/// `${A:-${B:-…}}` deeper than this is given up.
const MAX_DEPTH: usize = 16;

/// The values of a Dockerfile's global variables.
#[derive(Debug)]
pub(super) struct Variables(HashMap<String, String>);

impl Variables {
    /// What BuildKit sets itself, with `given` above it. The real platform is the runner's; any will do to tell an
    /// image's host.
    pub(super) fn new(given: &[KeyValue]) -> Self {
        let mut values = HashMap::new();
        for side in ["BUILD", "TARGET"] {
            for (what, value) in [("PLATFORM", "linux/amd64"), ("OS", "linux"), ("ARCH", "amd64"), ("VARIANT", "")] {
                values.insert(format!("{side}{what}"), value.to_owned());
            }
        }
        values.extend(given.iter().map(|arg| (arg.key.clone(), arg.value.clone())));
        Self(values)
    }

    /// Takes over one word of an `ARG` line: `NAME=default`. What is set already stays.
    pub(super) fn declare(&mut self, word: &str) {
        let Some((name, default)) = word.split_once('=') else { return };
        if !self.0.contains_key(name)
            && let Some(value) = self.expand(default)
        {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// The text with its variables filled in and its quotes taken off; `None` when that cannot be told here.
    pub(super) fn expand(&self, text: &str) -> Option<String> {
        self.expand_within(text, MAX_DEPTH)
    }

    fn expand_within(&self, text: &str, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            push_unquoted(&mut result, before);
            if let Some(braced) = after.strip_prefix('{') {
                let (inner, tail) = split_at_closing(braced)?;
                result.push_str(&self.braced(inner, depth)?);
                rest = tail;
            } else {
                let (name, tail) = split_name(after);
                result.push_str(self.0.get(name).map_or("", String::as_str));
                rest = tail;
            }
        }
        push_unquoted(&mut result, rest);
        Some(result)
    }

    /// `NAME`, and with `:` or without, `NAME-default`, `NAME+instead`, `NAME?error`; patterns are given up.
    fn braced(&self, inner: &str, depth: usize) -> Option<String> {
        let (name, rest) = split_name(inner);
        let (operator, counts_empty) = match rest.strip_prefix(':') {
            Some(operator) => (operator, false),
            None => (rest, true),
        };
        let value = self.0.get(name).filter(|value| counts_empty || !value.is_empty());
        let mut characters = operator.chars();
        let kind = characters.next();
        let word = characters.as_str();
        match (kind, value) {
            (None, _) => Some(value.cloned().unwrap_or_default()),
            (Some('-' | '?'), Some(value)) => Some(value.clone()),
            (Some('-'), None) | (Some('+'), Some(_)) => self.expand_within(word, depth),
            (Some('+'), None) => Some(String::new()),
            _ => None,
        }
    }
}

fn push_unquoted(result: &mut String, text: &str) {
    result.extend(text.chars().filter(|character| !matches!(character, '"' | '\'')));
}

/// The name at the start, and what follows it.
fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// Splits at the brace that closes the one before `text`.
fn split_at_closing(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_variable_has_its_value_its_default_or_its_alternative() {
        let given = [("SET", "s"), ("EMPTY", "")];
        let given = given.map(|(key, value)| KeyValue { key: key.to_owned(), value: value.to_owned() });
        let mut variables = Variables::new(&given);
        variables.declare("SET=default");
        variables.declare("D=\"${SET}/d\"");
        variables.declare("NONE");
        for (text, value) in [
            ("$SET/x:$D", "s/x:s/d"),
            ("${NONE-a}${EMPTY-b}${SET-c}", "as"),
            ("${NONE:-a}${EMPTY:-b}${SET:-c}", "abs"),
            ("${NONE+a}${EMPTY+b}${SET+c}", "bc"),
            ("${NONE:+a}${EMPTY:+b}${SET:+c}", "c"),
            ("${NONE:-${EMPTY:-x${SET}}}", "xs"),
            ("\"q$SET\"'r'", "qsr"),
            ("${SET:?needed}", "s"),
            ("a-$TARGETARCH$", "a-amd64"),
        ] {
            assert_eq!(variables.expand(text).as_deref(), Some(value), "{text}");
        }
        for given_up in ["${", "${SET", "${SET%x}", "${NONE:?needed}", "${SET/a/b}"] {
            assert_eq!(variables.expand(given_up), None, "{given_up}");
        }
    }

    #[test]
    fn deep_nesting_is_given_up() {
        assert_eq!(Variables::new(&[]).expand(&format!("{}x{}", "${A:-".repeat(99_999), "}".repeat(99_999))), None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(\\$|\\{|\\}|:|-|\\+|A|\\PC){0,40}") {
            let _ = Variables::new(&[]).expand(&text);
        }
    }
}
