//! [`Rename`]: an unknown field under the name that was probably meant, so that what is wrong in it can be told as well.
//!
//! The text stays as it is: the record that it evaluates to is made anew, and its values keep their places.

use super::place::field_path;
use super::round::escape;

/// A field that gets another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rename {
    /// The path of its record.
    pub(super) record: String,
    pub(super) from: String,
    pub(super) to: String,
}

impl Rename {
    /// Whether `path` is that of the field under its new name, or of something in it.
    pub(super) fn has(&self, path: &str) -> bool {
        let own = field_path(&self.record, &self.to);
        path.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// The function in Nickel that does it, and leaves every other value as it is; `None` for a path that it cannot follow.
    fn function(&self) -> Option<String> {
        let (from, to) = (escape(&self.from), escape(&self.to));
        let rename = format!(
            "fun r => if std.is_record r && std.record.has_field \"{from}\" r && !(std.record.has_field \"{to}\" r) then \
             std.record.from_array (std.array.map (fun f => if f.field == \"{from}\" then {{ field = \"{to}\", value = f.value }} \
             else f) (std.record.to_array r)) else r"
        );
        let inside = |function: String, step: &Step<'_>| match step {
            Step::Field(name) => format!(
                "fun r => if std.is_record r then std.record.map (fun n v => if n == \"{name}\" then ({function}) v else v) r else r"
            ),
            Step::Element(index) => format!(
                "fun a => if std.is_array a then std.array.map_with_index (fun n v => if n == {index} then ({function}) v else v) a else a"
            ),
        };
        Some(steps(&self.record)?.iter().rev().fold(rename, inside))
    }
}

/// The expression with all these fields renamed, one after the other.
pub(super) fn apply(renames: &[Rename], expression: &str) -> String {
    let functions = renames.iter().filter_map(Rename::function);
    functions.fold(expression.to_owned(), |inner, function| format!("({function}) ({inner})"))
}

/// One step on the way into a document.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Field(&'a str),
    Element(&'a str),
}

/// The steps of a path. Names in quotes are not followed: no schema has one.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    if path.contains(['"', '%', '\\']) {
        return None;
    }
    let parts = path.split(['.', '[']).filter(|part| !part.is_empty());
    Some(parts.map(|part| part.strip_suffix(']').map_or(Step::Field(part), Step::Element)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed() {
        assert_eq!(steps("").unwrap(), []);
        assert_eq!(steps("[1].a.b").unwrap(), [Step::Element("1"), Step::Field("a"), Step::Field("b")]);
        assert_eq!(steps("labels.\"a.b\""), None);
    }

    #[test]
    fn what_is_in_the_field_is_known() {
        let rename = Rename { record: "[0]".to_owned(), from: "artefact".to_owned(), to: "artifact".to_owned() };
        for (path, is_in) in [
            ("[0].artifact", true),
            ("[0].artifact.image[1]", true),
            ("[0].artifacts", false),
            ("[1].artifact", false),
            ("[0]", false),
        ] {
            assert_eq!(rename.has(path), is_in, "{path}");
        }
    }
}
