//! [`SecretSpec`] and [`SecretBinding`]: `--secret`, and its value read before anything is paid for.
//!
//! A value is only ever held as [`SecretBytes`]; it leaves this process on the SSH channel's standard input.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::nearest::nearest;
use crate::secret_bytes::SecretBytes;
use crate::solve::csv;

/// BuildKit's own limit for one secret (`session/secrets`): 500 KiB.
pub const MAX_SECRET_BYTES: usize = 500 * 1024;

/// The most characters of an id: with the prefix that its file on the runner gets, a name has to fit in a tar header.
pub const MAX_ID_CHARACTERS: usize = 93;

/// The attributes of `--secret`.
const ATTRIBUTES: [&str; 5] = ["id", "src", "source", "env", "type"];

/// A secret's id: `[A-Za-z0-9._-]+`, at most [`MAX_ID_CHARACTERS`], not `.` or `..` (it becomes a file name on the runner).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(String);

impl SecretId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with the rule.
    pub fn parse(text: &str) -> Result<Self> {
        let valid = !text.is_empty()
            && text.len() <= MAX_ID_CHARACTERS
            && text != "."
            && text != ".."
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::usage(format!("invalid secret id `{}`", crate::sanitise::line(text)))
                .hint(format!("an id is made of `A-Za-z0-9._-`, at most {MAX_ID_CHARACTERS} characters")))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The environment variable that binds it: `LIAN_SECRET_<ID>`, in upper case, with `_` for `-` and `.`.
    pub fn variable(&self) -> String {
        let tail: String = self
            .0
            .chars()
            .map(|character| if matches!(character, '-' | '.') { '_' } else { character.to_ascii_uppercase() })
            .collect();
        format!("{}{tail}", env_vars::SECRET_PREFIX)
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, or a pipe such as the shell's `<(…)`; read once.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// What stands for the id: `LIAN_SECRET_<ID>`; then, as in buildctl, the variable named like the id.
    Bound,
    /// `LIAN_SECRET_<ID>` alone. For ids that come with the source: they must not pick any variable that the caller happens to
    /// have.
    Named,
}

/// One `--secret`, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// What steps know it by.
    pub id: SecretId,
    /// Where its value is read.
    pub source: SecretSource,
}

/// A secret with its value.
#[derive(Debug)]
pub struct SecretBinding {
    /// What steps know it by.
    pub id: SecretId,
    /// Where the value came from, for the plan and for errors.
    pub source: SecretSource,
    /// The value; never shown, stored or sent anywhere but to the runner.
    pub value: SecretBytes,
}

