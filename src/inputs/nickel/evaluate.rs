//! Evaluates documents in this process. Only the child calls it: see [`super::child`].

use nickel_lang_core::cache::{CacheHub, InputFormat, SourcePath};
use nickel_lang_core::error::{Error as NickelError, NullReporter};
use nickel_lang_core::eval::cache::CacheImpl;
use nickel_lang_core::eval::value::Container;
use nickel_lang_core::eval::{VirtualMachine, VmContext};
use nickel_lang_core::files::FileId;
use nickel_lang_core::serialize::{self, ExportFormat};

use super::contract::Contract;
use super::diagnose::{self, UnknownFields};
use super::embed;
use super::loader::{LoadError, Loader};
use super::wire::{Document, Invalid};

type Vm = VmContext<CacheHub, CacheImpl>;

/// The values of `documents`, each checked against its contract.
///
/// `busy` hears the number of the document that is worked on. `seal` is called when everything is read and before
/// anything is evaluated: from then on no file needs to be opened.
pub(super) fn evaluate(
    documents: &[Document],
    busy: &mut dyn FnMut(usize),
    seal: impl FnOnce(),
) -> Result<Vec<serde_json::Value>, Invalid> {
    let mut hub = CacheHub::new();
    let mut loader = Loader::new(&mut hub);
    let mut mains = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        busy(number);
        match loader.load(&mut hub, document) {
            Ok((path, format)) => {
                mains.push(add_wrapper(&mut hub, number, &path.to_string_lossy(), format, document.contract))
            }
            Err(LoadError::Unreadable(reason)) => return Err(Invalid { message: reason, hints: Vec::new() }),
            Err(LoadError::Nickel(error)) => {
                return Err(invalid(&loader, &diagnose::text(&mut hub.sources.files, error, None)));
            }
        }
    }
    seal();
    let mut vm = Vm::new(hub, std::io::sink(), NullReporter {});
    let mut values = Vec::new();
    for (number, (document, id)) in documents.iter().zip(mains).enumerate() {
        busy(number);
        let value = value_of(&mut vm, id).map_err(|error| {
            let unknown = UnknownFields::of(&error).map(|unknown| {
                let known = fields_of(&mut vm, document.contract);
                unknown.explained(&known)
            });
            invalid(&loader, &diagnose::text(&mut vm.import_resolver.sources.files, error, unknown))
        })?;
        values.push(value);
    }
    // The process ends now; taking the evaluator's graph apart would only cost time, and stack.
    std::mem::forget(vm);
    Ok(values)
}

/// Nickel's text, under the names that the user knows.
fn invalid(loader: &Loader, text: &str) -> Invalid {
    Invalid { message: format!("is not valid: {}", loader.show(text)), hints: Vec::new() }
}

/// A document of our own that imports `path` and puts the contract on it. It is in memory only.
fn add_wrapper(hub: &mut CacheHub, number: usize, path: &str, format: InputFormat, contract: Contract) -> FileId {
    let text = format!(
        "let schema = import \"{schema}\" in (import \"{path}\" as '{format}) | schema.{name}",
        schema = contract.file(),
        path = escape(path),
        format = format.to_str(),
        name = contract.name(),
    );
    add_source(hub, &format!("document{number}"), text)
}

fn add_source(hub: &mut CacheHub, name: &str, text: String) -> FileId {
    let path = format!("{}/{name}.ncl", embed::WRAPPERS);
    hub.sources.add_string(SourcePath::Path(path.into(), InputFormat::Nickel), text)
}

/// `text` for a Nickel string literal.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace("%{", "\\%{").replace('\n', "\\n").replace('\r', "\\r")
}

/// Evaluates a source to a JSON value. The way through JSON text matters: Nickel's own deserialiser rounds and
/// saturates numbers on their way into integers.
fn value_of(vm: &mut Vm, id: FileId) -> Result<serde_json::Value, NickelError> {
    let prepared = vm.prepare_eval(id)?;
    let value = VirtualMachine::new(vm).eval_full_for_export(prepared).map_err(NickelError::EvalError)?;
    let export = |data| NickelError::export_error(vm.pos_table.clone(), data);
    serialize::validate(ExportFormat::Json, &value).map_err(export)?;
    let text = serialize::to_string(ExportFormat::Json, &value).map_err(export)?;
    serde_json::from_str(&text).map_err(|error| {
        let message = format!("the value cannot be written as JSON: {error}");
        NickelError::IOError(nickel_lang_core::error::IOError(message))
    })
}

