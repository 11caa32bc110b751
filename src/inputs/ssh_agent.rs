//! [`SshAgent`]: `--ssh`, in buildx's syntax, and whether there is such an agent.
//!
//! Only agents are forwarded. A key file is refused: its key would have to be read, and kept in this process's memory, for
//! as long as the build runs; an agent does that better and can ask before each use.

use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;

use crate::env_vars::{self, Environment};
use crate::error::{Error, ErrorKind, Result};

/// The most characters of an id.
const MAX_ID_CHARACTERS: usize = 64;

/// How long an agent may take to accept a connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What build steps know an agent by: `[A-Za-z0-9._-]+`, at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SshId(String);

impl SshId {
    /// Checks an id.
    ///
    /// # Errors
    /// `Usage` with the rule.
    pub fn parse(text: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !text.is_empty() && text.len() <= MAX_ID_CHARACTERS && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::usage(format!("invalid id `{}` of an SSH agent", crate::sanitise::line(text)))
            .hint(format!("an id is made of `A-Za-z0-9._-`, at most {MAX_ID_CHARACTERS} characters")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshSource {
    /// At `SSH_AUTH_SOCK`.
    Environment,
    /// At this socket, absolute.
    Socket(PathBuf),
    /// Nowhere: the id came with the source, and nobody has said which agent it may have.
    Named,
}

/// One `--ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAgent {
    /// What steps know it by.
    pub id: SshId,
    /// Where it listens.
    pub source: SshSource,
}

impl SshAgent {
    /// Reads `ID` (the agent of `SSH_AUTH_SOCK`) or `ID=SOCKET`. A relative path counts from `base`.
    ///
    /// # Errors
    /// `Usage` for anything else.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let Some((id, socket)) = text.split_once('=') else {
            return Ok(Self { id: SshId::parse(text)?, source: SshSource::Environment });
        };
        let id = SshId::parse(id)?;
        if socket.is_empty() {
            return Err(Error::usage(format!("`--ssh {id}=` names no socket"))
                .hint(format!("`--ssh {id}` alone takes the agent of `{}`", env_vars::SSH_AUTH_SOCK)));
        }
        if socket.contains(',') {
            return Err(no_keys(Error::usage(format!("`--ssh {text}` names more than one file"))));
        }
        Ok(Self { id, source: SshSource::Socket(base.join(socket)) })
    }

    /// Reads every `--ssh`.
    ///
    /// # Errors
    /// As [`SshAgent::parse`], and for an id that is given twice.
    pub fn parse_all<S: AsRef<str>>(texts: &[S], base: &Path) -> Result<Vec<Self>> {
        let agents = texts.iter().map(|text| Self::parse(text.as_ref(), base)).collect::<Result<Vec<_>>>()?;
        let mut seen = BTreeSet::new();
        match agents.iter().find(|agent| !seen.insert(agent.id.clone())) {
            Some(twice) => Err(Error::usage(format!("the SSH agent `{}` is given twice", twice.id))),
            None => Ok(agents),
        }
    }

    /// The socket it listens at, without asking it.
    ///
    /// # Errors
    /// `Credentials` when there is none; `Usage` for what is there and is no socket.
    pub fn locate(&self, environment: &Environment) -> Result<PathBuf> {
        let path = match &self.source {
            SshSource::Socket(path) => path.clone(),
            SshSource::Named => {
                return Err(self
                    .missing("the directives name it, and nobody binds it")
                    .hint(format!("say `--ssh {}`, or let the operator's policy bind it", self.id)));
            }
            SshSource::Environment => environment.path(env_vars::SSH_AUTH_SOCK).ok_or_else(|| {
                self.missing(&format!("`{}` is not set", env_vars::SSH_AUTH_SOCK))
                    .hint(format!("start an agent, or name its socket: `--ssh {}=SOCKET`", self.id))
            })?,
        };
        let metadata = path
            .metadata()
            .map_err(|error| self.missing(&format!("`{}` cannot be used", path.display())).because(error))?;
        if metadata.file_type().is_socket() {
            return Ok(path);
        }
        Err(no_keys(Error::usage(format!("`--ssh {}`: `{}` is not a socket", self.id, path.display()))))
    }