impl SecretSpec {
    /// Reads `id=X[,src=FILE|,env=VAR][,type=file|env]`, as buildctl and buildx write it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
        // The text itself is not repeated in an error: somebody may have put a value into it.
        let pairs = csv::decode_pairs(text).map_err(|_| bad_secret("a `--secret` is not `key=value,…`"))?;
        for (key, value) in pairs {
            let slot = match key.as_str() {
                "id" => &mut id,
                "src" | "source" => &mut file,
                "env" => &mut variable,
                "type" => &mut kind,
                _ => return Err(unknown_attribute(&key)),
            };
            if value.is_empty() || slot.replace(value).is_some() {
                return Err(bad_secret(&format!("`{key}` in a `--secret` is empty or stands twice")));
            }
        }
        let id = SecretId::parse(&id.ok_or_else(|| bad_secret("a `--secret` has no `id=`"))?)?;
        match kind.as_deref() {
            // As in buildctl: `type=env` makes `src` the name of a variable.
            Some("env") if variable.is_none() => variable = file.take(),
            None | Some("file" | "env") => {}
            Some(_) => return Err(bad_secret(&format!("the `type` of secret `{id}` is neither `file` nor `env`"))),
        }
        let source = match (file, variable) {
            (Some(_), Some(_)) => return Err(bad_secret(&format!("secret `{id}` names both a file and a variable"))),
            (Some(file), None) => SecretSource::File(PathBuf::from(file)),
            (None, Some(variable)) => SecretSource::Env(variable),
            (None, None) => SecretSource::Bound,
        };
        Ok(Self { id, source })
    }

    /// The variables that may hold the value, the first that is set counts; none for a file.
    pub(super) fn variables(&self) -> Vec<String> {
        match &self.source {
            SecretSource::File(_) => Vec::new(),
            SecretSource::Env(name) => vec![name.clone()],
            SecretSource::Bound => vec![self.id.variable(), self.id.to_string()],
            SecretSource::Named => vec![self.id.variable()],
        }
    }

    /// Where the value comes from, for a reader; never the value.
    pub fn source_text(&self) -> String {
        match &self.source {
            SecretSource::File(path) => format!("file {}", path.display()),
            _ => format!("variable {}", self.variables().join(" or ")),
        }
    }

    /// Reads every `--secret`. A relative path counts from `base`.
    ///
    /// # Errors
    /// As [`SecretSpec::parse`], and for an id that is given twice.
    pub fn parse_all<S: AsRef<str>>(texts: &[S], base: &Path) -> Result<Vec<Self>> {
        let mut specs = texts.iter().map(|text| Self::parse(text.as_ref())).collect::<Result<Vec<_>>>()?;
        for spec in &mut specs {
            if let SecretSource::File(path) = &mut spec.source {
                *path = base.join(&*path);
            }
        }
        let mut seen = BTreeSet::new();
        match specs.iter().find(|spec| !seen.insert(spec.id.clone())) {
            Some(twice) => Err(Error::usage(format!("secret `{}` is given twice", twice.id))),
            None => Ok(specs),
        }
    }

    /// Reads the value. Blocks while a pipe has nothing to say.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when the file or variable is not there, cannot be read or is too large.
    pub fn load(self, environment: &Environment) -> Result<SecretBinding> {
        let value = match &self.source {
            SecretSource::File(path) => self.read_file(path)?,
            SecretSource::Env(_) | SecretSource::Bound | SecretSource::Named => self.read_variable(environment)?,
        };
        if value.expose_secret().len() > MAX_SECRET_BYTES {
            return Err(self.missing(&format!("is larger than BuildKit's limit of {} KiB", MAX_SECRET_BYTES / 1024)));
        }
        Ok(SecretBinding { id: self.id, source: self.source, value })
    }

    fn read_file(&self, path: &Path) -> Result<SecretBytes> {
        let read = || -> std::io::Result<Zeroizing<Vec<u8>>> {
            // One allocation, so that no unwiped copy stays behind when the buffer grows.
            let mut value = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 1));
            std::fs::File::open(path)?.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut value)?;
            Ok(value)
        };
        let value = read()
            .map_err(|error| self.missing(&format!("cannot be read from `{}`", path.display())).because(error))?;
        Ok(SecretBytes::from(value.to_vec()))
    }

    fn read_variable(&self, environment: &Environment) -> Result<SecretBytes> {
        let value = self.variables().iter().find_map(|name| environment.os(name));
        value.map(|value| SecretBytes::from(value.as_bytes().to_vec())).ok_or_else(|| self.not_set())
    }

    /// None of the variables is set.
    pub(super) fn not_set(&self) -> Error {
        let names: Vec<String> = self.variables().iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(" or ");
        self.missing(&format!("has no value: {names} is not set"))
            .hint(format!("set {names}, or name a file: `--secret id={},src=FILE`", self.id))
    }

    pub(super) fn missing(&self, why: &str) -> Error {
        Error::new(ErrorKind::Credentials, format!("secret `{}` {why}", self.id))
    }
}

fn bad_secret(why: &str) -> Error {
    Error::usage(why).hint("write `--secret id=X,src=FILE` or `--secret id=X,env=VARIABLE`")
}

