//! [`Token`]: who may ask the pool, and for what; and the text that proves it, of which only a hash is kept.
//!
//! A token reads `lbp_<id>_<secret>`: 12 hexadecimal digits that name it, and 256 random bits. What is kept is a PBKDF2 hash
//! of the secret with a salt of its own: whoever reads the file cannot use what stands there.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::pbkdf2;
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::scope::TokenScope;
use crate::error::{Error, ErrorKind, Result};

/// What every token begins with, so that a scanner of sources can tell one.
const PREFIX: &str = "lbp_";
/// Bytes of the secret.
const SECRET_LEN: usize = 32;
/// Bytes of the salt.
const SALT_LEN: usize = 16;
/// Rounds of the hash. The secret is random, so nobody gets it by guessing; the rounds are for the case that a generator of
/// random numbers was weak.
const ROUNDS: NonZeroU32 = NonZeroU32::new(20_000).expect("it is not zero");
/// The most rounds that are taken from a file: more would only keep the server busy.
const MOST_ROUNDS: u32 = 10_000_000;
/// How the hash's text begins.
const HASH_NAME: &str = "pbkdf2-sha256";

/// Who may ask the pool, and for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// 12 hexadecimal digits: what stands in logs and in the token itself.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// `pbkdf2-sha256$ROUNDS$SALT$HASH`, both in Base64.
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `null` for never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What it may ask for.
    pub scope: TokenScope,
}

/// What somebody sent as a token, taken apart. The secret is not shown by `Debug`.
#[derive(Debug)]
pub struct Presented {
    /// Which token it says it is.
    pub id: String,
    secret: SecretString,
}

impl Token {
    /// A new token, and the text that proves it, which is nowhere else.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when the system gives no random numbers.
    pub fn new(
        name: String,
        scope: TokenScope,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(Self, SecretString)> {
        let (id, secret, salt) = (random::<6>()?, random::<SECRET_LEN>()?, random::<SALT_LEN>()?);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let mut hash = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, secret.as_bytes(), &mut hash);
        let hash = format!("{HASH_NAME}${ROUNDS}${}${}", URL_SAFE_NO_PAD.encode(salt), URL_SAFE_NO_PAD.encode(hash));
        let text = format!("{PREFIX}{id}_{secret}");
        Ok((Self { id, name, hash, created_at, expires_at, scope }, text.into()))
    }

    /// Whether it is this token that was sent. Takes some milliseconds of computing, the same for every wrong secret.
    pub fn is(&self, presented: &Presented) -> bool {
        let Some((rounds, salt, hash)) = self.parts() else { return false };
        let secret = presented.secret.expose_secret().as_bytes();
        self.id == presented.id && pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, secret, &hash).is_ok()
    }

    /// Whether the hash can be used at all.
    pub fn has_usable_hash(&self) -> bool {
        self.parts().is_some()
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    fn parts(&self) -> Option<(NonZeroU32, Vec<u8>, Vec<u8>)> {
        let mut parts = self.hash.split('$');
        if parts.next() != Some(HASH_NAME) {
            return None;
        }
        let rounds = parts.next()?.parse().ok().filter(|rounds| *rounds <= MOST_ROUNDS).and_then(NonZeroU32::new)?;
        let salt = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let hash = URL_SAFE_NO_PAD.decode(parts.next()?).ok().filter(|hash| hash.len() == 32)?;
        parts.next().is_none().then_some((rounds, salt, hash))
    }
}

impl Presented {
    /// Takes the text of a token apart; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_hex = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let fits = secret.len() == 43 && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (is_hex && fits).then(|| Self { id: id.to_owned(), secret: secret.into() })
    }

    /// A digest by which the same token is known again.
    pub(super) fn digest(&self) -> [u8; 32] {
        use sha2::Digest as _;
        let text = zeroize::Zeroizing::new(format!("{}_{}", self.id, self.secret.expose_secret()));
        sha2::Sha256::digest(text.as_bytes()).into()
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::State, "the system gives no random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> (Token, SecretString) {
        Token::new("ci".to_owned(), TokenScope::default(), Timestamp::UNIX_EPOCH, None).unwrap()
    }

    #[test]
    fn a_token_proves_itself_and_no_other_one() {
        let (token, text) = token();
        let text = text.expose_secret();
        assert!(token.is(&Presented::parse(text).unwrap()));
        assert!(!token.hash.contains(&text[17..]) && !format!("{token:?}").contains(&text[17..]));
        let mut wrong = text.to_owned();
        let last = wrong.pop().unwrap();
        wrong.push(if last == 'A' { 'B' } else { 'A' });
        assert!(!token.is(&Presented::parse(&wrong).unwrap()));
        let (other, other_text) = super::tests::token();
        assert!(!token.is(&Presented::parse(other_text.expose_secret()).unwrap()));
        assert_ne!(other.id, token.id);
        assert!(!format!("{:?}", Presented::parse(text).unwrap()).contains(&text[17..]));
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        let (_, text) = token();
        let text = text.expose_secret();
        for bad in ["", "lbp_", "lbp_0123456789ab", &text[1..], &text[..text.len() - 1], &format!("{text}A")] {
            assert!(Presented::parse(bad).is_none(), "{bad}");
        }
        assert!(Presented::parse(&text.replace("lbp_", "lbp_G")).is_none());
    }

    #[test]
    fn a_hash_that_is_none_lets_nobody_in() {
        let (token, text) = token();
        let presented = Presented::parse(text.expose_secret()).unwrap();
        let whole = token.hash.clone();
        for bad in [
            "",
            "plain$1$AA$AA",
            &whole.replace("20000", "0"),
            &whole.replace("20000", "4294967295"),
            &format!("{whole}$x"),
        ] {
            let broken = Token { hash: bad.to_owned(), ..token.clone() };
            assert!(!broken.has_usable_hash() && !broken.is(&presented), "{bad}");
        }
    }

    #[test]
    fn a_token_ends_when_it_says() {
        let (token, _) = token();
        let ending = Token { expires_at: Some(Timestamp::from_second(10).unwrap()), ..token.clone() };
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!token.is_over(at(1 << 37)) && !ending.is_over(at(9)) && ending.is_over(at(10)));
    }
}
