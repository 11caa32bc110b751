//! Turns Nickel's errors into [`Diagnostic`]s: what is wrong first, then the place in the user's file, then the rule's
//! place in the schema.

use nickel_lang_core::error::report::{ColorOpt, report_as_str};
use nickel_lang_core::error::{
    Diagnostic as Parts, Error as NickelError, EvalErrorKind, IntoDiagnostics, Label as Mark, LabelStyle, ParseError,
    ParseErrors,
};
use nickel_lang_core::eval::value::NickelValue;
use nickel_lang_core::files::{FileId, Files};
use nickel_lang_core::label::{Label, ty_path};
use nickel_lang_core::position::RawSpan;
use nickel_lang_core::typ::TypeF;

use super::diagnostic::{Diagnostic, Rule};
use super::embed;
use super::loader::Loader;
use super::suggest;
use super::survey::{Fault, Survey, is_own, position};
use super::unclosed;

/// The most lines of a value that is not in any file, as Nickel prints it, that help.
const MAX_GENERATED_LINES: usize = 3;
/// The most lines of an excerpt that are kept.
const MAX_LINES: usize = 80;
/// The most characters of each line that are kept: a source may be a single line of a megabyte.
const MAX_WIDTH: usize = 200;

/// What is known where errors are told.
pub(super) struct Scene<'a> {
    pub(super) files: &'a mut Files,
    pub(super) loader: &'a Loader,
    /// The document's name, as its user knows it.
    pub(super) document: &'a str,
    /// Where its fields stand.
    pub(super) survey: &'a Survey,
}

/// What a fault is told as, besides its places.
struct Words {
    rule: Rule,
    path: Option<String>,
    message: Option<String>,
    hint: Option<String>,
}