fn unknown_attribute(key: &str) -> Error {
    let error = bad_secret(&format!("`{key}` in a `--secret` is not an attribute"));
    match nearest(key, ATTRIBUTES) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// Reads the values of `specs`.
///
/// # Errors
/// As [`SecretSpec::load`].
pub fn load_all(specs: &[SecretSpec], environment: &Environment) -> Result<Vec<SecretBinding>> {
    specs.iter().map(|spec| spec.clone().load(environment)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Vec<SecretBinding>> {
        load_all(
            &SecretSpec::parse_all(&[text], Path::new("/base"))?,
            &Environment::from_pairs(variables.iter().copied()),
        )
    }

    fn value(text: &str, variables: &[(&str, &str)]) -> String {
        let bindings = load(text, variables).unwrap();
        String::from_utf8(bindings[0].value.expose_secret().to_vec()).unwrap()
    }

    #[test]
    fn values_come_from_files_and_variables() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a,b");
        std::fs::write(&path, "from file\n").unwrap();
        assert_eq!(value(&format!("id=x,\"src={}\"", path.display()), &[]), "from file\n");
        assert_eq!(value("id=x,env=V", &[("V", "v")]), "v");
        assert_eq!(value("type=env,id=x,src=V", &[("V", "v")]), "v");
        assert_eq!(value("id=npm-token", &[("LIAN_SECRET_NPM_TOKEN", "bound"), ("npm-token", "plain")]), "bound");
        assert_eq!(value("id=TOKEN", &[("TOKEN", "plain")]), "plain");
    }

    #[test]
    fn what_is_missing_or_too_large_is_a_credentials_error_before_the_build() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        let at_limit = directory.path().join("limit");
        std::fs::write(&large, vec![b'x'; MAX_SECRET_BYTES + 1]).unwrap();
        std::fs::write(&at_limit, vec![b'x'; MAX_SECRET_BYTES]).unwrap();
        assert!(load(&format!("id=x,src={}", at_limit.display()), &[]).is_ok());
        for (text, word) in [
            ("id=x,src=/no/such/file".to_owned(), "cannot be read"),
            (format!("id=x,src={}", directory.path().display()), "cannot be read"),
            (format!("id=x,src={}", large.display()), "larger than"),
            ("id=x,env=NOT_SET".to_owned(), "`NOT_SET` is not set"),
            ("id=a.b".to_owned(), "`LIAN_SECRET_A_B` or `a.b` is not set"),
        ] {
            let error = load(&text, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Credentials, "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn bad_flags_are_usage_errors_that_repeat_no_value() {
        for text in [
            "",
            "hunter2",
            "id=x,value=hunter2",
            "src=hunter2",
            "id=../hunter2",
            "id=",
            "id=a b",
            "id=x,src=a,env=b",
            "id=x,id=y",
            "id=x,type=hunter2",
            "id=x,\"src=hunter2",
        ] {
            let error = load(text, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}: {error}");
            assert!(text.starts_with("id=../") || !error.to_string().contains("hunter2"), "{error}");
        }
        let twice = SecretSpec::parse_all(&["id=x,env=V", "id=x,env=W"], Path::new("/")).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::Usage);
    }

    #[test]
    fn an_id_that_the_runner_could_not_keep_is_refused_at_once() {
        assert!(SecretId::parse(&"x".repeat(MAX_ID_CHARACTERS)).is_ok());
        let error = SecretSpec::parse(&format!("id={}", "x".repeat(MAX_ID_CHARACTERS + 1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn a_relative_file_counts_from_where_the_command_runs() {
        let specs = SecretSpec::parse_all(&["id=x,src=a/b", "id=y,src=/c"], Path::new("/base")).unwrap();
        let files: Vec<String> = specs.iter().map(SecretSpec::source_text).collect();
        assert_eq!(files, ["file /base/a/b", "file /c"]);
    }

    #[test]
    fn an_unknown_attribute_names_the_nearest() {
        let error = SecretSpec::parse("id=x,sorce=file").unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("`source`")), "{error:?}");
    }

    #[test]
    fn a_binding_does_not_show_its_value() {
        let bindings = load("id=x,env=V", &[("V", "hunter2")]).unwrap();
        assert!(!format!("{bindings:?}").contains("hunter2"));
        assert!(!format!("{bindings:?}").contains("104, 117"), "nor as numbers");
    }
}
