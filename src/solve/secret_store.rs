//! Puts secrets and registry logins into the runner's tmpfs, through SSH standard input.
//!
//! They are never an argument, never in an environment and never on a disk: the fixed script on the runner refuses to
//! write when the directory is not a private tmpfs. It knows nothing of what the secrets are for.

use secrecy::{ExposeSecret as _, SecretSlice};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::inputs::secret::MAX_SECRET_BYTES;
use crate::lease::Endpoint;
use crate::remote::Session;

/// One file for the runner's tmpfs: a name below the secrets directory, and its bytes.
pub type SecretFile = (String, SecretSlice<u8>);

/// The longest part of a name, in bytes: what a tar header holds.
const MAX_PART: usize = 100;

/// Checks the directory `$1`, and becomes the rest in it.
const SCRIPT: &str = r#"set -eu
umask 077
cd -- "$1" || { echo 'the secrets directory does not exist'; exit 3; }
test "$(stat -f -c %T .)" = tmpfs || { echo 'the secrets directory is not a tmpfs'; exit 3; }
test "$(stat -c '%a %u' .)" = "700 $(id -u)" || { echo 'the secrets directory is not private'; exit 3; }
shift
exec "$@""#;

/// Unpacks the archive on standard input.
const UNPACK: &[&str] = &["tar", "-x", "-f", "-", "--no-same-owner"];

/// Where [`put`] writes the file of that name.
///
/// # Errors
/// [`ErrorKind::Usage`] when the name is not one or several plain file names joined with `/`.
pub fn path(endpoint: &Endpoint, name: &str) -> Result<String> {
    check_name(name)?;
    Ok(format!("{}/{name}", endpoint.paths.secrets))
}

/// Writes the files below the endpoint's secrets directory, mode 0600 in directories of mode 0700. An existing file
/// of the same name is replaced.
///
/// # Errors
/// [`ErrorKind::Credentials`] when the runner's directory is not a private tmpfs or a secret is too large;
/// [`ErrorKind::Usage`] for a name that is not plain; [`ErrorKind::Runner`] when the connection is lost.
pub async fn put(session: &Session, endpoint: &Endpoint, files: &[SecretFile]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let archive = pack(files)?;
    inside(session, endpoint, "secrets", UNPACK, Some(archive.as_slice())).await
}

/// Runs a command in the endpoint's secrets directory, once that is seen to be a private tmpfs. `what` is what goes there.
///
/// # Errors
/// [`ErrorKind::Credentials`] when it is not, or the command fails; [`ErrorKind::Runner`] when the connection is lost.
pub(super) async fn inside(
    session: &Session,
    endpoint: &Endpoint,
    what: &str,
    command: &[&str],
    stdin: Option<&[u8]>,
) -> Result<()> {
    let directory = endpoint.paths.secrets.as_str();
    let argv: Vec<&str> =
        ["sh", "-c", SCRIPT, "in-secrets", directory].into_iter().chain(command.iter().copied()).collect();
    let output = session.run(&argv, stdin).await?;
    if output.success() {
        return Ok(());
    }
    let said = format!("{} {}", crate::sanitise::line(&output.stdout_text()), output.stderr_text());
    Err(Error::new(ErrorKind::Credentials, format!("the runner refused the {what} in `{directory}`: {}", said.trim())))
}

/// Removes every file below the endpoint's secrets directory.
///
/// # Errors
/// [`ErrorKind::Runner`] when the connection is lost or something stays.
pub async fn remove(session: &Session, endpoint: &Endpoint) -> Result<()> {
    let argv = ["find", &endpoint.paths.secrets, "-mindepth", "1", "-delete"];
    session.run(&argv, None).await?.ok("removing the secrets from the runner").map(drop)
}

/// A tar archive, wiped when dropped. Its size is known first, so that no copy of the secrets is left behind by a
/// buffer that grew.
fn pack(files: &[SecretFile]) -> Result<Zeroizing<Vec<u8>>> {
    let mut directories = std::collections::BTreeSet::new();
    let mut size = 1024;
    for (name, bytes) in files {
        check_name(name)?;
        let length = bytes.expose_secret().len();
        if length > MAX_SECRET_BYTES {
            return Err(Error::new(
                ErrorKind::Credentials,
                format!("secret `{name}` has {length} bytes, BuildKit takes at most {MAX_SECRET_BYTES}"),
            ));
        }
        // Each ancestor but the empty one, the outermost first once sorted.
        directories.extend(name.match_indices('/').filter_map(|(at, _)| name.get(..at)));
        size += 512 + length.next_multiple_of(512);
    }
    size += directories.len() * 512;
    let broken = |error: std::io::Error| Error::new(ErrorKind::Credentials, "cannot pack the secrets").because(error);
    let mut archive = tar::Builder::new(Vec::with_capacity(size));
    for directory in directories {
        let mut header = header(tar::EntryType::Directory, 0o700, 0);
        archive.append_data(&mut header, format!("{directory}/"), std::io::empty()).map_err(broken)?;
    }
    for (name, bytes) in files {
        let bytes = bytes.expose_secret();
        let mut header = header(tar::EntryType::Regular, 0o600, bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).map_err(broken)?;
    }
    archive.into_inner().map(Zeroizing::new).map_err(broken)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

fn check_name(name: &str) -> Result<()> {
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.len() <= MAX_PART
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    if name.len() <= 200 && name.split('/').all(plain) {
        return Ok(());
    }
    Err(Error::usage(format!("`{name}` cannot name a secret"))
        .hint("a secret's id is made of letters, digits, `.`, `-` and `_`"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn secret(text: &str) -> SecretSlice<u8> {
        text.as_bytes().to_vec().into()
    }

    #[test]
    fn names_stay_below_the_directory() {
        for good in ["token", "docker/config.json", "a.b-c_d"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "a b", "a\nb", "."] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_longest_id_has_a_name_here() {
        let id = "x".repeat(crate::inputs::secret::MAX_ID_CHARACTERS);
        assert_eq!(crate::solve::buildctl::secret_file(&id).len(), MAX_PART);
        assert!(check_name(&crate::solve::buildctl::secret_file(&id)).is_ok());
    }

    #[test]
    fn the_archive_holds_the_files_and_its_buffer_never_grew() {
        let files = [("docker/config.json".to_owned(), secret("{}")), ("token".to_owned(), secret("s3cret"))];
        let archive = pack(&files).unwrap();
        assert_eq!(archive.len(), archive.capacity());
        let mut seen = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            seen.push((entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), text));
        }
        assert_eq!(
            seen,
            [
                ("docker/".to_owned(), 0o700, String::new()),
                ("docker/config.json".to_owned(), 0o600, "{}".to_owned()),
                ("token".to_owned(), 0o600, "s3cret".to_owned()),
            ]
        );
    }

    #[test]
    fn a_secret_over_the_limit_is_refused() {
        let files = [("big".to_owned(), vec![0_u8; MAX_SECRET_BYTES + 1].into())];
        assert_eq!(pack(&files).unwrap_err().kind(), ErrorKind::Credentials);
    }
}
