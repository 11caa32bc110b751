//! `--build-arg`, `--label` and `--build-context`, as buildx takes them.
//!
//! They become `--opt key=value` of buildctl, which is cut at the first `=` and is **not** comma-separated: a value is
//! carried as it stands, a key must not hold `=`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::registry::Reference;
use crate::sanitise;

/// A named value: a build argument or a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The name, without `=` and white space.
    pub key: String,
    /// The value, as it stands.
    pub value: String,
}

/// Reads `--build-arg K=V`, or `K` alone, which takes the caller's own variable and is left out when that is not set.
/// Build arguments are no secrets: they stand in the image's history.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] for a name that is none, or a value that is not text.
pub fn parse_build_arg(text: &str, environment: &Environment) -> Result<Option<KeyValue>> {
    if let Some((key, value)) = text.split_once('=') {
        return KeyValue::new("--build-arg", key, value).map(Some);
    }
    let Some(value) = environment.os(text) else {
        return KeyValue::new("--build-arg", text, "").map(|_| None);
    };
    let value = value.to_str().ok_or_else(|| {
        Error::usage(format!("`--build-arg {}`: the variable's value is not UTF-8", sanitise::line(text)))
    })?;
    KeyValue::new("--build-arg", text, value).map(Some)
}

/// Reads `--label K=V`; `K` alone is a label with an empty value.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] for a name that is none.
pub fn parse_label(text: &str) -> Result<KeyValue> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    KeyValue::new("--label", key, value)
}

impl KeyValue {
    fn new(flag: &str, key: &str, value: &str) -> Result<Self> {
        if key.is_empty() || key.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(Error::usage(format!("`{flag}`: `{}` is not a name", sanitise::line(key)))
                .hint(format!("write `{flag} NAME=VALUE`")));
        }
        if value.contains('\0') {
            return Err(Error::usage(format!("`{flag} {key}`: the value holds a NUL byte")));
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory of the caller, absolute and with links resolved.
    Directory(PathBuf),
    /// An image.
    Image(Reference),
}

impl ContextSource {
    /// True when `text` means a directory.
    pub fn is_directory(text: &str) -> bool {
        !text.starts_with(IMAGE) && foreign_scheme(text).is_none()
    }
}

/// How the name of an image begins.
const IMAGE: &str = "docker-image://";

impl fmt::Display for ContextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Image(reference) => write!(f, "{IMAGE}{reference}"),
        }
    }
}

/// One `--build-context NAME=SOURCE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildContext {
    /// The name that `FROM` and `--from=` use.
    pub name: String,
    /// What stands there.
    pub source: ContextSource,
}

impl BuildContext {
    /// Reads `NAME=DIRECTORY` or `NAME=docker-image://REFERENCE`. A relative directory counts from `base`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for a name that is none, a directory that is not there, and every other kind
    /// of source.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let Some((name, source)) = text.split_once('=') else {
            return Err(Error::usage(format!("`--build-context {}` is not `NAME=SOURCE`", sanitise::line(text))));
        };
        Self::new(&format!("`--build-context {name}`"), name, source, base)
    }

    /// A named context; `what` is how messages call it.
    ///
    /// # Errors
    /// As [`BuildContext::parse`].
    pub fn new(what: &str, name: &str, source: &str, base: &Path) -> Result<Self> {
        // BuildKit looks a context up by the short form of a name: `docker.io/library/alpine:latest` is `alpine`.
        let name = Reference::parse(name)
            .map_err(|error| Error::usage(format!("the name of {what} is not valid")).because(error))?
            .familiar();
        let source = if let Some(image) = source.strip_prefix(IMAGE) {
            ContextSource::Image(Reference::parse(image)?)
        } else if let Some((scheme, _)) = foreign_scheme(source) {
            return Err(Error::usage(format!(
                "{what}: a source of the kind `{}` is not supported",
                sanitise::line(scheme)
            ))
            .hint("name a directory or `docker-image://REFERENCE`"));
        } else {
            ContextSource::Directory(directory(what, &base.join(source))?)
        };
        Ok(Self { name, source })
    }
}

/// The kinds of source that BuildKit knows and we do not carry.
fn foreign_scheme(source: &str) -> Option<(&str, &str)> {
    source.split_once("://").or_else(|| {
        source.split_once(':').filter(|(scheme, _)| matches!(*scheme, "target" | "oci-layout" | "input" | "local"))
    })
}

fn directory(what: &str, path: &Path) -> Result<PathBuf> {
    let place = || format!("{what}: `{}`", path.display());
    let found = path
        .canonicalize()
        .map_err(|error| Error::usage(format!("{} cannot be used as a directory", place())).because(error))?;
    if found.is_dir() { Ok(found) } else { Err(Error::usage(format!("{} is not a directory", place()))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn pair(key: &str, value: &str) -> KeyValue {
        KeyValue { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_build_arg_has_a_value_or_takes_the_callers() {
        let environment = Environment::from_pairs([("SET", "from caller")]);
        let parse = |text| parse_build_arg(text, &environment);
        assert_eq!(parse("A=b=c,\"d\"\n").unwrap(), Some(pair("A", "b=c,\"d\"\n")));
        assert_eq!(parse("A=").unwrap(), Some(pair("A", "")));
        assert_eq!(parse("SET").unwrap(), Some(pair("SET", "from caller")));
        assert_eq!(parse("UNSET").unwrap(), None);
        for bad in ["", "=v", "A B=c", "A\n=c", "A\0=c", "A=b\0c"] {
            assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad:?}");
        }
    }

    #[test]
    fn a_label_may_be_empty() {
        assert_eq!(parse_label("org.example=1=2").unwrap(), pair("org.example", "1=2"));
        assert_eq!(parse_label("flag").unwrap(), pair("flag", ""));
        assert!(parse_label("=x").is_err());
    }

    #[test]
    fn build_contexts_are_directories_or_images() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("lib")).unwrap();
        std::fs::write(base.path().join("file"), "").unwrap();
        let parse = |text| BuildContext::parse(text, base.path());
        let directory = parse("shared=lib").unwrap();
        assert_eq!(directory.source, ContextSource::Directory(base.path().canonicalize().unwrap().join("lib")));
        let image = parse("debian:latest=docker-image://r.example.com/debian:12").unwrap();
        assert_eq!(image.name, "debian");
        assert_eq!(image.source, ContextSource::Image(Reference::parse("r.example.com/debian:12").unwrap()));
        for (text, name) in [
            ("docker.io/library/a:latest=lib", "a"),
            ("docker.io/a/b:1=lib", "a/b:1"),
            ("index.docker.io/a/b=lib", "a/b"),
            ("r.example/a:latest=lib", "r.example/a"),
            ("docker.io/library/a/b=lib", "library/a/b"),
        ] {
            assert_eq!(parse(text).unwrap().name, name, "{text}");
        }
        for (text, word) in [
            ("lib", "not `NAME=SOURCE`"),
            ("Bad Name=lib", "the name of `--build-context Bad Name`"),
            ("a=nowhere", "cannot be used"),
            ("a=file", "not a directory"),
            ("a=oci-layout://x", "`oci-layout` is not supported"),
            ("a=https://example.com/x.git", "`https` is not supported"),
            ("a=target:other", "`target` is not supported"),
            ("a=docker-image://Bad", "upper-case"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}
