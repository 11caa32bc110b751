//! [`Variables`]: what `ARG` lines and `--build-arg` say, and the values of `$NAME` in a Dockerfile.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

use crate::inputs::build_arg::KeyValue;

/// `${A:-${B:-…}}` deeper than this is given up.
const MAX_DEPTH: usize = 16;

/// Two platforms that differ in all that a variable can tell about them. Which one a build is for is the runner's to say.
pub(super) const PLATFORMS: [Platform; 2] = [
    Platform { name: "linux/amd64", os: "linux", arch: "amd64", variant: "", os_version: "", stage: "default" },
    Platform { name: "windows/arm64/v8", os: "windows", arch: "arm64", variant: "v8", os_version: "10", stage: "s" },
];

/// What BuildKit's own variables tell.
#[derive(Debug)]
pub(super) struct Platform {
    name: &'static str,
    os: &'static str,
    arch: &'static str,
    variant: &'static str,
    os_version: &'static str,
    stage: &'static str,
}

/// A text with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// True when the text is another on another platform.
    pub(super) varies: bool,
}

/// The values of a Dockerfile's global variables; `None` for one whose value cannot be told.
#[derive(Debug)]
pub(super) struct Variables<'a> {
    given: HashMap<&'a str, &'a str>,
    values: HashMap<String, Option<Expanded>>,
}

impl<'a> Variables<'a> {
    /// What BuildKit sets itself on this platform, which build arguments of the same name replace.
    pub(super) fn new(given: &'a [KeyValue], platform: &Platform) -> Self {
        let given: HashMap<&str, &str> = given.iter().map(|arg| (arg.key.as_str(), arg.value.as_str())).collect();
        let parts = [
            ("PLATFORM", platform.name),
            ("OS", platform.os),
            ("OSVERSION", platform.os_version),
            ("ARCH", platform.arch),
            ("VARIANT", platform.variant),
        ];
        let sides = ["BUILD", "TARGET"].into_iter();
        let names = sides.flat_map(|side| parts.map(|(what, value)| (format!("{side}{what}"), value)));
        let values = names.chain(std::iter::once(("TARGETSTAGE".to_owned(), platform.stage))).map(|(name, value)| {
            let said = given.get(name.as_str());
            let value = Expanded { text: (*said.unwrap_or(&value)).to_owned(), varies: said.is_none() };
            (name, Some(value))
        });
        Self { values: values.collect(), given }
    }

    /// Takes over one word of a global `ARG` line, `NAME` or `NAME=default`: what was given for it, else the default, which
    /// replaces what was said before.
    pub(super) fn declare(&mut self, word: &str) {
        let (name, default) = word.split_once('=').map_or((word, None), |(name, default)| (name, Some(default)));
        let value = match (self.given.get(name), default) {
            (Some(given), _) => Some(Expanded { text: (*given).to_owned(), varies: false }),
            (None, Some(default)) => self.expand(default),
            (None, None) => return,
        };
        self.values.insert(name.to_owned(), value);
    }

    /// The text with its variables filled in and its quotes taken off; `None` when that cannot be told here.
    pub(super) fn expand(&self, text: &str) -> Option<Expanded> {
        let mut varies = false;
        let text = self.until(&mut text.chars().peekable(), None, MAX_DEPTH, &mut varies)?;
        Some(Expanded { text, varies })
    }