impl Scene<'_> {
    /// Tells a fault. A text that cannot be parsed may have several.
    pub(super) fn tell(&mut self, fault: Fault) -> Vec<Diagnostic> {
        let Fault { path, doc, error } = fault;
        if let NickelError::ParseErrors(ParseErrors { errors }) = error {
            return errors
                .into_iter()
                .map(|error| {
                    let hint = self.not_closed(&error).or_else(|| general_hint(Rule::Syntax));
                    let words = Words { rule: Rule::Syntax, path: None, message: None, hint };
                    self.render(NickelError::ParseErrors(ParseErrors::new(vec![error])), words)
                })
                .collect();
        }
        let path = path.filter(|path| !path.is_empty());
        let message = message(&error, path.as_deref());
        let rule = rule(&error);
        let about = || {
            let doc = doc.filter(|_| matches!(rule, Rule::Type | Rule::Value | Rule::MissingField))?;
            Some(format!("`{}`: {doc}", path.as_deref()?))
        };
        let hint = message.as_deref().and_then(suggest::among_the_known);
        let hint = hint.or_else(|| written_as(&error)).or_else(about).or_else(|| general_hint(rule));
        vec![self.render(error, Words { rule, path, message, hint })]
    }

    /// What a text that ends too early has not closed.
    fn not_closed(&self, error: &ParseError) -> Option<String> {
        let ParseError::UnexpectedEOF(file, _) = error else { return None };
        let (bracket, line) = unclosed::last(self.files.source(*file))?;
        Some(format!("the `{bracket}` on line {line} is not closed"))
    }

    /// Tells that a record has a field that it does not know.
    pub(super) fn tell_unknown(
        &mut self,
        path: String,
        name: &str,
        span: Option<RawSpan>,
        known: &[String],
    ) -> Diagnostic {
        let meant: Vec<String> = suggest::fields(name, known).iter().map(|near| format!("`{near}`")).collect();
        let message = match meant.as_slice() {
            [] => format!("unknown field `{name}`"),
            meant => format!("unknown field `{name}`: did you mean {}?", meant.join(" or ")),
        };
        let mut known = known.to_vec();
        known.sort();
        let hint = (!known.is_empty()).then(|| format!("known fields: {}", known.join(", ")));
        let marks = span.into_iter().map(|span| Mark::primary(span.src_id, span.to_range())).collect();
        let parts = vec![Parts::error().with_labels(marks)];
        let words = Words { rule: Rule::UnknownField, path: Some(path), message: Some(message), hint };
        self.render(Prepared(parts), words)
    }

    fn render(&mut self, error: impl IntoDiagnostics, words: Words) -> Diagnostic {
        let mut parts = error.into_diagnostics(self.files);
        let key = words.path.as_deref().and_then(|path| self.survey.own_key(self.files, path));
        for part in &mut parts {
            // The name of a field, not all of the record that it is in.
            for (mark, key) in part.labels.iter_mut().zip(key.iter().cycle()) {
                let inner = key.to_range();
                if mark.file_id == key.src_id && mark.range.start < inner.start && inner.end < mark.range.end {
                    mark.range = inner;
                }
            }
            part.labels.retain(|mark| is_of_interest(self.files, mark));
            let sources: Vec<&str> = part.labels.iter().map(|mark| self.files.source_slice(span(mark))).collect();
            // A value as Nickel prints it that stands in the source just so.
            let is_repeated = |mark: &Mark<FileId>| {
                let text = self.files.source(mark.file_id);
                is_generated(self.files, mark) && sources.iter().filter(|source| **source == text).count() > 1
            };
            let repeated: Vec<bool> = part.labels.iter().map(is_repeated).collect();
            let mut repeated = repeated.into_iter();
            part.labels.retain(|_| !repeated.next().unwrap_or_default());
            // The user's own file before the schema.
            part.labels.sort_by_key(|mark| (!is_own(self.files, &span(mark)), mark.style == LabelStyle::Secondary));
        }
        // A record that a contract was put on by us has no expression that it was put on.
        if let Some(first) = parts.first_mut().and_then(|part| part.labels.first_mut()) {
            first.style = LabelStyle::Primary;
        }
        let first_own = |part: &Parts<FileId>| part.labels.iter().map(span).find(|span| is_own(self.files, span));
        let own = parts.iter().find_map(first_own);
        let place = match (own, &words.path) {
            (None, path) => {
                let span = self.survey.own_span(self.files, path.as_deref().unwrap_or_default());
                if let (Some(span), Some(part), Some(_)) = (span, parts.first_mut(), path) {
                    part.labels.insert(0, Mark::primary(span.src_id, span.to_range()));
                }
                span.filter(|_| path.is_some())
                    .or_else(|| parts.iter().flat_map(|part| &part.labels).map(span_of).next())
            }
            (own, _) => own,
        };
        let mut message = words.message.unwrap_or_default();
        let mut hint = words.hint;
        if let Some(part) = parts.first_mut() {
            if message.is_empty() {
                message = std::mem::take(&mut part.message);
            }
            part.message.clone_from(&message);
            if words.rule == Rule::UnknownField || hint.is_some() {
                part.notes = hint.iter().cloned().collect();
            } else if matches!(words.rule, Rule::Unbound | Rule::Evaluation) && !part.notes.is_empty() {
                hint = Some(part.notes.join("; "));
            }
        }
        parts.retain(|part| !part.message.is_empty());
        let text = report_as_str(self.files, Prepared(parts), ColorOpt::Never);
        let excerpt = self.loader.show(&bounded(text.trim_end().trim_start_matches("error: ")));
        let mut diagnostic = Diagnostic::of_file(self.document, words.rule, self.loader.show(&message));
        diagnostic.path = words.path;
        diagnostic.hint = hint.map(|hint| self.loader.show(&hint));
        diagnostic.excerpt = excerpt;
        self.put(diagnostic, place)
    }

    /// The diagnostic with its place, as far as that is in a file that users know.
    fn put(&self, mut diagnostic: Diagnostic, place: Option<RawSpan>) -> Diagnostic {
        let Some(span) = place else { return diagnostic };
        let Some(file) = self.loader.name(&self.files.name(span.src_id).to_string_lossy()) else { return diagnostic };
        let source = self.files.source(span.src_id);
        diagnostic.file = file;
        (diagnostic.line, diagnostic.column) = position(source, span.start.to_usize());
        (diagnostic.end_line, diagnostic.end_column) = position(source, span.end.to_usize());
        diagnostic
    }
}

