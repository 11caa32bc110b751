//! [`Round`]: one evaluation of one document, to its value or to everything that can be seen to be wrong.

use nickel_lang_core::cache::{CacheHub, InputFormat, SourcePath};
use nickel_lang_core::error::{Error as NickelError, IOError};
use nickel_lang_core::eval::VirtualMachine;
use nickel_lang_core::eval::value::NickelValue;
use nickel_lang_core::files::FileId;
use nickel_lang_core::serialize::{self, ExportFormat};

use super::contract::Contract;
use super::embed;
use super::loader::Loaded;
use super::rename::{self, Rename};
use super::survey::{Fault, Survey, Vm};

/// The documents of our own, in memory only, that stand for one of the user's.
#[derive(Clone, Copy)]
pub(super) struct Main {
    /// What the user wrote, as it is.
    bare: FileId,
    /// The same with the contract on it.
    whole: FileId,
}

impl Main {
    /// Adds them to the table. `number` tells them from those of other documents; `renames` are done to what the user wrote.
    pub(super) fn new(
        hub: &mut CacheHub,
        number: usize,
        loaded: &Loaded,
        contract: Contract,
        renames: &[Rename],
    ) -> Self {
        let path = escape(&loaded.path.to_string_lossy());
        let bare = format!("import \"{path}\" as '{format}", format = loaded.format.to_str());
        let bare = rename::apply(renames, &bare);
        let whole = format!(
            "let schema = import \"{schema}\" in ({bare}) | schema.{name}",
            schema = contract.file(),
            name = contract.name(),
        );
        Self {
            bare: add_source(hub, &format!("bare{number}"), bare),
            whole: add_source(hub, &format!("document{number}"), whole),
        }
    }
}

fn add_source(hub: &mut CacheHub, name: &str, text: String) -> FileId {
    let path = format!("{}/{name}.ncl", embed::WRAPPERS);
    hub.sources.add_string(SourcePath::Path(path.into(), InputFormat::Nickel), text)
}

/// `text` for a Nickel string literal.
pub(super) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace("%{", "\\%{").replace('\n', "\\n").replace('\r', "\\r")
}

/// What an evaluation found.
pub(super) struct Round {
    /// The value; `None` when something is wrong.
    pub(super) value: Option<serde_json::Value>,
    /// The value as far as it could be evaluated, with `null` for what is wrong.
    pub(super) seen: serde_json::Value,
    pub(super) survey: Survey,
    pub(super) faults: Vec<Fault>,
    /// Whether the document could be evaluated at all.
    pub(super) has_begun: bool,
}

impl Round {
    /// Evaluates a document.
    pub(super) fn run(vm: &mut Vm, main: Main) -> Self {
        let mut survey = Survey::default();
        // Contracts give the fields that they know their own places, so what the user wrote comes first.
        if let Ok(bare) = vm.prepare_eval(main.bare) {
            survey.walk_bare(vm, bare);
        }
        let whole = match vm.prepare_eval(main.whole) {
            Ok(whole) => whole,
            Err(error) => {
                let faults = vec![Fault { path: None, doc: None, error }];
                return Self { value: None, seen: serde_json::Value::Null, survey, faults, has_begun: false };
            }
        };
        let seen = survey.walk(vm, whole.clone());
        let mut faults = survey.take_faults();
        let mut value = None;
        if faults.is_empty() {
            match export(vm, whole) {
                Ok(json) => value = Some(json),
                Err(error) => faults.push(Fault { path: None, doc: None, error }),
            }
        }
        Self { value, seen, survey, faults, has_begun: true }
    }
}

/// The value as JSON. The way through JSON text matters: Nickel's own deserialiser rounds and saturates numbers on their
/// way into integers.
fn export(vm: &mut Vm, value: NickelValue) -> Result<serde_json::Value, NickelError> {
    let value = VirtualMachine::new(vm).eval_full_for_export(value).map_err(NickelError::EvalError)?;
    let export = |data| NickelError::export_error(vm.pos_table.clone(), data);
    serialize::validate(ExportFormat::Json, &value).map_err(export)?;
    let text = serialize::to_string(ExportFormat::Json, &value).map_err(export)?;
    serde_json::from_str(&text)
        .map_err(|error| NickelError::IOError(IOError(format!("the value cannot be written as JSON: {error}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_safe_in_a_string_literal() {
        assert_eq!(escape("a\"b\\c%{d}\n"), r#"a\"b\\c\%{d}\n"#);
    }
}
