//! The schemas as files: for an editor that has to resolve what documents import, and for whoever reads them.
//!
//! Nickel files are found as `schemas/…` and `defaults/…` and, by way of files that import those, as `lian/schemas/…` and
//! `lian/defaults/…`, with `NICKEL_IMPORT_PATH` set to the directory. JSON Schemas are in `json/`.

use serde_json::Value;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::nickel;
use crate::new_files::{NewFiles, Outcome};
use crate::report::schema;
use crate::report::schema_export::{ExportAction, ExportedFile};

/// The beginning of the line that says whose a file is.
const MARK: &str = "Written by `lian-build schema export`";
/// How far into a file that line is looked for, in bytes.
const MARK_WITHIN: usize = 200;
/// No schema is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// A schema, by its name below the export's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFile {
    /// `schemas/build_spec.ncl`, `json/plan.v1.json`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Every schema, as it is: without the line that says whose a file is, and once.
///
/// # Errors
/// None in practice: [`ErrorKind::State`] when a schema is no JSON.
pub fn all() -> Result<Vec<SchemaFile>> {
    let nickel =
        nickel::embedded_files().map(|(name, text)| SchemaFile { name: name.to_owned(), text: text.to_owned() });
    let json = schema::all()
        .into_iter()
        .map(|schema| SchemaFile { name: format!("json/{}", schema.file_name), text: schema.text });
    let mut files: Vec<SchemaFile> = nickel.chain(json).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Writes all of them below `directory`. What an earlier export wrote is replaced; anything else is not touched, and then
/// nothing is written at all.
///
/// # Errors
/// [`ErrorKind::Usage`] when a file is there that no export wrote, or the directory cannot be written;
/// [`ErrorKind::State`] when writing fails.
pub fn export(directory: &NewFiles) -> Result<Vec<ExportedFile>> {
    let files = files()?;
    let mut actions = Vec::new();
    let mut foreign = Vec::new();
    for file in &files {
        let there = directory.read(&file.name, LONGEST)?;
        actions.push(match there {
            None => ExportAction::Written,
            Some(bytes) if bytes == file.text.as_bytes() => ExportAction::Unchanged,
            Some(bytes) if is_ours(&bytes) => ExportAction::Replaced,
            Some(_) => {
                foreign.push(format!("`{}`", file.name));
                ExportAction::Unchanged
            }
        });
    }
    if !foreign.is_empty() {
        return Err(Error::usage(format!("these files are there, and no export wrote them: {}", foreign.join(", ")))
            .hint("name another directory: nothing was written"));
    }
    let mut exported = Vec::new();
    for (file, action) in files.into_iter().zip(actions) {
        match action {
            ExportAction::Unchanged => {}
            ExportAction::Replaced => directory.replace(&file.name, &file.text)?,
            ExportAction::Written => {
                if directory.write(&file.name, &file.text)? == Outcome::Left {
                    return Err(Error::usage(format!("`{}` was written by somebody else meanwhile", file.name)));
                }
            }
        }
        exported.push(ExportedFile { path: file.name, action });
    }
    Ok(exported)
}

/// The files of an export, sorted.
fn files() -> Result<Vec<SchemaFile>> {
    let mut files = Vec::new();
    for SchemaFile { name, text } in all()? {
        if name.ends_with(".json") {
            files.push(SchemaFile { text: marked_json(&name, &text)?, name });
        } else {
            let import = format!("# {}: the same as {name}.\nimport \"../../{name}\"\n", mark());
            files.push(SchemaFile { name: format!("lian/{name}"), text: import });
            files.push(SchemaFile { text: format!("# {}.\n{text}", mark()), name });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn mark() -> String {
    format!("{MARK} {}, which replaces it", env!("CARGO_PKG_VERSION"))
}

/// The schema with a comment, which comes first: its name begins with `$c`.
fn marked_json(name: &str, text: &str) -> Result<String> {
    let what = || format!("the schema `{name}` is no JSON object");
    let mut schema: Value = serde_json::from_str(text).context(ErrorKind::State, what)?;
    let object = schema.as_object_mut().ok_or_else(|| Error::new(ErrorKind::State, what()))?;
    object.insert("$comment".to_owned(), format!("{}.", mark()).into());
    Ok(format!("{schema:#}\n"))
}

fn is_ours(bytes: &[u8]) -> bool {
    let beginning = bytes.get(..MARK_WITHIN).unwrap_or(bytes);
    memchr::memmem::find(beginning, MARK.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exported_file_says_whose_it_is() {
        let files = files().unwrap();
        assert!(files.iter().any(|file| file.name == "lian/defaults/build_directives.ncl"));
        assert!(files.iter().any(|file| file.name == "json/directives.v1.json"));
        for file in files {
            assert!(is_ours(file.text.as_bytes()), "{}", file.name);
            assert!(file.text.len() as u64 <= LONGEST, "{}", file.name);
        }
    }

    #[test]
    fn an_export_replaces_its_own_files_only() {
        let directory = tempfile::tempdir().unwrap();
        let target = NewFiles::open(directory.path()).unwrap();
        let actions =
            |wanted: ExportAction| export(&target).unwrap().into_iter().filter(|file| file.action == wanted).count();
        let count = files().unwrap().len();
        assert_eq!(actions(ExportAction::Written), count);
        assert_eq!(actions(ExportAction::Unchanged), count);
        let spec = directory.path().join("schemas/build_spec.ncl");
        std::fs::write(&spec, format!("# {MARK} 0.0.1, which replaces it.\n{{}}")).unwrap();
        assert_eq!(actions(ExportAction::Replaced), 1);

        std::fs::write(&spec, "mine").unwrap();
        std::fs::remove_file(directory.path().join("json/plan.v1.json")).unwrap();
        let error = export(&target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains("`schemas/build_spec.ncl`"), "{error}");
        assert!(!directory.path().join("json/plan.v1.json").exists(), "something was written all the same");
        assert_eq!(std::fs::read_to_string(spec).unwrap(), "mine");
    }
}
