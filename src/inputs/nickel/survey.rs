//! [`Survey`]: walks through a value and notes where its fields stand, and everything that is wrong with them.

use std::collections::BTreeMap;

use nickel_lang_core::cache::CacheHub;
use nickel_lang_core::error::{Error as NickelError, EvalCtxt, EvalErrorKind};
use nickel_lang_core::eval::cache::CacheImpl;
use nickel_lang_core::eval::value::{Container, NickelValue, ValueContentRef};
use nickel_lang_core::eval::{VirtualMachine, VmContext};
use nickel_lang_core::files::Files;
use nickel_lang_core::position::{PosIdx, RawSpan};
use nickel_lang_core::serialize::{self, ExportFormat};
use serde_json::Value;

use super::embed;
use super::loader::Loader;
use super::place::{Place, Places, element_path, field_path};

/// The evaluator.
pub(super) type Vm = VmContext<CacheHub, CacheImpl>;

/// The most places that are noted: more than any document of use has.
const MAX_PLACES: usize = 10_000;
/// The deepest nesting that is looked into.
const MAX_DEPTH: usize = 32;
/// The most faults that are noted.
const MAX_FAULTS: usize = 100;

/// What is found in a document.
#[derive(Default)]
pub(super) struct Survey {
    spots: BTreeMap<String, Spot>,
    /// The fields' names of every record, those that are optional and not set too.
    records: BTreeMap<String, Vec<String>>,
    faults: Vec<Fault>,
}

/// Something that is wrong.
pub(super) struct Fault {
    /// The field's path; `None` where no field is known.
    pub(super) path: Option<String>,
    /// What the schema says that the field is for.
    pub(super) doc: Option<String>,
    pub(super) error: NickelError,
}

/// The places that a field has.
#[derive(Clone, Copy, Default)]
struct Spot {
    /// Its name's.
    key: Option<RawSpan>,
    /// Its value's.
    value: Option<RawSpan>,
}

/// A field on the way through a value.
struct Field {
    path: String,
    key: Option<RawSpan>,
    doc: Option<String>,
    depth: usize,
}

impl Survey {
    /// Walks through `value`. What is noted already stays. Returns the value as far as it could be evaluated: `null` stands
    /// for each part that is wrong.
    pub(super) fn walk(&mut self, vm: &mut Vm, value: NickelValue) -> Value {
        self.visit(vm, value, Field { path: String::new(), key: None, doc: None, depth: 0 })
    }

    /// As [`Self::walk`], of a value without its contract: only its places count.
    pub(super) fn walk_bare(&mut self, vm: &mut Vm, value: NickelValue) {
        let mut bare = Self { spots: std::mem::take(&mut self.spots), ..Self::default() };
        bare.walk(vm, value);
        self.spots = bare.spots;
    }

