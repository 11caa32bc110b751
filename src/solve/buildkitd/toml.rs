//! Writing TOML values. Small on purpose: strings, lists of strings, numbers and flags are all that is needed.

use std::fmt::Write as _;

/// A TOML document that grows line by line.
#[derive(Debug, Default)]
pub(super) struct Toml(String);

impl Toml {
    /// Starts a table; each part of its name is quoted.
    pub(super) fn table(&mut self, path: &[&str]) {
        let name: Vec<String> = path.iter().map(|part| string(part)).collect();
        let _ = writeln!(self.0, "[{}]", name.join("."));
    }

    /// `key = "value"`. The key is ours, never foreign.
    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        let _ = writeln!(self.0, "{key} = {}", string(value));
    }

    /// `key = ["a", "b"]`.
    pub(super) fn list<S: AsRef<str>>(&mut self, key: &'static str, values: &[S]) {
        let values: Vec<String> = values.iter().map(|value| string(value.as_ref())).collect();
        let _ = writeln!(self.0, "{key} = [{}]", values.join(", "));
    }

    /// `key = true`.
    pub(super) fn flag(&mut self, key: &'static str, value: bool) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    /// `key = 1`.
    pub(super) fn number(&mut self, key: &'static str, value: u64) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    /// The document.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// A basic string: everything that is not printable ASCII is written as an escape.
fn string(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for character in value.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(character),
            other => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(other));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a basic string back as the TOML specification says, refusing what it refuses.
    fn read_back(quoted: &str) -> Option<String> {
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let mut text = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => return None,
                '\\' => match characters.next()? {
                    '"' => text.push('"'),
                    '\\' => text.push('\\'),
                    'U' => {
                        let digits: String = characters.by_ref().take(8).collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    _ => return None,
                },
                other if other.is_control() => return None,
                other => text.push(other),
            }
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn any_value_is_one_string_and_reads_back(value in any::<String>()) {
            prop_assert_eq!(read_back(&string(&value)), Some(value));
        }

        #[test]
        fn a_value_never_adds_a_line(name in any::<String>(), value in any::<String>()) {
            let mut toml = Toml::default();
            toml.table(&["registry", &name]);
            toml.text("key", &value);
            prop_assert_eq!(toml.into_string().lines().count(), 2);
        }
    }

    #[test]
    fn a_document_reads_like_toml() {
        let mut toml = Toml::default();
        toml.table(&["worker", "oci"]);
        toml.flag("gc", true);
        toml.number("maxUsedSpace", 5);
        toml.list("mirrors", &["a", "b\"c"]);
        assert_eq!(
            toml.into_string(),
            "[\"worker\".\"oci\"]\ngc = true\nmaxUsedSpace = 5\nmirrors = [\"a\", \"b\\\"c\"]\n"
        );
    }
}
