//! [`Sources`]: everybody who may say something.

use std::path::{Path, PathBuf};

use crate::cli::args::BuildArgs;
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::inputs::directives::{BuildDirectives, Directives};
use crate::inputs::resolve::{Candidates, Said};

/// Everybody who may say something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The command line.
    pub(super) args: &'a BuildArgs,
    /// The directives, where there are any.
    pub(super) directives: Option<&'a Directives>,
    /// The environment.
    pub(super) environment: &'a Environment,
    /// The current directory, which paths on the command line count from.
    pub(super) base: &'a Path,
}

impl Sources<'_> {
    /// A file of the command line, absolute and without `..`: the same file has the same name however it was written. What
    /// it is itself, be it a link, is looked at where it is used.
    pub(super) fn file(&self, file: &Path) -> PathBuf {
        let whole = self.base.join(file);
        let parent = whole.parent().and_then(|parent| parent.canonicalize().ok());
        match (parent, whole.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => whole,
        }
    }

    /// A directory of the command line in the same way, links followed.
    pub(super) fn directory(&self, directory: &Path) -> PathBuf {
        let whole = self.base.join(directory);
        whole.canonicalize().unwrap_or(whole)
    }

    /// What the directives say at `path`, where there are any and they say something.
    pub(super) fn directive<T: ToString>(
        &self,
        path: &str,
        get: impl FnOnce(&BuildDirectives) -> Option<T>,
    ) -> Option<Said<T>> {
        let directives = self.directives?;
        let value = get(&directives.value)?;
        let shown = value.to_string();
        Some(directives.said(path, value, shown))
    }

    /// As [`Sources::directive`], for a value that has a default: nothing when it is only that.
    pub(super) fn changed<T: PartialEq + ToString>(
        &self,
        path: &str,
        default: &T,
        get: impl FnOnce(&BuildDirectives) -> T,
    ) -> Option<Said<T>> {
        let directives = self.directives?;
        let value = get(&directives.value);
        let shown = value.to_string();
        directives.said_unless(default, path, value, shown)
    }

    /// The candidates for a text that a flag, the directives or a variable may hold.
    ///
    /// # Errors
    /// `Usage` when the variable's value is not UTF-8.
    pub(super) fn text(
        &self,
        (flag_name, flag): (&str, Option<&String>),
        (path, get): (&str, impl FnOnce(&BuildDirectives) -> Option<String>),
        variable: Option<&str>,
    ) -> Result<Candidates<String>> {
        let variable = match variable {
            Some(name) => variable_text(name, self.environment)?.map(|value| Said::variable(name, value)),
            None => None,
        };
        Ok(Candidates {
            flag: flag.map(|value| Said::flag(flag_name, value.clone())),
            directives: self.directive(path, get),
            variable,
        })
    }
}

/// The value of a flag, else of a variable, with the name of the one that won.
pub(in crate::cli) fn text_or_env(
    flag: Option<String>,
    flag_name: &str,
    variable: &str,
    environment: &Environment,
) -> Result<Option<(String, String)>> {
    if let Some(value) = flag {
        return Ok(Some((value, flag_name.to_owned())));
    }
    Ok(variable_text(variable, environment)?.map(|value| (value, variable.to_owned())))
}

/// The value of a variable.
///
/// # Errors
/// `Usage` when it is not UTF-8.
pub(super) fn variable_text(variable: &str, environment: &Environment) -> Result<Option<String>> {
    match (environment.text(variable), environment.os(variable)) {
        (Some(value), _) => Ok(Some(value.to_owned())),
        (None, Some(_)) => Err(Error::usage(format!("the value of `{variable}` is not UTF-8"))),
        (None, None) => Ok(None),
    }
}
