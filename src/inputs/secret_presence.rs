//! Whether a secret has a value, without reading it: a plan must not take from a pipe what the build then misses.

use std::path::Path;

use super::secret::{MAX_SECRET_BYTES, SecretSource, SecretSpec};
use crate::env_vars::Environment;
use crate::error::Result;

/// Checks that `secret` has a value that could be read.
///
/// # Errors
/// [`Credentials`](crate::error::ErrorKind::Credentials) when its file or variable is not there, cannot be read or is too large.
pub fn check(secret: &SecretSpec, environment: &Environment) -> Result<()> {
    let bytes = match &secret.source {
        SecretSource::File(path) => size_of_file(path)
            .map_err(|error| secret.missing(&format!("cannot be read from `{}`", path.display())).because(error))?,
        SecretSource::Env(_) | SecretSource::Bound | SecretSource::Named => {
            let value = secret.variables().iter().find_map(|name| environment.os(name));
            value.map(|value| value.len() as u64).ok_or_else(|| secret.not_set())?
        }
    };
    if bytes > MAX_SECRET_BYTES as u64 {
        return Err(secret.missing(&format!("is larger than BuildKit's limit of {} KiB", MAX_SECRET_BYTES / 1024)));
    }
    Ok(())
}

/// The size of a file, 0 for a pipe; asks for the right to read without opening it.
fn size_of_file(path: &Path) -> std::io::Result<u64> {
    let metadata = path.metadata()?;
    rustix::fs::access(path, rustix::fs::Access::READ_OK)?;
    if metadata.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    Ok(if metadata.is_file() { metadata.len() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::inputs::secret::SecretId;

    fn presence(text: &str) -> Result<()> {
        let environment = Environment::from_pairs([("SET", "value"), ("EMPTY", ""), ("LIAN_SECRET_TOKEN", "value")]);
        check(&SecretSpec::parse(text).unwrap(), &environment)
    }

    #[test]
    fn an_id_that_came_with_the_source_picks_no_other_variable() {
        let environment =
            Environment::from_pairs([("AWS_SECRET_ACCESS_KEY", "theirs"), ("LIAN_SECRET_TOKEN", "meant")]);
        for (id, is_bound) in [("token", true), ("AWS_SECRET_ACCESS_KEY", false)] {
            let secret = SecretSpec { id: SecretId::parse(id).unwrap(), source: SecretSource::Named };
            assert_eq!(check(&secret, &environment).is_ok(), is_bound, "{id}");
            assert_eq!(secret.load(&environment).is_ok(), is_bound, "{id}");
        }
    }

    #[test]
    fn a_value_is_found_without_being_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "value").unwrap();
        std::fs::write(path("large"), vec![b'x'; MAX_SECRET_BYTES + 1]).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), mode).unwrap();
        let file = |name: &str| format!("id=x,src={}", path(name).display());
        // Opening the pipe would block for ever: nobody writes.
        for text in [file("file").as_str(), &file("pipe"), "id=x,env=SET", "id=token", "id=SET"] {
            presence(text).unwrap();
        }
        for (text, word) in [
            (file("nowhere").as_str(), "nowhere"),
            (&file("."), "cannot be read"),
            (&file("large"), "larger than"),
            ("id=x,env=EMPTY", "`EMPTY` is not set"),
            ("id=a.b", "`LIAN_SECRET_A_B` or `a.b` is not set"),
        ] {
            let error = presence(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}
