//! [`Selector`]: which resources a list shows, by their labels.

use std::str::FromStr;

use super::labels::{Labels, check_key, check_value};

/// Conditions that all have to hold; without one everything is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Exists(String),
    Absent(String),
    Is(String, String),
    IsNot(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Whether the labels are selected.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Exists(key) => labels.contains_key(key),
            Condition::Absent(key) => !labels.contains_key(key),
            Condition::Is(key, value) => labels.get(key) == Some(value),
            Condition::IsNot(key, value) => labels.get(key) != Some(value),
            Condition::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Condition::NotIn(key, values) => !labels.get(key).is_some_and(|value| values.contains(value)),
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        conditions(text)?.into_iter().map(condition).collect::<Result<_, _>>().map(Self)
    }
}

/// The parts between commas that are not in brackets.
fn conditions(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match (character, inside) {
            ('(', false) => inside = true,
            (')', true) => inside = false,
            ('(', true) | (')', false) => return Err(format!("`{text}` has a bracket too many")),
            (',', false) => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(format!("`{text}` has a bracket that is not closed"));
    }
    parts.push(text.get(start..).unwrap_or_default());
    Ok(parts)
}

fn condition(text: &str) -> Result<Condition, String> {
    let text = text.trim();
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Condition::Absent(key_of(key)?));
    }
    if let Some((head, list)) = text.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(|| format!("`{text}` says something after its list"))?;
        let values = list.split(',').map(value_of).collect::<Result<Vec<_>, _>>()?;
        return match head.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => Ok(Condition::In(key_of(key)?, values)),
            [key, "notin"] => Ok(Condition::NotIn(key_of(key)?, values)),
            _ => Err(format!("`{text}` is no condition")),
        };
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Condition::IsNot(key_of(key)?, value_of(value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Condition::Is(key_of(key)?, value_of(value)?));
    }
    Ok(Condition::Exists(key_of(text)?))
}

fn key_of(text: &str) -> Result<String, String> {
    let key = text.trim();
    check_key(key).map(|()| key.to_owned())
}

fn value_of(text: &str) -> Result<String, String> {
    let value = text.trim();
    check_value(value).map(|()| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_grammar_selects() {
        let labels: Labels = [("env", "prod"), ("a/b", ""), ("tier", "cax11")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        for (selector, selected) in [
            ("", true),
            ("env", true),
            ("gone", false),
            ("!gone", true),
            ("!env", false),
            ("env==prod", true),
            ("env=prod", true),
            ("env=test", false),
            ("env!=test", true),
            ("gone!=x", true),
            ("a/b=", true),
            ("env in (test, prod)", true),
            ("env in (test)", false),
            ("env notin (test)", true),
            ("gone notin (a)", true),
            ("env==prod,tier in (cax11,cax21),!gone", true),
            ("env==prod,tier==cax21", false),
        ] {
            assert_eq!(selector.parse::<Selector>().unwrap().selects(&labels), selected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["env>3", "a in b", "a in (b", "a)", "=x", "a==b c", "a,,b", "!", "a in (b) c", "a not in (b)"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
