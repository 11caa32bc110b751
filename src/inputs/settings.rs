//! [`Settings`]: every Nickel document that a plan needs besides directives, read in one go.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::nickel::{Contract, Document, Evaluated, Evaluator, Places};
use crate::inputs::policy::{Policies, PolicyFile, PolicyPath};
use crate::inputs::spec::{self, BuildSpec};
use crate::plan::{LanguageSize, Languages, Tier, Tiers};

/// The ladder that is part of the program.
const BUILTIN_TIERS: &str = "defaults/tiers.ncl";

/// The same for x86-64 machines of providers that rent machines by these names.
const BUILTIN_TIERS_AMD64: &str = "defaults/tiers_amd64.ncl";

/// The sizes by language that are part of the program.
const BUILTIN_LANGUAGES: &str = "defaults/languages.ncl";

/// The tiers, the defaults per language, the policies and the project's own spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The ladder: built in, or the file that the user named.
    pub tiers: Tiers,
    /// The ladder of x86-64 machines, where a provider rents machines by their names: built in, or the file that the user named.
    pub amd64_tiers: Tiers,
    /// All tiers that are built in: what their names mean in a policy, whatever another file makes of them.
    pub builtin_tiers: Tiers,
    /// Sizes for projects without history.
    pub languages: Languages,
    /// The project's `.build-spec.ncl`; `None` when there is no such file.
    pub spec: Option<BuildSpec>,
    /// Where its values stand.
    pub spec_places: Places,
    /// What the operator allows.
    pub policies: Policies,
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

/// Reads `.build-spec.ncl` of the context at `root`, the tiers (`tiers_file`, or the built-in ladder) and the policies. One
/// guarded child evaluates everything.
///
/// # Errors
/// [`ErrorKind::Spec`] when a file is not valid, cannot be read, or needs too much to evaluate.
pub async fn load(root: &Path, tiers_file: Option<&Path>, policies: &[PolicyPath]) -> Result<Settings> {
    load_with(&Evaluator::of_this_program()?, root, tiers_file, policies).await
}

/// As [`load`], with an evaluator of the caller's choice.
///
/// # Errors
/// As [`load`].
pub async fn load_with(
    evaluator: &Evaluator,
    root: &Path,
    tiers_file: Option<&Path>,
    policies: &[PolicyPath],
) -> Result<Settings> {
    let mut documents: Vec<Document> = policies.iter().map(PolicyPath::document).collect();
    documents.push(Document::embedded(BUILTIN_TIERS, Contract::Tiers));
    documents.push(Document::embedded(BUILTIN_TIERS_AMD64, Contract::Tiers));
    documents.push(Document::embedded(BUILTIN_LANGUAGES, Contract::Languages));
    documents.extend(tiers_file.map(tiers_document).transpose()?);
    if has_spec(root)? {
        documents.push(Document::file(root, spec::FILE_NAME, "", Contract::BuildSpec));
    }
    let names: Vec<String> = documents.iter().map(Document::shown).collect();
    let mut values = Values(names.into_iter().zip(evaluator.evaluate(documents).await?).collect());
    let policies = policies.iter().map(|_| values.policy()).collect::<Result<Vec<_>>>()?;
    let (builtin, amd64) = (values.tiers()?, values.tiers()?);
    let languages: LanguagesFile = values.next()?;
    let builtin_tiers = builtin.and(&amd64)?;
    let (tiers, amd64_tiers) = if tiers_file.is_some() {
        let named = values.tiers()?;
        (named.clone(), named)
    } else {
        (builtin, amd64)
    };
    let (spec, spec_places) = match values.0.pop_front() {
        Some((name, Evaluated { value, places, .. })) => (Some(shape(&name, value)?), places),
        None => (None, Places::default()),
    };
    Ok(Settings {
        tiers,
        amd64_tiers,
        builtin_tiers,
        languages: Languages::new(languages.languages)?,
        spec,
        spec_places,
        policies: Policies::new(policies),
    })
}

/// What is left of the evaluated documents, each with its name, in their order.
struct Values(VecDeque<(String, Evaluated)>);

impl Values {
    fn evaluated(&mut self) -> Result<(String, Evaluated)> {
        self.0.pop_front().ok_or_else(|| Error::new(ErrorKind::Spec, "a document was not evaluated"))
    }

    fn next<T: DeserializeOwned>(&mut self) -> Result<T> {
        let (name, evaluated) = self.evaluated()?;
        shape(&name, evaluated.value)
    }

    fn tiers(&mut self) -> Result<Tiers> {
        let (name, evaluated) = self.evaluated()?;
        tiers_of(&name, evaluated.value)
    }

    fn policy(&mut self) -> Result<PolicyFile> {
        let (name, Evaluated { value, places, .. }) = self.evaluated()?;
        Ok(PolicyFile { policy: shape(&name, value)?, name, places })
    }
}

/// The tiers alone: all that are built in, or those of `tiers_file`.
///
/// # Errors
/// As [`load`].
pub async fn load_tiers(evaluator: &Evaluator, tiers_file: Option<&Path>) -> Result<Tiers> {
    let documents = match tiers_file {
        Some(path) => vec![tiers_document(path)?],
        None => [BUILTIN_TIERS, BUILTIN_TIERS_AMD64].map(|name| Document::embedded(name, Contract::Tiers)).into(),
    };
    let names: Vec<String> = documents.iter().map(Document::shown).collect();
    let mut values = Values(names.into_iter().zip(evaluator.evaluate(documents).await?).collect());
    let first = values.tiers()?;
    if tiers_file.is_some() { Ok(first) } else { first.and(&values.tiers()?) }
}

/// The ladder that the tiers file `name` with this value has.
///
/// # Errors
/// [`ErrorKind::Spec`] when tiers have the same name, or it is no value that the contract lets through.
pub fn tiers_of(name: &str, value: serde_json::Value) -> Result<Tiers> {
    let file: TiersFile = shape(name, value)?;
    Tiers::new(file.tiers)
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

fn shape<T: DeserializeOwned>(name: &str, value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value).context(ErrorKind::Spec, || format!("`{name}` is not valid"))
}
