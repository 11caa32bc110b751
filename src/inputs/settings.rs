//! [`Settings`]: every Nickel document that sizing needs, read in one go.

use std::collections::BTreeMap;
use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::nickel::{Contract, Document, Evaluator};
use crate::inputs::spec::{self, BuildSpec};
use crate::plan::{LanguageSize, Languages, Tier, Tiers};

/// The tiers, the defaults per language and the project's own spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The ladder: built in, or the file that the user named.
    pub tiers: Tiers,
    /// Sizes for projects without history.
    pub languages: Languages,
    /// The project's `.build-spec.ncl`; `None` when there is no such file.
    pub spec: Option<BuildSpec>,
}

/// A tiers file, as `schemas/tiers.ncl` lets it through.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TiersFile {
    #[serde(rename = "schema_version")]
    _schema_version: u32,
    tiers: Vec<Tier>,
}

/// The table of languages, as `schemas/languages.ncl` lets it through.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguagesFile {
    #[serde(rename = "schema_version")]
    _schema_version: u32,
    languages: BTreeMap<String, LanguageSize>,
}

/// Reads `.build-spec.ncl` of the context at `root` and the tiers (`tiers_file`, or the built-in ladder). One guarded
/// child evaluates everything.
///
/// # Errors
/// [`ErrorKind::Spec`] when a file is not valid, cannot be read, or needs too much to evaluate.
pub async fn load(root: &Path, tiers_file: Option<&Path>) -> Result<Settings> {
    load_with(&Evaluator::of_this_program()?, root, tiers_file).await
}

/// As [`load`], with an evaluator of the caller's choice.
///
/// # Errors
/// As [`load`].
pub async fn load_with(evaluator: &Evaluator, root: &Path, tiers_file: Option<&Path>) -> Result<Settings> {
    let tiers = match tiers_file {
        Some(path) => tiers_document(path)?,
        None => Document::embedded("defaults/tiers.ncl", Contract::Tiers),
    };
    let tiers_name = tiers.shown();
    let mut documents = vec![tiers, Document::embedded("defaults/languages.ncl", Contract::Languages)];
    if has_spec(root)? {
        documents.push(Document::file(root, spec::FILE_NAME, "", Contract::BuildSpec));
    }
    let mut values = evaluator.evaluate(documents).await?.into_iter();
    let tiers: TiersFile = shape(&tiers_name, values.next())?;
    let languages: LanguagesFile = shape("lian/defaults/languages.ncl", values.next())?;
    let spec = values.next().map(|value| shape(spec::FILE_NAME, Some(value))).transpose()?;
    Ok(Settings { tiers: Tiers::new(tiers.tiers)?, languages: Languages::new(languages.languages)?, spec })
}

/// Whether there is a spec. Anything of that name counts, a dangling symlink too: a spec that cannot be read is an
/// error, not a missing one.
fn has_spec(root: &Path) -> Result<bool> {
    match root.join(spec::FILE_NAME).symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::new(ErrorKind::Spec, format!("cannot look for `{}`", spec::FILE_NAME)).because(error)),
    }
}

/// The tiers file that a user named. It may import what lies beside and below it.
fn tiers_document(path: &Path) -> Result<Document> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::Spec, format!("`{}` does not name a tiers file", path.display())))?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let shown = directory.map(|directory| directory.join("").to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Document::file(directory.unwrap_or(Path::new(".")), name, &shown, Contract::Tiers))
}

fn shape<T: DeserializeOwned>(name: &str, value: Option<serde_json::Value>) -> Result<T> {
    let value = value.ok_or_else(|| Error::new(ErrorKind::Spec, format!("`{name}` was not evaluated")))?;
    serde_json::from_value(value).context(ErrorKind::Spec, || format!("`{name}` is not valid"))
}
