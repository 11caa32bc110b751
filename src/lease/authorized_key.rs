//! [`AuthorizedKey`]: a public key that opens a runner, from somebody who is not trusted with more than that.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest line that is looked at: an RSA key of 16,384 bits with a comment.
const LONGEST: usize = 4096;

/// The fewest bytes of an RSA modulus: 2048 bits, and what OpenSSH itself still takes.
const LEAST_MODULUS: usize = 256;

/// A public key that opens a runner, as `authorized_keys` writes it, but without options and without a comment: nothing of
/// it can be anything but a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthorizedKey(String);

impl AuthorizedKey {
    /// The line: the key's type and the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AuthorizedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AuthorizedKey {
    type Err = Error;

    /// Takes one line, `ssh-ed25519 AAAA… comment`; the comment is left out.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            // The text itself is not repeated: somebody may have sent the private half.
            Error::usage(format!("this is no SSH public key: {why}"))
                .hint("it is one line as in `~/.ssh/id_ed25519.pub`: `ssh-ed25519 AAAA…`, of Ed25519, ECDSA or RSA")
        };
        if text.len() > LONGEST {
            return Err(refused("it is too long"));
        }
        let line = text.strip_suffix('\n').unwrap_or(text);
        if line.chars().any(char::is_control) {
            return Err(refused("it is more than one line, or has control characters in it"));
        }
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !KINDS.contains(&kind) {
            return Err(refused("it does not begin with a type of key that is taken, and no options are"));
        }
        let blob = STANDARD.decode(key).map_err(|_| refused("what follows its type is not Base64"))?;
        if !is_key(kind, &blob) {
            return Err(refused("what follows its type is not such a key"));
        }
        Ok(Self(format!("{kind} {key}")))
    }
}

impl TryFrom<String> for AuthorizedKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<AuthorizedKey> for String {
    fn from(key: AuthorizedKey) -> Self {
        key.0
    }
}

/// The types that are taken.
const KINDS: &[&str] = &["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// Whether the bytes are a key of this type, by their form (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4).
fn is_key(kind: &str, blob: &[u8]) -> bool {
    let mut rest = blob;
    let mut field = || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(value)
    };
    if field() != Some(kind.as_bytes()) {
        return false;
    }
    let fits = match kind {
        "ssh-ed25519" => field().is_some_and(|point| point.len() == 32),
        "ssh-rsa" => {
            let exponent = field().is_some_and(|exponent| (1..=8).contains(&exponent.len()));
            let modulus =
                field().is_some_and(|modulus| modulus.strip_prefix(&[0]).unwrap_or(modulus).len() >= LEAST_MODULUS);
            exponent && modulus
        }
        _ => {
            let curve = kind.strip_prefix("ecdsa-sha2-").unwrap_or_default();
            let length = match curve {
                "nistp256" => 65,
                "nistp384" => 97,
                _ => 133,
            };
            field() == Some(curve.as_bytes())
                && field().is_some_and(|point| point.len() == length && point.first() == Some(&4))
        }
    };
    fits && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(fields: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            bytes.extend(*field);
        }
        STANDARD.encode(bytes)
    }

    #[test]
    fn keys_of_each_type_are_taken_without_their_comments() {
        let ed25519 = blob(&[b"ssh-ed25519", &[7; 32]]);
        let point = [&[4][..], &[7; 64]].concat();
        let ecdsa = blob(&[b"ecdsa-sha2-nistp256", b"nistp256", &point]);
        let rsa = blob(&[b"ssh-rsa", &[1, 0, 1], &[&[0][..], &[0xff; 256]].concat()]);
        for (kind, key) in [("ssh-ed25519", &ed25519), ("ecdsa-sha2-nistp256", &ecdsa), ("ssh-rsa", &rsa)] {
            for text in [format!("{kind} {key}"), format!("{kind} {key} ann@laptop two\n"), format!("{kind}  {key} ")] {
                assert_eq!(text.parse::<AuthorizedKey>().unwrap().as_str(), format!("{kind} {key}"));
            }
        }
    }

    #[test]
    fn nothing_else_gets_into_the_file() {
        let key = blob(&[b"ssh-ed25519", &[7; 32]]);
        let small = blob(&[b"ssh-rsa", &[1, 0, 1], &[0xff; 128]]);
        for bad in [
            String::new(),
            "ssh-ed25519".to_owned(),
            format!("command=\"x\" ssh-ed25519 {key}"),
            format!("ssh-ed25519 {key}\nssh-ed25519 {key}"),
            format!("ssh-ed25519 {key}\r\n"),
            format!("\nssh-ed25519 {key}"),
            format!("ssh-ed25519 {key} com\u{7}ment"),
            format!("ssh-rsa {key}"),
            format!("ssh-rsa {small}"),
            format!("ssh-ed25519 {}", blob(&[b"ssh-ed25519", &[7; 31]])),
            format!("ssh-ed25519 {}", blob(&[b"ssh-ed25519", &[7; 32], b"more"])),
            "ssh-ed25519 AAAA".to_owned(),
            "ssh-dss AAAA".to_owned(),
            format!("ssh-ed25519 {key} {}", "x".repeat(LONGEST)),
            "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(),
        ] {
            let error = bad.parse::<AuthorizedKey>().unwrap_err();
            assert!(!error.message().contains(&key), "{error}");
        }
    }
}
