//! What labels may be.

use std::collections::BTreeMap;

/// Labels of a resource.
pub type Labels = BTreeMap<String, String>;

/// The longest name and value of a label.
const MAX_PART: usize = 63;
/// The longest prefix of a label's key.
const MAX_PREFIX: usize = 253;

/// Why they are refused, if they are.
pub(super) fn check(labels: &Labels) -> Result<(), String> {
    for (key, value) in labels {
        check_key(key)?;
        check_value(value)?;
        if key.starts_with("hetzner.cloud/") {
            return Err(format!("the prefix of `{key}` is reserved"));
        }
    }
    Ok(())
}

/// `[prefix/]name`
pub(super) fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| {
        prefix.len() <= MAX_PREFIX && prefix.split('.').all(|part| is_part(part) && !part.contains('_'))
    });
    if prefix_fits && is_part(name) { Ok(()) } else { Err(format!("`{key}` is no label key")) }
}

/// May be empty.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_part(value) { Ok(()) } else { Err(format!("`{value}` is no label value")) }
}

/// `[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?`, at most 63 characters.
fn is_part(text: &str) -> bool {
    let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= MAX_PART
        && outer(text.bytes().next())
        && outer(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_have_a_charset() {
        let long = "a".repeat(64);
        for (key, value, fits) in [
            ("lian-lease", "0192", true),
            ("a/b", "x.y_z-1", true),
            ("example.com/b", "", true),
            ("-a", "b", false),
            ("a", "b c", false),
            ("a", "b/", false),
            ("a/b/c", "d", false),
            ("", "a", false),
            ("a", &long, false),
            (&long, "a", false),
            ("hetzner.cloud/a", "b", false),
            ("a", "ä", false),
        ] {
            let labels = Labels::from([(key.to_owned(), value.to_owned())]);
            assert_eq!(check(&labels).is_ok(), fits, "{key}={value}");
        }
    }
}
