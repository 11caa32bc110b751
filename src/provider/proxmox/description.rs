//! A lease's labels in a machine's description: one line of JSON, for a machine has no labels. The request that makes it
//! carries them.

use std::collections::BTreeMap;

use crate::lease::{Labels, MANAGED_LABEL};

/// The description of a machine with these labels.
pub(super) fn write(labels: &Labels) -> String {
    // A map of texts always has a form in JSON.
    serde_json::to_string(&labels.to_map()).unwrap_or_default()
}

/// The labels in a description; `None` when it says nothing of us. People may have added lines of their own.
///
/// # Errors
/// With what is missing or cannot be read.
pub(super) fn read(description: &str) -> Option<Result<Labels, String>> {
    description.lines().find_map(map_of).and_then(|map| Labels::from_map(&map))
}

/// The description with these labels in place of the ones that are in it, and all else as it is.
pub(super) fn replace(description: &str, labels: &Labels) -> String {
    let line = write(labels);
    let lines: Vec<&str> =
        description.lines().map(|old| if map_of(old).is_some() { line.as_str() } else { old }).collect();
    lines.join("\n")
}

fn map_of(line: &str) -> Option<BTreeMap<String, String>> {
    let map: BTreeMap<String, String> = serde_json::from_str(line.trim()).ok()?;
    map.contains_key(MANAGED_LABEL).then_some(map)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::test_labels::labels;
    use super::*;
    use crate::ids::LeaseId;

    #[test]
    fn labels_are_one_line_among_others() {
        let labels = labels(&LeaseId::new());
        let line = write(&labels);
        assert!(!line.contains('\n') && line.len() < 8192, "{line}");
        let noted = format!("# do not touch\n{line}\n{{\"a\":1}}\n");
        assert_eq!(read(&noted).unwrap().unwrap(), labels);
        let later = Labels { expires_at: labels.expires_at + SignedDuration::from_mins(5), ..labels };
        let moved = replace(&noted, &later);
        assert_eq!(read(&moved).unwrap().unwrap(), later);
        assert!(moved.starts_with("# do not touch\n") && moved.ends_with("\n{\"a\":1}"), "{moved}");
    }

    #[test]
    fn what_says_nothing_of_us_is_told_apart_from_what_cannot_be_read() {
        for text in ["", "hello", "{}", r#"{"lian-managed":1}"#, r#"{"lian-managed":"no"}"#, r#"{"a":"b"}"#] {
            assert!(read(text).is_none(), "{text}");
        }
        assert!(read(r#"{"lian-managed":"1"}"#).unwrap().is_err());
    }
}