    /// As [`SshAgent::locate`], and somebody listens there.
    ///
    /// # Errors
    /// As [`SshAgent::locate`], and `Credentials` when nobody does.
    pub async fn find(&self, environment: &Environment) -> Result<PathBuf> {
        let path = self.locate(environment)?;
        match tokio::time::timeout(ANSWER_LIMIT, UnixStream::connect(&path)).await {
            Ok(Ok(_)) => Ok(path),
            Ok(Err(error)) => Err(self.missing(&format!("nobody answers at `{}`", path.display())).because(error)),
            Err(_) => Err(self.missing(&format!("nobody answers at `{}`", path.display()))),
        }
    }

    fn missing(&self, why: &str) -> Error {
        Error::new(ErrorKind::Credentials, format!("there is no SSH agent for `--ssh {}`: {why}", self.id))
    }
}

/// For the plan: the id and where it comes from.
impl fmt::Display for SshAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            SshSource::Environment => write!(f, "{} (variable {})", self.id, env_vars::SSH_AUTH_SOCK),
            SshSource::Socket(path) => write!(f, "{} (socket {})", self.id, path.display()),
            SshSource::Named => write!(f, "{} (bound by nobody)", self.id),
        }
    }
}

fn no_keys(error: Error) -> Error {
    error.hint(
        "key files are not forwarded: load them into an agent (`ssh-agent`, then `ssh-add FILE`), and forward that",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SshAgent> {
        SshAgent::parse(text, Path::new("/base"))
    }

    #[test]
    fn an_id_alone_takes_the_environments_agent() {
        assert_eq!(parse("default").unwrap().source, SshSource::Environment);
        assert_eq!(parse("deploy=/run/a").unwrap().source, SshSource::Socket("/run/a".into()));
        assert_eq!(parse("deploy=a=b").unwrap().source, SshSource::Socket("/base/a=b".into()));
        assert_eq!(parse("default").unwrap().to_string(), "default (variable SSH_AUTH_SOCK)");
        assert_eq!(parse("d=a").unwrap().to_string(), "d (socket /base/a)");
    }

    #[test]
    fn what_is_no_agent_is_refused() {
        for bad in ["", "=x", "a b", "x=", "x=/a,/b", "x\n", &"i".repeat(65)] {
            assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad:?}");
        }
        assert!(SshAgent::parse_all(&["a", "a=/x"], Path::new("/")).unwrap_err().message().contains("twice"));
    }

    #[tokio::test]
    async fn an_agent_is_found_only_where_somebody_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent");
        let environment = Environment::from_pairs([("SSH_AUTH_SOCK", path.as_os_str())]);
        let agent = parse("default").unwrap();
        let refusal = agent.locate(&Environment::default()).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Credentials);
        assert!(refusal.message().contains("`SSH_AUTH_SOCK` is not set"), "{refusal}");
        let named = SshAgent { source: SshSource::Named, ..agent.clone() };
        assert_eq!(named.find(&environment).await.unwrap_err().kind(), ErrorKind::Credentials, "it is nobody's");
        assert_eq!(agent.locate(&environment).unwrap_err().kind(), ErrorKind::Credentials, "nothing is there");

        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        assert_eq!(agent.find(&environment).await.unwrap(), path);
        drop(listener);
        assert!(agent.locate(&environment).is_ok(), "its socket stays");
        let refusal = agent.find(&environment).await.unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Credentials);
        assert!(refusal.message().contains("nobody answers"), "{refusal}");

        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a key").unwrap();
        let refusal = agent.locate(&environment).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Usage);
        assert!(refusal.hints().iter().any(|hint| hint.contains("ssh-add")), "{refusal:?}");
    }
}