/// The fields that the contract's closed records have, as the schema says.
fn fields_of(vm: &mut Vm, contract: Contract) -> Vec<String> {
    let mut fields = Vec::new();
    for record in contract.records() {
        let text = format!("(import \"{}\").{record}", contract.file());
        let id = add_source(&mut vm.import_resolver, record, text);
        let Ok(prepared) = vm.prepare_eval(id) else { continue };
        let Ok(value) = VirtualMachine::new(vm).eval(prepared) else { continue };
        if let Some(record) = value.as_record().and_then(Container::into_opt) {
            fields.extend(record.fields.keys().map(|name| name.label().to_owned()));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spec's value, or the message.
    fn spec(text: &str) -> Result<serde_json::Value, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".build-spec.ncl"), text).unwrap();
        let document = Document::file(directory.path(), ".build-spec.ncl", "", Contract::BuildSpec);
        match evaluate(&[document], &mut |_| (), || ()) {
            Ok(mut values) => Ok(values.remove(0)),
            Err(invalid) => Err(invalid.message),
        }
    }

    #[test]
    fn a_spec_gets_its_defaults_from_the_schema() {
        let value = spec("{ cpu = 4, memory_gb = 7.5 }").unwrap();
        let expected = serde_json::json!({
            "schema_version": 1, "cpu": 4, "memory_gb": 7.5, "oom_retry": true, "cache_keys": []
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn every_invalid_spec_is_told_what_is_wrong_and_where() {
        for (text, wrong, place) in [
            ("{ cpu = 0, memory_gb = 4 }", "cpu is 0: it has to be above 0 and at most 256", "1:9"),
            ("{\n  memory_gb = 4,\n  cpu = -1,\n}", "cpu is -1: it has to be above 0 and at most 256", "3:9"),
            ("{ cpu = 1.5e9, memory_gb = 4 }", "cpu is 1500000000: it has to be above 0", "1:9"),
            ("{ cpu = 257, memory_gb = 4 }", "cpu is 257: it has to be above 0 and at most 256", "1:9"),
            ("{\n  cpu = \"4\", memory_gb = 4 }", "cpu is no number: it has to be above 0", "2:9"),
            ("{ cpu = 0 / 0, memory_gb = 4 }", "division by zero", "1:9"),
            ("{ cpu = 2, memory_gb = 0 }", "memory_gb is 0: it has to be above 0", "1:24"),
            ("{ cpu = 2, memory_gb = 4097 }", "memory_gb is 4097: it has to be above 0 and at most 4096", "1:24"),
            ("{ time_budget_min = 1441 }", "time_budget_min is 1441: it has to be above 0 and at most 1440", "1:21"),
            ("{ disk_gb = -3 }", "disk_gb is -3: it has to be above 0", "1:13"),
            ("{ oom_retry = 1 }", "contract broken by the value of `oom_retry`", "1:15"),
            ("{ cache_keys = [1] }", "contract broken by the value of `cache_keys`", "1:17"),
            ("{ runner_type = 'cax21 }", "contract broken by the value of `runner_type`", "1:17"),
            ("{ schema_version = 2 }", "schema_version is not 1, the only version", "1:20"),
            ("{ cpu = 2, memory_gp = 4 }", "unknown field `memory_gp`: did you mean `memory_gb`?", "1:12"),
            ("{ cpu = 2, colour = 4 }", "unknown field `colour`\n", "1:12"),
            ("{ cpu = 2 }", "cpu stands without memory_gb", "1:1"),
            ("{ memory_gb = 2 }", "memory_gb stands without cpu", "1:1"),
            ("{ cpu = 2", "unexpected end of file", "1:10"),
            ("3", "expected a Record", "1:1"),
            ("{ cpu = cpu, memory_gb = 4 }", "infinite recursion", "1:9"),
        ] {
            let message = spec(text).unwrap_err();
            assert!(message.starts_with(&format!("is not valid: {wrong}")), "{text}: {message}");
            assert!(message.contains(&format!("┌─ .build-spec.ncl:{place}\n")), "{text}: {message}");
            assert!(!message.contains("__") && !message.contains("let schema"), "{text}: {message}");
        }
    }

    #[test]
    fn the_defaults_keep_their_contracts() {
        let documents = [("defaults/tiers.ncl", Contract::Tiers), ("defaults/languages.ncl", Contract::Languages)];
        let documents = documents.map(|(name, contract)| Document::embedded(name, contract));
        let values = evaluate(&documents, &mut |_| (), || ()).unwrap_or_else(|invalid| panic!("{}", invalid.message));
        assert_eq!(values.len(), 2);
    }

    #[test]
    fn paths_are_safe_in_a_string_literal() {
        assert_eq!(escape("a\"b\\c%{d}\n"), r#"a\"b\\c\%{d}\n"#);
    }
}