/// The unknown fields that Nickel's "extra field `memory_gp`" names, with the places of their names.
pub(super) fn unknown_fields(error: &NickelError) -> Option<Vec<(String, Option<RawSpan>)>> {
    let (label, value) = blame(error)?;
    let list = label.diagnostics.last()?.message.as_deref()?.strip_prefix("extra field")?;
    let record = value.and_then(|value| value.as_record()?.into_opt());
    let place = |name: &str| record?.fields.keys().find(|key| key.label() == name)?.pos.into_opt();
    Some(list.split('`').skip(1).step_by(2).map(|name| (name.to_owned(), place(name))).collect())
}

/// What broke a contract.
fn blame(error: &NickelError) -> Option<(&Label, Option<&NickelValue>)> {
    let NickelError::EvalError(data) = error else { return None };
    match &data.error {
        EvalErrorKind::BlameError { label, evaluated_arg } => Some((label, evaluated_arg.as_ref())),
        _ => None,
    }
}

/// Whether a contract was broken, not the language.
pub(super) fn is_blame(error: &NickelError) -> bool {
    blame(error).is_some()
}

fn rule(error: &NickelError) -> Rule {
    match error {
        NickelError::ParseErrors(_) => Rule::Syntax,
        NickelError::ImportError(_) => Rule::Import,
        NickelError::TypecheckError(error) => match error.borrow_error() {
            nickel_lang_core::error::TypecheckErrorKind::UnboundIdentifier(_) => Rule::Unbound,
            _ => Rule::Type,
        },
        NickelError::ExportError(_) => Rule::Type,
        NickelError::EvalError(data) => match &data.error {
            EvalErrorKind::BlameError { label, .. } if is_about_type(label) => Rule::Type,
            EvalErrorKind::BlameError { .. } => Rule::Value,
            EvalErrorKind::MissingFieldDef { .. } => Rule::MissingField,
            EvalErrorKind::TypeError { .. }
            | EvalErrorKind::UnaryPrimopTypeError { .. }
            | EvalErrorKind::NAryPrimopTypeError { .. }
            | EvalErrorKind::NotAFunc(..)
            | EvalErrorKind::QueryNonRecord { .. }
            | EvalErrorKind::IncomparableValues { .. }
            | EvalErrorKind::SerializationError(_) => Rule::Type,
            EvalErrorKind::FieldMissing { .. } | EvalErrorKind::UnboundIdentifier(..) => Rule::Unbound,
            EvalErrorKind::MergeIncompatibleArgs { .. } => Rule::Conflict,
            EvalErrorKind::InfiniteRecursion(..) => Rule::Recursion,
            EvalErrorKind::ParseError(_) => Rule::Syntax,
            _ => Rule::Evaluation,
        },
        NickelError::IOError(_) | NickelError::ReplError(_) => Rule::Evaluation,
    }
}

/// Whether a contract is about the type: Nickel's own, or one of ours, which then says "is no string".
fn is_about_type(label: &Label) -> bool {
    match label.diagnostics.last().and_then(|diagnostic| diagnostic.message.as_deref()) {
        Some(message) => {
            let words = ["expected a", " is no "];
            words.iter().any(|words| message.contains(words))
        }
        None => !matches!(label.typ.typ, TypeF::Contract(_)),
    }
}

/// What is wrong, where Nickel's own words are not the best.
fn message(error: &NickelError, path: Option<&str>) -> Option<String> {
    if let NickelError::EvalError(data) = error
        && let EvalErrorKind::MissingFieldDef { id, .. } = &data.error
    {
        return Some(format!("missing field `{id}`"));
    }
    if let NickelError::EvalError(data) = error
        && let EvalErrorKind::FieldMissing { id, .. } = &data.error
    {
        return Some(format!("there is no field `{id}` there"));
    }
    if let (Rule::Conflict, Some(path)) = (rule(error), path) {
        return Some(format!("`{path}` is defined twice, by values that differ"));
    }
    let (label, value) = blame(error)?;
    let own_words = label.diagnostics.last().and_then(|diagnostic| diagnostic.message.clone());
    let expected = match own_words.as_deref() {
        // Nickel's own words, which do not say what there is instead.
        Some("expected a Record") => Some("Record".to_owned()),
        Some("expected an array") => Some("Array".to_owned()),
        Some(_) => return own_words,
        None => expected_type(label),
    };
    let told = expected.zip(value.and_then(type_name)).map(|(expected, found)| {
        let subject = path.map_or_else(|| "the document".to_owned(), |path| format!("`{path}`"));
        format!("{subject} is {} {found}, and has to be {} {expected}", article(found), article(&expected))
    });
    told.or(own_words)
}

