//! Asks a credential helper (`docker-credential-NAME get`) for one login.

use std::time::Duration;

use serde_json::from_slice;

use crate::env_vars::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::process::Cmd;
use crate::registry::credentials::{HelperAnswer, Login};
use crate::sanitise;

/// A helper may ask its user to unlock a key ring.
const LIMIT: Duration = Duration::from_secs(60);
/// Helpers say "not found" in words, on standard output, with exit code 1 (`docker-credential-helpers`, `error.go`).
const NOT_FOUND: &[&str] = &["credentials not found in native keychain", "no credentials username"];

/// The login that the helper `name` holds for `server`; `None` when it has none. `place` is the configuration that
/// names the helper.
///
/// # Errors
/// [`ErrorKind::Credentials`] naming the helper: not installed, failed, too slow, or an answer that is none.
pub(super) async fn get(name: &str, server: &str, place: &str, environment: &Environment) -> Result<Option<Login>> {
    let program = format!("docker-credential-{name}");
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        let name = sanitise::line(name);
        return Err(Error::new(
            ErrorKind::Credentials,
            format!("`{name}` in {place} is not a credential helper's name"),
        ));
    }
    let Some(path) = environment.find_program(&program) else {
        return Err(Error::new(
            ErrorKind::Credentials,
            format!("the credential helper `{program}`, which {place} names for `{server}`, is not installed"),
        )
        .hint(format!("install `{program}`, or remove it from {place}")));
    };
    let cmd = Cmd::new(path, ErrorKind::Credentials).arg("get");
    let failed = |why: String| {
        Error::new(ErrorKind::Credentials, format!("the credential helper `{program}` failed for `{server}`: {why}"))
            .hint(format!("try it: `echo {server} | {program} get`"))
    };
    let output = tokio::time::timeout(LIMIT, cmd.output_with_stdin(server.as_bytes()))
        .await
        .map_err(|_| failed(format!("no answer within {} s", LIMIT.as_secs())))??;
    let success = output.success();
    let (code, stderr) = (output.code, output.stderr_text());
    let stdout = output.stdout;
    if success {
        // The parser's message is left out, because it may quote the secret.
        let answer: HelperAnswer =
            from_slice(&stdout).map_err(|_| failed("its answer is not what helpers answer".to_owned()))?;
        return Ok(answer.login());
    }
    let said = String::from_utf8_lossy(&stdout);
    let said = said.trim();
    if NOT_FOUND.contains(&said) {
        return Ok(None);
    }
    let why: String = if said.is_empty() { stderr } else { sanitise::lines(said) }.chars().take(300).collect();
    Err(failed(format!("exit code {code}: {why}")))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::env_vars;

    async fn ask(name: &str, server: &str) -> Result<Option<Login>> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/helpers");
        let path = format!("{directory}:/usr/bin:/bin");
        get(name, server, "`config.json`", &Environment::from_pairs([(env_vars::PATH, path)])).await
    }

    #[tokio::test]
    async fn the_server_is_asked_for_on_standard_input() {
        let Some(Login::Basic { username, password }) = ask("fake", "basic.example.com").await.unwrap() else {
            panic!("no login")
        };
        assert_eq!((username.as_str(), password.expose_secret()), ("basic.example.com", "s3"));
    }

    #[tokio::test]
    async fn a_token_user_is_an_identity_token() {
        let login = ask("fake", "token.example.com").await.unwrap();
        assert!(matches!(login, Some(Login::IdentityToken(token)) if token.expose_secret() == "T"));
    }

    #[tokio::test]
    async fn not_found_is_no_login() {
        assert!(ask("fake", "unknown.example.com").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_failing_helper_is_named_and_its_words_are_shown() {
        let error = ask("fake", "locked.example.com").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        let text = error.to_string();
        assert!(text.contains("docker-credential-fake") && text.contains("the key ring is locked"), "{text}");
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_not_quoted() {
        let error = ask("fake", "broken.example.com").await.unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_or_no_name_is_an_error() {
        for name in ["absent", "../fake", "a b"] {
            let error = ask(name, "r.example.com").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Credentials, "{name}");
        }
    }
}
