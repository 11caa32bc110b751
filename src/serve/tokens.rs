//! [`Tokens`]: the tokens a pool knows, in a file that is read again when it changes; and [`TokensFile`], that file.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::scope::TokenScope;
use super::token::{Presented, Token};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// The version of the file's format.
const VERSION: u32 = 1;

/// The largest file that is read.
const LARGEST: u64 = 4 << 20;

/// How many hashes are computed side by side: a flood of wrong tokens must not keep all the machine busy.
const HASHES_AT_ONCE: usize = 2;

/// How many tokens are known again without computing.
const REMEMBERED: usize = 10_000;

/// The file with the tokens: JSON, written by `lian-build serve token`, private to its owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensFile {
    /// 1.
    pub version: u32,
    /// The tokens.
    pub tokens: Vec<Token>,
}

impl Default for TokensFile {
    fn default() -> Self {
        Self { version: VERSION, tokens: Vec::new() }
    }
}

impl TokensFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that is missing, too open, or not valid.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let metadata = path
            .metadata()
            .map_err(|error| Error::usage(format!("cannot read the tokens `{shown}`")).because(error))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(Error::usage(format!("the tokens `{shown}` may be read by others than their owner"))
                .hint(format!("`chmod 600 {shown}`")));
        }
        if metadata.len() > LARGEST {
            return Err(Error::usage(format!("the tokens `{shown}` are larger than {LARGEST} bytes")));
        }
        let text = std::fs::read(path)
            .map_err(|error| Error::usage(format!("cannot read the tokens `{shown}`")).because(error))?;
        // The cause names a place and no content: a hash is not for a log.
        let file: Self = serde_json::from_slice(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Error::usage(format!("the tokens `{shown}` are not valid at line {line}, column {column}"))
        })?;
        file.check().map_err(|why| Error::usage(format!("the tokens `{shown}` cannot be used: {why}")))?;
        Ok(file)
    }

    /// As [`TokensFile::read`]; none where there is no such file yet.
    ///
    /// # Errors
    /// As [`TokensFile::read`].
    pub fn read_or_new(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_ok() { Self::read(path) } else { Ok(Self::default()) }
    }

    fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("their version is {}, this program knows {VERSION}", self.version));
        }
        for (position, token) in self.tokens.iter().enumerate() {
            let name = crate::sanitise::short(&token.name, 80);
            if !token.has_usable_hash() {
                return Err(format!("the hash of `{name}` is none"));
            }
            if let Some(bad) = token.scope.workspaces.iter().find(|name| !TokenScope::is_workspace_pattern(name)) {
                return Err(format!("`{}` of `{name}` names no workspace", crate::sanitise::short(bad, 80)));
            }
            if token.scope.hours_per_day.is_some_and(|hours| !hours.is_finite() || hours < 0.0) {
                return Err(format!("the hours per day of `{name}` are no number of hours"));
            }
            if self.tokens.iter().skip(position + 1).any(|other| other.id == token.id || other.name == token.name) {
                return Err(format!("`{name}` or its id stands there twice"));
            }
        }
        Ok(())
    }

    /// Writes the file in the place of the old one, private to its owner.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when it cannot be written; then the old one stands.
    pub fn write(&self, path: &Path) -> Result<()> {
        let cannot = || format!("cannot write the tokens `{}`", path.display());
        let new = path.with_extension("new");
        let written = || -> std::io::Result<()> {
            let _ = std::fs::remove_file(&new);
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        };
        written().context(ErrorKind::State, cannot)
    }
}

/// What tells that a file is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version(u64, u64, i64, i64);

impl Version {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self(metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    }
}

/// The tokens a pool knows.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    state: Mutex<State>,
    hashing: Semaphore,
}

