//! [`Directives`]: a caller's directives, with the place of every value.

use std::path::{Path, PathBuf};

use super::select::{check_only, select};
use super::{BuildDirectives, ProjectRoot};
use crate::env_vars::Environment;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::nickel::{Contract, Document, Evaluator, Place, Places, field_path};
use crate::inputs::origin::By;
use crate::inputs::resolve::Said;

/// Directives with the place of every value.
#[derive(Debug, Clone, PartialEq)]
pub struct Directives {
    /// What they say, defaults filled in.
    pub value: BuildDirectives,
    /// The directory that their paths count from, absolute and without links.
    pub root: PathBuf,
    /// Their file, from there.
    pub file: PathBuf,
    /// The files that it imports, directly or not, absolute and without links.
    pub imports: Vec<PathBuf>,
    /// What their author should know.
    pub warnings: Vec<String>,
    places: Places,
    /// The path of these directives in their file: empty, or `[2]`.
    at: String,
}

impl Directives {
    /// Reads the directives in `file`; `asked` picks one of several by name.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when the file is not there, is not valid, or imports what it may not; `Usage` when `asked` names
    /// none of them.
    pub async fn load(file: &Path, asked: Option<&str>, current: &Path, environment: &Environment) -> Result<Self> {
        Self::load_with(&Evaluator::of_this_program()?, file, asked, current, environment).await
    }

    /// As [`Directives::load`], with an evaluator of the caller's choice.
    ///
    /// # Errors
    /// As [`Directives::load`].
    pub async fn load_with(
        evaluator: &Evaluator,
        file: &Path,
        asked: Option<&str>,
        current: &Path,
        environment: &Environment,
    ) -> Result<Self> {
        let ProjectRoot { directory: root, file } = ProjectRoot::find(file, current, environment)?;
        let document = Document::file(&root, &file, "", Contract::Directives);
        let shown = document.shown();
        let evaluated = evaluator.evaluate(vec![document]).await?.into_iter().next();
        let evaluated = evaluated.ok_or_else(|| Error::new(ErrorKind::Spec, format!("`{shown}` was not evaluated")))?;
        let odd = || format!("`{shown}` is not valid");
        let (value, at) = if evaluated.value.is_array() {
            let mut all: Vec<BuildDirectives> =
                serde_json::from_value(evaluated.value).context(ErrorKind::Spec, odd)?;
            let index = select(&all, asked, &shown)?;
            (all.swap_remove(index), format!("[{index}]"))
        } else {
            let only: BuildDirectives = serde_json::from_value(evaluated.value).context(ErrorKind::Spec, odd)?;
            check_only(&only, asked, &shown)?;
            (only, String::new())
        };
        let imports = evaluated.imports.into_iter().map(PathBuf::from).collect();
        Ok(Self { value, root, file, imports, warnings: evaluated.warnings, places: evaluated.places, at })
    }

    /// A value that the directives have for certain, at `path`: `artifact.image`.
    pub fn said<T>(&self, path: &str, value: T, shown: impl Into<String>) -> Said<T> {
        Said { value, shown: shown.into(), by: By::Directives, from: self.place(path) }
    }

    /// A value for which there is a default: `None` when it is only that. What differs from the default was said, wherever it
    /// stands.
    pub fn said_unless<T: PartialEq>(
        &self,
        default: &T,
        path: &str,
        value: T,
        shown: impl Into<String>,
    ) -> Option<Said<T>> {
        let is_said = value != *default || self.own(path).is_some();
        is_said.then(|| self.said(path, value, shown))
    }

    /// The path of the entry `name` of the record at `path`.
    pub fn entry(path: &str, name: &str) -> String {
        field_path(path, name)
    }

    /// Where the value at `path` stands, for a reader. What a function of ours has filled in has the place of its call too.
    pub fn place(&self, path: &str) -> String {
        let path = self.path(path);
        let shown = || self.file.display().to_string();
        match self.places.nearest(&path) {
            None => shown(),
            Some(place) if !place.is_embedded() => place.to_string(),
            Some(embedded) => format!("{}, by {embedded}", shown()),
        }
    }

    /// What is wrong with the value at `path`, with its place.
    pub fn refuse(&self, path: &str, error: &Error) -> Error {
        let wrong = Error::new(ErrorKind::Spec, format!("{}: `{path}`: {}", self.place(path), error.message()));
        error.hints().iter().fold(wrong, |wrong, hint| wrong.hint(hint.clone()))
    }

    /// The place in the caller's own files.
    fn own(&self, path: &str) -> Option<&Place> {
        self.places.get(&self.path(path)).filter(|place| !place.is_embedded())
    }

    fn path(&self, path: &str) -> String {
        match self.at.as_str() {
            "" => path.to_owned(),
            at => format!("{at}.{path}"),
        }
    }
}