/// The type that a value had to have, where a type of Nickel's own was asked for: `String` for an element of an
/// `Array String`.
fn expected_type(label: &Label) -> Option<String> {
    let mut expected = &*label.typ;
    for step in label.path.iter() {
        expected = match (step, &expected.typ) {
            (ty_path::Elem::Array, TypeF::Array(inner)) => inner,
            (ty_path::Elem::Dict, TypeF::Dict { type_fields, .. }) => type_fields,
            _ => break,
        };
    }
    (!matches!(expected.typ, TypeF::Contract(_))).then(|| expected.to_string())
}

/// How a value is written as what it has to be.
fn written_as(error: &NickelError) -> Option<String> {
    let (label, value) = blame(error)?;
    let value = value?;
    let tag = value.as_enum_tag().map(|tag| tag.label().to_owned());
    let expected = expected_type(label)?;
    match (expected.as_str(), value.type_of()?) {
        ("String", _) if tag.is_some() => Some(format!("write it as a string: `\"{}\"`", tag?)),
        ("String", "Number" | "Bool") => Some("write it as a string, in quotes: `\"…\"`".to_owned()),
        ("Number", "String") => Some("write it without quotes".to_owned()),
        ("Bool", _) => Some("write `true` or `false`".to_owned()),
        (array, found) if array.starts_with("Array") && found != "Array" => {
            Some("write it in brackets, also when there is but one: `[…]`".to_owned())
        }
        _ => None,
    }
}

/// How messages name a value's type.
fn type_name(value: &NickelValue) -> Option<&'static str> {
    Some(match value.type_of()? {
        "EnumTag" | "EnumVariant" => "tag",
        "CustomContract" => "contract",
        name => name,
    })
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}

fn general_hint(rule: Rule) -> Option<String> {
    let hint = match rule {
        Rule::Recursion => "a field's own name in its value means the field itself; give one of both another name",
        Rule::Syntax => {
            "a record is `{ name = value, … }`, with `=` and not `:`, and a comma after each field but the last; texts stand in `\"…\"`, tags \
             are `'tag`, comments begin with `#`"
        }
        Rule::Conflict => "leave one of them out, or mark the one that the other may replace: `name | default = value`",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn span(mark: &Mark<FileId>) -> RawSpan {
    span_of(mark)
}

fn span_of(mark: &Mark<FileId>) -> RawSpan {
    RawSpan::from_range(mark.file_id, mark.range.clone())
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

/// Documents of our own, and large values that Nickel prints, only hide the place.
fn is_of_interest(files: &Files, mark: &Mark<FileId>) -> bool {
    if files.name(mark.file_id).to_string_lossy().starts_with(embed::WRAPPERS) {
        return false;
    }
    !is_generated(files, mark) || files.source(mark.file_id).lines().count() <= MAX_GENERATED_LINES
}

/// Whether it marks a value as Nickel prints it, which stands in no file.
fn is_generated(files: &Files, mark: &Mark<FileId>) -> bool {
    !files.name(mark.file_id).to_string_lossy().starts_with('/') && !files.is_stdlib(mark.file_id)
}

/// Parts that are ready to be printed.
struct Prepared(Vec<Parts<FileId>>);

impl IntoDiagnostics for Prepared {
    fn into_diagnostics(self, _files: &mut Files) -> Vec<Parts<FileId>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_stays_readable_whatever_the_source() {
        assert_eq!(bounded("one\ntwo"), "one\ntwo");
        let long = bounded(&"ä".repeat(1 << 20));
        assert_eq!(long, format!("{}…", "ä".repeat(MAX_WIDTH)));
        assert_eq!(bounded(&"x\n".repeat(1000)).lines().count(), MAX_LINES + 1);
    }
}
