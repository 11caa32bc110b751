//! [`decide`]: which frontend reads the Dockerfile, and whether it may.
//!
//! A frontend is a program that sees the whole build, its secrets included. `docker/dockerfile` is what BuildKit carries
//! itself: fetching it again would take time and trust for nothing, so the built-in one is forced.

use crate::error::{Error, Result};
use crate::inputs::dockerfile;

/// Whether the built-in frontend must be forced. SSH agents count as secrets. `given` is the value of the build argument that names a frontend, which
/// goes before the `# syntax=` line of the Dockerfile.
///
/// # Errors
/// `Usage` for a frontend that would see secrets and is not pinned by digest, and for a build argument without a name.
pub fn decide(given: Option<&str>, dockerfile: &[u8], has_secrets: bool) -> Result<bool> {
    let place = match given {
        Some(_) => format!("`--build-arg {}`", dockerfile::SYNTAX_ARG),
        None => "the Dockerfile's `# syntax=` line".to_owned(),
    };
    let image = match given {
        Some(value) => {
            let image = value.split_whitespace().next();
            Some(image.ok_or_else(|| Error::usage(format!("{place} names no frontend")))?.to_owned())
        }
        None => dockerfile::syntax(dockerfile),
    };
    let Some(image) = image else { return Ok(false) };
    if dockerfile::is_builtin_frontend(&image) {
        return Ok(true);
    }
    if has_secrets && !is_pinned(&image) {
        return Err(Error::usage(format!(
            "the frontend `{}` of {place} would see the build's secrets and SSH agents, but is not pinned",
            crate::sanitise::line(&image)
        ))
        .hint("name it by digest (`image@sha256:…`), or build without `--secret` and `--ssh`"));
    }
    Ok(false)
}

fn is_pinned(image: &str) -> bool {
    crate::registry::Reference::parse(image).is_ok_and(|reference| reference.digest().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const PINNED: &str = "evil.example/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn of_line(image: &str, has_secrets: bool) -> Result<bool> {
        decide(None, format!("# syntax={image}\nFROM x\n").as_bytes(), has_secrets)
    }

    fn of_arg(image: &str, has_secrets: bool) -> Result<bool> {
        // The line is innocent: the argument goes before it.
        decide(Some(image), b"# syntax=docker/dockerfile:1\nFROM x\n", has_secrets)
    }

    #[test]
    fn the_built_in_frontend_is_forced() {
        for decide in [of_line, of_arg] {
            for secrets in [false, true] {
                assert!(decide("docker/dockerfile:1.7", secrets).unwrap());
                assert!(decide(dockerfile::BUILTIN_FRONTEND, secrets).unwrap());
            }
        }
        assert!(!decide(None, b"FROM x\n", true).unwrap(), "nothing to force without a wish");
    }

    #[test]
    fn a_foreign_frontend_sees_secrets_only_when_it_is_pinned() {
        for decide in [of_line, of_arg] {
            assert!(!decide("evil.example/x:1", false).unwrap());
            assert!(!decide(PINNED, true).unwrap());
            for unpinned in ["evil.example/x:1", "docker/dockerfile:1-labs", "evil.example/x@sha256:short"] {
                let error = decide(unpinned, true).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Usage);
                assert!(error.message().contains("not pinned"), "{error}");
            }
        }
    }

    #[test]
    fn the_place_is_named() {
        assert!(of_line("evil/x", true).unwrap_err().message().contains("# syntax="));
        assert!(of_arg("evil/x", true).unwrap_err().message().contains("--build-arg BUILDKIT_SYNTAX"));
        assert_eq!(of_arg(" ", false).unwrap_err().kind(), ErrorKind::Usage);
    }
}
