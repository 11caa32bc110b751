//! [`Place`] and [`Places`]: where in a source each value of a document stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a source, as an editor counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file as its user knows it: `ci/directives.ncl`, or `lian/defaults/…` for what comes from an embedded file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
}

impl Place {
    /// True for a place in a file of ours: what stands there was filled in, not said.
    pub fn is_embedded(&self) -> bool {
        self.file.starts_with("lian/")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The places of a document's fields, by their paths: `artifact.image`, `[0].workspace`, `labels."a.b"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    pub(super) fn new(places: BTreeMap<String, Place>) -> Self {
        Self(places)
    }

    /// Adds the places of fields that have none yet.
    pub(super) fn add(&mut self, others: Self) {
        for (path, place) in others.0 {
            self.0.entry(path).or_insert(place);
        }
    }

    /// Where the field with this very path was set; `None` when it was computed out of nothing that has a place.
    pub fn get(&self, path: &str) -> Option<&Place> {
        self.0.get(path)
    }

    /// Where the field was set, or else what it is part of: a value that a contract has made (`compute[0].kind` of
    /// `'local`) has the place of what it was made from.
    pub fn nearest(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            path = path_of_parent(path)?;
        }
    }
}

/// The path of the field `name` of the record at `path`. The empty path is the document itself.
pub fn field_path(path: &str, name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '\''));
    let dot = if path.is_empty() { "" } else { "." };
    if plain { format!("{path}{dot}{name}") } else { format!("{path}{dot}{name:?}") }
}

/// The path of the element `index` of the array at `path`.
pub fn element_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// What the field at `path` is part of. The document itself, whose path is empty, is part of nothing.
pub(super) fn path_of_parent(path: &str) -> Option<&str> {
    let mut quoted = false;
    let mut escaped = false;
    let mut end = 0;
    for (position, letter) in path.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '.' | '[' if !quoted => end = position,
            _ => {}
        }
    }
    if path.is_empty() { None } else { path.get(..end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_nickel() {
        assert_eq!(field_path("", "artifact"), "artifact");
        assert_eq!(field_path("artifact", "image"), "artifact.image");
        assert_eq!(field_path("labels", "a.b"), "labels.\"a.b\"");
        assert_eq!(field_path("labels", ""), "labels.\"\"");
        assert_eq!(field_path(&element_path("", 0), "workspace"), "[0].workspace");
    }

    #[test]
    fn a_part_without_a_place_has_that_of_the_whole() {
        let place = |line| Place { file: "x.ncl".to_owned(), line, column: 3 };
        let places = [("", place(1)), ("compute[0]", place(2)), ("labels.\"a.[\\\"b\"", place(3))];
        let places = Places::new(places.map(|(path, place)| (path.to_owned(), place)).into());
        for (path, line) in [
            ("compute[0].kind", 2),
            ("compute[0]", 2),
            ("compute", 1),
            ("labels.\"a.[\\\"b\".x[1]", 3),
            ("labels.\"a.b\"", 1),
        ] {
            assert_eq!(places.nearest(path).map(|place| place.line), Some(line), "{path}");
        }
        assert_eq!(places.get("compute[0].kind"), None);
        assert_eq!(Places::default().nearest("a.b"), None);
        assert_eq!(place(1).to_string(), "x.ncl:1:3");
    }
}
