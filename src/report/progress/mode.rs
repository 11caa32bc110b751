//! [`Mode`]: how progress is shown, with buildx's names.

use crate::env_vars::{BUILDKIT_PROGRESS, Environment, TERM};
use crate::error::{Error, Result};

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
#[clap(rename_all = "lower")]
pub enum Mode {
    /// `tty` on a terminal, `plain` otherwise.
    #[default]
    Auto,
    /// A live view that folds away.
    Tty,
    /// One line a fact.
    Plain,
    /// BuildKit's own messages, one JSON object a line.
    RawJson,
    /// Nothing but errors.
    #[clap(alias = "none")]
    Quiet,
}

impl Mode {
    /// Settles on a mode: what was asked for, else `BUILDKIT_PROGRESS`, else what stderr is. Never [`Mode::Auto`].
    ///
    /// # Errors
    /// Bad usage for `tty` without a terminal, and for an unknown word in `BUILDKIT_PROGRESS`.
    pub fn resolve(asked: Option<Self>, environment: &Environment, stderr_is_terminal: bool) -> Result<Self> {
        let named = match asked {
            Some(mode) if mode != Self::Auto => mode,
            // Only `auto` gives way to the environment, as in buildx.
            _ => match environment.text(BUILDKIT_PROGRESS) {
                Some(word) => <Self as clap::ValueEnum>::from_str(word, false).map_err(|_| {
                    Error::usage(format!("`{word}` in `{BUILDKIT_PROGRESS}` is no way to show progress"))
                        .hint("one of `auto`, `tty`, `plain`, `rawjson`, `quiet`, `none`")
                })?,
                None => Self::Auto,
            },
        };
        match named {
            Self::Tty if !stderr_is_terminal => {
                Err(Error::usage("progress `tty` needs a terminal on stderr").hint("use `auto` or `plain`"))
            }
            Self::Auto if stderr_is_terminal && environment.text(TERM).is_some_and(|term| term != "dumb") => {
                Ok(Self::Tty)
            }
            Self::Auto => Ok(Self::Plain),
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(asked: Option<Mode>, environment: &[(&str, &str)], terminal: bool) -> Result<Mode> {
        Mode::resolve(asked, &Environment::from_pairs(environment.iter().copied()), terminal)
    }

    #[test]
    fn auto_looks_at_the_terminal() {
        assert_eq!(resolve(None, &[("TERM", "xterm")], true).unwrap(), Mode::Tty);
        assert_eq!(resolve(None, &[("TERM", "dumb")], true).unwrap(), Mode::Plain);
        assert_eq!(resolve(None, &[], true).unwrap(), Mode::Plain);
        assert_eq!(resolve(Some(Mode::Auto), &[("TERM", "xterm")], false).unwrap(), Mode::Plain);
    }

    #[test]
    fn the_flag_beats_the_environment() {
        let environment = [("BUILDKIT_PROGRESS", "rawjson"), ("TERM", "xterm")];
        assert_eq!(resolve(None, &environment, true).unwrap(), Mode::RawJson);
        assert_eq!(resolve(Some(Mode::Auto), &environment, true).unwrap(), Mode::RawJson);
        assert_eq!(resolve(Some(Mode::Plain), &environment, true).unwrap(), Mode::Plain);
        assert_eq!(resolve(None, &[("BUILDKIT_PROGRESS", "none")], true).unwrap(), Mode::Quiet);
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        assert!(resolve(Some(Mode::Tty), &[("TERM", "xterm")], false).is_err());
        assert!(resolve(None, &[("BUILDKIT_PROGRESS", "tty")], false).is_err());
        let error = resolve(None, &[("BUILDKIT_PROGRESS", "fancy")], true).unwrap_err();
        assert!(error.message().contains("`fancy`"), "{error}");
    }
}