    /// Reads up to `stop`, or to the end where there is none.
    fn until(
        &self,
        characters: &mut Peekable<Chars<'_>>,
        stop: Option<char>,
        depth: usize,
        varies: &mut bool,
    ) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let mut result = String::new();
        loop {
            match characters.next() {
                None if stop.is_none() => return Some(result),
                character if character == stop => return Some(result),
                None | Some('\\' | '`') => return None,
                Some('$') => result.push_str(&self.dollar(characters, depth, varies)?),
                Some('\'') => loop {
                    match characters.next()? {
                        '\'' => break,
                        character => result.push(character),
                    }
                },
                Some('"') => loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' | '`' => return None,
                        '$' => result.push_str(&self.dollar(characters, depth, varies)?),
                        character => result.push(character),
                    }
                },
                Some(character) => result.push(character),
            }
        }
    }

    /// What stands behind `$`: `NAME`, `{NAME}`, and with `:` or without, `{NAME-default}`, `{NAME+instead}`, `{NAME?error}`;
    /// patterns are given up, and so is a choice by a value that another platform may not have.
    fn dollar(&self, characters: &mut Peekable<Chars<'_>>, depth: usize, varies: &mut bool) -> Option<String> {
        if characters.next_if_eq(&'{').is_none() {
            let name = name(characters)?;
            return if name.is_empty() { Some("$".to_owned()) } else { self.value(&name, varies) };
        }
        if matches!(characters.peek()?, '{' | '}' | ':') {
            return None;
        }
        let name = name(characters)?;
        let (operator, counts_empty) = match characters.next()? {
            '}' => return self.value(&name, varies),
            ':' => (characters.next()?, false),
            operator => (operator, true),
        };
        if !matches!(operator, '-' | '+' | '?') {
            return None;
        }
        let mut word_varies = false;
        let word = self.until(characters, Some('}'), depth, &mut word_varies)?;
        let value = match self.values.get(&name) {
            None => None,
            Some(value) => Some(value.as_ref().filter(|value| !value.varies)?.text.clone()),
        };
        match (operator, value.filter(|value| counts_empty || !value.is_empty())) {
            ('-' | '?', Some(value)) => Some(value),
            ('-', None) | ('+', Some(_)) => {
                *varies |= word_varies;
                Some(word)
            }
            ('+', None) => Some(String::new()),
            _ => None,
        }
    }

    /// A variable's value; nothing where it is not set.
    fn value(&self, name: &str, varies: &mut bool) -> Option<String> {
        let Some(value) = self.values.get(name) else { return Some(String::new()) };
        let value = value.as_ref()?;
        *varies |= value.varies;
        Some(value.text.clone())
    }
}

/// The name at the start: letters, digits and `_`; or a number; or one special character. `None` for letters that are not
/// ASCII's.
fn name(characters: &mut Peekable<Chars<'_>>) -> Option<String> {
    if let Some(special) = characters.next_if(|character| "@*#?-$!".contains(*character)) {
        return Some(special.to_string());
    }
    let is_number = characters.peek().is_some_and(char::is_ascii_digit);
    let is_part = |character: &char| {
        character.is_ascii_digit() || (!is_number && (character.is_ascii_alphabetic() || *character == '_'))
    };
    let mut name = String::new();
    while let Some(character) = characters.next_if(is_part) {
        name.push(character);
    }
    characters.peek().is_none_or(char::is_ascii).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_variable_has_its_value_its_default_or_its_alternative() {
        let given = [("SET", "s"), ("EMPTY", "")];
        let given = given.map(|(key, value)| KeyValue { key: key.to_owned(), value: value.to_owned() });
        let mut variables = Variables::new(&given, &PLATFORMS[0]);
        variables.declare("SET=default");
        variables.declare("EMPTY");
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
            ("a-$TARGETARCH$", "a-amd64$"),
            ("'$SET'-$1x$", "$SET-x$"),
        ] {
            assert_eq!(variables.expand(text).map(|found| found.text).as_deref(), Some(value), "{text}");
        }
        for given_up in ["${", "${SET", "${SET%x}", "${NONE:?needed}", "${SET/a/b}", "a\\b", "'a", "\"a", "$\u{e9}"] {
            assert_eq!(variables.expand(given_up), None, "{given_up}");
        }
    }

    #[test]
    fn arguments_count_as_buildkit_counts_them() {
        let given = [("UNDECLARED", "u"), ("GIVEN", "first"), ("GIVEN", "g"), ("TARGETOS", "own")];
        let given = given.map(|(key, value)| KeyValue { key: key.to_owned(), value: value.to_owned() });
        let mut variables = Variables::new(&given, &PLATFORMS[0]);
        for word in ["A=1", "A=2", "A", "GIVEN=default", "TARGETARCH=evil", "BAD=1", "BAD=a\\b", "V=$BUILDARCH"] {
            variables.declare(word);
        }
        for (text, value) in [
            ("$A", Some(("2", false))),
            ("${UNDECLARED:-none}", Some(("none", false))),
            ("$GIVEN", Some(("g", false))),
            ("$TARGETOS", Some(("own", false))),
            ("${TARGETARCH:-x}", Some(("evil", false))),
            ("$BAD", None),
            ("${BAD:-x}", None),
            ("$BUILDARCH", Some(("amd64", true))),
            ("x$V", Some(("xamd64", true))),
            ("${NONE:-$V}", Some(("amd64", true))),
            ("${TARGETVARIANT:+x}", None),
            ("${V:-x}", None),
        ] {
            let found = variables.expand(text);
            assert_eq!(found.as_ref().map(|found| (found.text.as_str(), found.varies)), value, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_given_up() {
        assert_eq!(
            Variables::new(&[], &PLATFORMS[0]).expand(&format!("{}x{}", "${A:-".repeat(99_999), "}".repeat(99_999))),
            None
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(\\$|\\{|\\}|:|-|\\+|A|\\PC){0,40}") {
            let _ = Variables::new(&[], &PLATFORMS[0]).expand(&text);
        }
    }
}