    /// What is wrong, in the order in which it was found.
    pub(super) fn take_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.faults)
    }

    /// The names of the fields that every record has or may have, by its path.
    pub(super) fn records(&self) -> &BTreeMap<String, Vec<String>> {
        &self.records
    }

    fn visit(&mut self, vm: &mut Vm, value: NickelValue, field: Field) -> Value {
        if self.spots.len() >= MAX_PLACES || self.faults.len() >= MAX_FAULTS {
            return Value::Null;
        }
        let Field { path, key, doc, depth } = field;
        let value = match VirtualMachine::new(vm).eval(value) {
            Ok(value) => value,
            Err(error) => {
                self.note(path.clone(), Spot { key, value: None });
                self.faults.push(Fault { path: Some(path), doc, error: NickelError::EvalError(error) });
                return Value::Null;
            }
        };
        let position = value.pos_idx();
        self.note(path.clone(), Spot { key, value: value.pos(&vm.pos_table).into_opt() });
        if depth >= MAX_DEPTH {
            return Value::Null;
        }
        let depth = depth + 1;
        match value.content_ref() {
            ValueContentRef::Record(Container::Alloc(record)) => {
                self.records.insert(path.clone(), record.fields.keys().map(|name| name.label().to_owned()).collect());
                let mut seen = serde_json::Map::new();
                for (name, field) in &record.fields {
                    if field.metadata.not_exported() || field.is_empty_optional() {
                        continue;
                    }
                    // What has no words of its own is an entry of what has: a build argument, say.
                    let doc = field.metadata.doc().map(str::to_owned).or_else(|| doc.clone());
                    let inner = field_path(&path, name.label());
                    if let Some(value) = field.value_with_pending_contracts() {
                        let field = Field { path: inner, key: name.pos.into_opt(), doc, depth };
                        seen.insert(name.label().to_owned(), self.visit(vm, value, field));
                        continue;
                    }
                    let error = EvalErrorKind::MissingFieldDef {
                        id: *name,
                        metadata: field.metadata.clone_inner(),
                        pos_record: position,
                        pos_access: PosIdx::NONE,
                    };
                    let context = EvalCtxt { pos_table: vm.pos_table.clone(), ..EvalCtxt::default() };
                    self.faults.push(Fault { path: Some(inner), doc, error: NickelError::eval_error(context, error) });
                    seen.insert(name.label().to_owned(), Value::Null);
                }
                Value::Object(seen)
            }
            ValueContentRef::Array(Container::Alloc(array)) => {
                let mut seen = Vec::new();
                for (index, value) in array.iter_with_pending_contracts(position).enumerate() {
                    let field = Field { path: element_path(&path, index), key: None, doc: doc.clone(), depth };
                    seen.push(self.visit(vm, value, field));
                }
                Value::Array(seen)
            }
            // As the whole value is written when nothing is wrong. What cannot be written so is no part of a document.
            _ => serialize::to_string(ExportFormat::Json, &value)
                .ok()
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
        }
    }

    fn note(&mut self, path: String, spot: Spot) {
        let noted = self.spots.entry(path).or_default();
        noted.key = noted.key.or(spot.key);
        noted.value = noted.value.or(spot.value);
    }

    /// The place in a user's own file of the name of the field at `path`.
    pub(super) fn own_key(&self, files: &Files, path: &str) -> Option<RawSpan> {
        self.spots.get(path)?.key.filter(|span| is_own(files, span))
    }

    /// The place in a user's own file of the field at `path`, or of what it is part of.
    pub(super) fn own_span(&self, files: &Files, path: &str) -> Option<RawSpan> {
        let mut path = path;
        loop {
            if let Some(span) = self.spots.get(path).and_then(|spot| spot.own(files)) {
                return Some(span);
            }
            path = super::place::path_of_parent(path)?;
        }
    }

    /// The places under the names that users know. A place in a user's own file goes before one in an embedded file.
    pub(super) fn places(&self, files: &Files, loader: &Loader) -> Places {
        let place = |spot: &Spot| place(files, loader, spot.own(files).or(spot.key).or(spot.value)?);
        Places::new(self.spots.iter().filter_map(|(path, spot)| Some((path.clone(), place(spot)?))).collect())
    }
}

impl Spot {
    /// The place in a user's own file, if it has one.
    fn own(&self, files: &Files) -> Option<RawSpan> {
        let is_own = |span: &RawSpan| is_own(files, span);
        self.key.filter(is_own).or(self.value.filter(is_own))
    }
}

/// Whether `span` is in a file that a user wrote.
pub(super) fn is_own(files: &Files, span: &RawSpan) -> bool {
    let name = files.name(span.src_id).to_string_lossy();
    name.starts_with('/') && !files.is_stdlib(span.src_id) && !name.starts_with(embed::ROOT)
}

/// The beginning of `span`; `None` for what stands in a document of our own that no user sees.
pub(super) fn place(files: &Files, loader: &Loader, span: RawSpan) -> Option<Place> {
    let file = loader.name(&files.name(span.src_id).to_string_lossy())?;
    let (line, column) = position(files.source(span.src_id), span.start.to_usize());
    Some(Place { file, line, column })
}

/// Line and column of a byte, both from 1; past the end, those of the end.
pub(super) fn position(source: &str, byte: usize) -> (u32, u32) {
    let before = source.get(..byte).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_as_editors_do() {
        let source = "ä = 1,\n  ö = 2\n";
        for (byte, expected) in [(0, (1, 1)), (2, (1, 2)), (8, (2, 1)), (10, (2, 3)), (17, (3, 1)), (99, (3, 1))] {
            assert_eq!(position(source, byte), expected, "{byte}");
        }
    }
}