#[derive(Debug)]
struct State {
    version: Option<Version>,
    by_id: HashMap<String, Arc<Token>>,
    /// The digests of tokens that have proven themselves: computed once, known again.
    proven: HashMap<[u8; 32], String>,
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// As [`TokensFile::read`].
    pub fn open(path: &Path) -> Result<Self> {
        let version = Version::of(path);
        let state = State { version, by_id: by_id(TokensFile::read(path)?), proven: HashMap::new() };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state), hashing: Semaphore::new(HASHES_AT_ONCE) })
    }

    /// Reads the file again where it has changed. One that cannot be used changes nothing: who was known stays known.
    ///
    /// # Errors
    /// As [`TokensFile::read`].
    pub fn refresh(&self) -> Result<()> {
        let version = Version::of(&self.path);
        if version.is_some() && self.lock().version == version {
            return Ok(());
        }
        let read = TokensFile::read(&self.path);
        let mut state = self.lock();
        // Said once, until it changes again.
        state.version = version;
        state.by_id = by_id(read?);
        state.proven.clear();
        Ok(())
    }

    /// The token that this text proves; `None` when there is none, or its time is over.
    pub async fn prove(&self, text: &str, now: Timestamp) -> Option<Arc<Token>> {
        let presented = Presented::parse(text)?;
        let digest = presented.digest();
        let (token, is_known) = {
            let state = self.lock();
            let token = Arc::clone(state.by_id.get(&presented.id)?);
            (token, state.proven.get(&digest) == Some(&presented.id))
        };
        if token.is_over(now) {
            return None;
        }
        if is_known {
            return Some(token);
        }
        let _turn = self.hashing.acquire().await.ok()?;
        let hashing = tokio::task::spawn_blocking(move || token.is(&presented).then_some(token));
        let token = hashing.await.ok().flatten()?;
        let mut state = self.lock();
        // It may have been taken away meanwhile.
        if state.by_id.get(&token.id) != Some(&token) {
            return None;
        }
        if state.proven.len() >= REMEMBERED {
            state.proven.clear();
        }
        state.proven.insert(digest, token.id.clone());
        Some(token)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_id(file: TokensFile) -> HashMap<String, Arc<Token>> {
    file.tokens.into_iter().map(|token| (token.id.clone(), Arc::new(token))).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn scope() -> TokenScope {
        TokenScope { workspaces: vec!["*".to_owned()], ..TokenScope::default() }
    }

    #[tokio::test]
    async fn a_token_that_is_taken_away_is_not_known_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.json");
        let now = Timestamp::UNIX_EPOCH;
        let (one, text) = Token::new("one".to_owned(), scope(), now, None).unwrap();
        TokensFile { tokens: vec![one.clone()], ..TokensFile::default() }.write(&path).unwrap();
        let tokens = Tokens::open(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(tokens.prove(text.expose_secret(), now).await.unwrap().id, one.id);
        }
        let (other, _) = Token::new("other".to_owned(), scope(), now, None).unwrap();
        TokensFile { tokens: vec![other], ..TokensFile::default() }.write(&path).unwrap();
        tokens.refresh().unwrap();
        assert!(tokens.prove(text.expose_secret(), now).await.is_none());
        // A file that cannot be used changes nothing.
        std::fs::write(&path, "{").unwrap();
        assert!(tokens.refresh().is_err());
        assert_eq!(tokens.count(), 1);
        assert!(tokens.refresh().is_ok(), "it is said once");
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_not_valid_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.json");
        let (token, _) = Token::new("one".to_owned(), scope(), Timestamp::UNIX_EPOCH, None).unwrap();
        let file = TokensFile { tokens: vec![token.clone()], ..TokensFile::default() };
        file.write(&path).unwrap();
        assert_eq!(TokensFile::read(&path).unwrap(), file);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        assert!(TokensFile::read(&path).is_err());
        for bad in [
            TokensFile { version: 2, ..file.clone() },
            TokensFile { tokens: vec![token.clone(), token.clone()], ..file.clone() },
            TokensFile { tokens: vec![Token { hash: "x".to_owned(), ..token.clone() }], ..file.clone() },
        ] {
            bad.write(&path).unwrap();
            let error = TokensFile::read(&path).unwrap_err();
            assert!(!error.message().contains(&token.hash), "{error}");
        }
    }
}
