//! Turns Nickel's errors into messages: what is wrong first, then the place in the user's file, then the rule's place
//! in the schema.

use nickel_lang_core::error::report::{ColorOpt, report_as_str};
use nickel_lang_core::error::{
    Diagnostic, Error as NickelError, EvalErrorKind, IntoDiagnostics, Label as Place, LabelStyle,
};
use nickel_lang_core::eval::value::Container;
use nickel_lang_core::files::{FileId, Files};
use nickel_lang_core::position::RawSpan;

use super::embed;

/// The most lines of a value that is not in any file, as Nickel prints it, that help.
const MAX_GENERATED_LINES: usize = 3;
/// The most lines of a diagnostic that are kept.
const MAX_LINES: usize = 80;
/// The most characters of each line that are kept: a source may be a single line of a megabyte.
const MAX_WIDTH: usize = 200;

/// Fields that a closed record does not know.
pub(super) struct UnknownFields(Vec<(String, Option<RawSpan>)>);

/// The unknown fields with what was probably meant.
pub(super) struct Explained {
    message: String,
    note: String,
    places: Vec<RawSpan>,
}

impl UnknownFields {
    /// Finds Nickel's "extra field `memory_gp`" in an error.
    pub(super) fn of(error: &NickelError) -> Option<Self> {
        let NickelError::EvalError(data) = error else { return None };
        let EvalErrorKind::BlameError { label, evaluated_arg } = &data.error else { return None };
        let list = label.diagnostics.last()?.message.as_deref()?.strip_prefix("extra field")?;
        let value = evaluated_arg.as_ref().and_then(|value| value.as_record()).and_then(Container::into_opt);
        let place = |name: &str| {
            let record = value.as_ref()?;
            record.fields.keys().find(|key| key.label() == name)?.pos.into_opt()
        };
        Some(Self(list.split('`').skip(1).step_by(2).map(|name| (name.to_owned(), place(name))).collect()))
    }

    /// Says which of the `known` fields were probably meant.
    pub(super) fn explained(&self, known: &[String]) -> Explained {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(name, _)| match nearest(name, known) {
                Some(near) => format!("unknown field `{name}`: did you mean `{near}`?"),
                None => format!("unknown field `{name}`"),
            })
            .collect();
        Explained {
            message: words.join("; "),
            note: format!("known fields: {}", known.join(", ")),
            places: self.0.iter().filter_map(|(_, place)| *place).collect(),
        }
    }
}

/// The error as text, without colour, beginning with what is wrong. `unknown` replaces what Nickel says about unknown fields.
pub(super) fn text(files: &mut Files, error: NickelError, unknown: Option<Explained>) -> String {
    let own_words = contract_message(&error);
    let mut diagnostics = error.into_diagnostics(files);
    if let Some(first) = diagnostics.first_mut() {
        if let Some(message) = own_words {
            first.message = message;
        }
        if let Some(unknown) = unknown {
            first.message = unknown.message;
            first.notes = vec![unknown.note];
            if !unknown.places.is_empty() {
                first.labels =
                    unknown.places.into_iter().map(|span| Place::primary(span.src_id, span.to_range())).collect();
            }
        }
    }
    for diagnostic in &mut diagnostics {
        diagnostic.labels.retain(|label| is_of_interest(files, label));
        // The user's own file before the schema.
        diagnostic
            .labels
            .sort_by_key(|label| (is_embedded(files, label.file_id), label.style == LabelStyle::Secondary));
    }
    diagnostics.retain(|diagnostic| !diagnostic.message.is_empty());
    let text = report_as_str(files, Prepared(diagnostics), ColorOpt::Never);
    bounded(text.trim_end().trim_start_matches("error: "))
}

/// The first lines of `text`, none of them longer than a reader wants.
fn bounded(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().take(MAX_LINES).map(shortened).collect();
    if text.lines().nth(MAX_LINES).is_some() {
        lines.push("…".to_owned());
    }
    lines.join("\n")
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_WIDTH) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// What a contract of ours says about the value.
fn contract_message(error: &NickelError) -> Option<String> {
    let NickelError::EvalError(data) = error else { return None };
    let EvalErrorKind::BlameError { label, .. } = &data.error else { return None };
    label.diagnostics.last()?.message.clone()
}

/// Documents of our own, and large values that Nickel prints, only hide the place.
fn is_of_interest(files: &Files, label: &Place<FileId>) -> bool {
    let name = files.name(label.file_id).to_string_lossy();
    if name.starts_with(embed::WRAPPERS) {
        return false;
    }
    let is_generated = !name.starts_with('/');
    !is_generated || files.source(label.file_id).lines().count() <= MAX_GENERATED_LINES
}

fn is_embedded(files: &Files, id: FileId) -> bool {
    files.name(id).to_string_lossy().starts_with(embed::ROOT)
}

/// The name that was probably meant, if one is near enough.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let (distance, near) = known.iter().map(|near| (strsim::damerau_levenshtein(name, near), near)).min()?;
    (distance <= (name.chars().count() / 3).max(2)).then_some(near)
}

/// Diagnostics that are ready to be printed.
struct Prepared(Vec<Diagnostic<FileId>>);

impl IntoDiagnostics for Prepared {
    fn into_diagnostics(self, _files: &mut Files) -> Vec<Diagnostic<FileId>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_stays_readable_whatever_the_source() {
        assert_eq!(bounded("one\ntwo"), "one\ntwo");
        let long = bounded(&"ä".repeat(1 << 20));
        assert_eq!(long, format!("{}…", "ä".repeat(MAX_WIDTH)));
        assert_eq!(bounded(&"x\n".repeat(1000)).lines().count(), MAX_LINES + 1);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["cpu", "memory_gb", "disk_gb"].map(str::to_owned);
        for (name, near) in
            [("cpus", Some("cpu")), ("memroy_gb", Some("memory_gb")), ("memory", None), ("colour", None)]
        {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
        assert_eq!(nearest("cpu", &[]), None);
    }
}
