//! [`check`]: what becomes of each file.

use std::path::Path;

use super::kind::Kind;
use super::meaning::{Ladders, Meaning};
use super::part::Part;
use super::target::Target;
use crate::error::Result;
use crate::inputs::directives::DirectivesFile;
use crate::inputs::nickel::{Checked, Diagnostic, Document, Evaluated, Evaluator, Places, Rule};
use crate::inputs::policy::Policy;
use crate::inputs::serve_config::ServeConfig;
use crate::inputs::settings;
use crate::inputs::spec::BuildSpec;

/// A file that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedFile {
    /// The file as its user named it.
    pub file: String,
    /// What it is meant to say.
    pub kind: Kind,
    /// All that is wrong, in the order of the source; empty when it is valid.
    pub diagnostics: Vec<Diagnostic>,
    /// What its author should know besides.
    pub warnings: Vec<String>,
}

/// Checks `targets`. Tiers are named by the built-in ladder, or by that of `tiers_file`.
///
/// # Errors
/// [`crate::error::ErrorKind::Spec`] when the tiers file is not valid, or nothing could be evaluated at all.
pub async fn check(evaluator: &Evaluator, targets: &[Target], tiers_file: Option<&Path>) -> Result<Vec<CheckedFile>> {
    let builtin = settings::load_tiers(evaluator, None).await?;
    let tiers = match tiers_file {
        Some(_) => settings::load_tiers(evaluator, tiers_file).await?,
        None => builtin.clone(),
    };
    let ladders = Ladders { tiers, builtin };
    let documents: Vec<Document> =
        targets.iter().filter(|target| target.fault.is_none()).map(|target| target.document.clone()).collect();
    let mut all_checked = evaluator.check(&documents).await?.into_iter();
    let mut files = Vec::new();
    for target in targets {
        let mut file = CheckedFile {
            file: target.document.shown(),
            kind: target.kind,
            diagnostics: target.fault.iter().cloned().collect(),
            warnings: Vec::new(),
        };
        if target.fault.is_none()
            && let Some(checked) = all_checked.next()
        {
            look_closer(&mut file, target, checked, &ladders);
        }
        name_from_here(&mut file, target);
        files.push(file);
    }
    Ok(files)
}

/// Names files as they are from the current directory.
fn name_from_here(file: &mut CheckedFile, target: &Target) {
    let name = |text: &mut String| *text = target.seen_from_here(text);
    name(&mut file.file);
    file.warnings.iter_mut().for_each(name);
    for diagnostic in &mut file.diagnostics {
        name(&mut diagnostic.file);
        name(&mut diagnostic.message);
        name(&mut diagnostic.excerpt);
        diagnostic.hint.iter_mut().for_each(name);
    }
}

/// What is wrong by the contract, and what contracts do not say: of a document that is not valid, as far as it could be
/// evaluated.
fn look_closer(file: &mut CheckedFile, target: &Target, checked: Checked, ladders: &Ladders) {
    let Checked { value, diagnostics, partial } = checked;
    file.diagnostics = diagnostics;
    match value {
        Some(Evaluated { value, places, warnings, .. }) => {
            file.warnings = warnings;
            meaning(file, target, &value, &places, ladders);
            shape(file, value);
        }
        None => meaning(file, target, &partial.value, &partial.places, ladders),
    }
    // Fields of the whole document that it lacks or does not know: it may be meant to say something else.
    let is_odd = |diagnostic: &Diagnostic| {
        let is_about_fields = matches!(diagnostic.rule, Rule::UnknownField | Rule::MissingField);
        is_about_fields && diagnostic.path.as_ref().is_none_or(|path| !path.contains(['.', '[']))
    };
    if file.diagnostics.iter().any(is_odd) && !target.kind.is_said_by(&file.file) {
        file.warnings.push(format!(
            "`{}` was checked as {}, for its name says nothing else: `--kind` says what it is",
            file.file,
            target.kind.words()
        ));
    }
    let shown = file.file.clone();
    file.diagnostics.sort_by_key(|diagnostic| {
        let Diagnostic { file, line, column, .. } = diagnostic;
        (*file != shown, file.clone(), *line, *column)
    });
}

fn meaning(file: &mut CheckedFile, target: &Target, value: &serde_json::Value, places: &Places, ladders: &Ladders) {
    let mut meaning = Meaning::new(&file.file, &target.root, ladders, places);
    let whole = Part::whole(value);
    match target.kind {
        Kind::Spec => meaning.of_spec(&whole),
        Kind::Directives => meaning.of_directives(&whole),
        Kind::Policy => meaning.of_policy(&whole),
        Kind::Tiers if meaning.tiers_twice(&whole) => {}
        Kind::Tiers if whole.is_sound() => {
            if let Err(error) = settings::tiers_of(&file.file, value.clone()) {
                meaning.of_tiers(&error);
            }
        }
        Kind::Tiers | Kind::Serve => {}
    }
    let (diagnostics, warnings) = meaning.found();
    file.diagnostics.extend(diagnostics);
    file.warnings.extend(warnings);
}

/// The types take what the contracts let through; where one does not, a build would refuse it just so.
fn shape(file: &mut CheckedFile, value: serde_json::Value) {
    let shaped = match file.kind {
        Kind::Spec => serde_json::from_value::<BuildSpec>(value).err(),
        Kind::Directives => serde_json::from_value::<DirectivesFile>(value).err(),
        Kind::Policy => serde_json::from_value::<Policy>(value).err(),
        Kind::Serve => serde_json::from_value::<ServeConfig>(value).err(),
        Kind::Tiers => None,
    };
    if let Some(error) = shaped {
        let message = format!("it cannot be used: {error}");
        file.diagnostics.push(Diagnostic::of_file(&file.file, Rule::Value, message));
    }
}
