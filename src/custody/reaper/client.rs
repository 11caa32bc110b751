//! [`ReaperClient`]: one living reaper, as the build that started it sees it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::Child;

use super::SUBCOMMAND;
use super::wire::{FromReaper, ToReaper, to_line};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::RunId;
use crate::lease::{Holder, HolderState};
use crate::process::Cmd;

/// How long a reaper may take to answer; it has nothing to wait for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long a reaper that has nothing to do may take to end.
const END_LIMIT: Duration = Duration::from_secs(2);

/// One living reaper. When this is dropped, the reaper releases all it still has.
#[derive(Debug)]
pub(super) struct ReaperClient {
    child: Child,
    stream: BufReader<UnixStream>,
    /// The reaper's process.
    pub(super) holder: Option<Holder>,
}

impl ReaperClient {
    /// Starts a reaper and returns once it stands on its own: in a session that no signal to ours reaches.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when there is none; nothing may be leased then.
    pub(super) async fn start(program: &Path, run: RunId, guard: &ToReaper) -> Result<Self> {
        let cannot = || "the process that releases the runner when this one is killed could not be started".to_owned();
        Self::start_bare(program, run, guard)
            .await
            .context(ErrorKind::State, cannot)
            .map_err(|error| error.hint("without it a runner could be lost, so nothing is leased"))
    }

    async fn start_bare(program: &Path, run: RunId, guard: &ToReaper) -> Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()
            .and_then(|(ours, theirs)| {
                ours.set_nonblocking(true)?;
                Ok((UnixStream::from_std(ours)?, theirs))
            })
            .context(ErrorKind::State, || "cannot make a pair of sockets".to_owned())?;
        // The run is named so that an operator can tell whose reaper it is.
        let child = Cmd::new(program, ErrorKind::State)
            .shown_as("lian-build")
            .args([SUBCOMMAND, &run.to_string()])
            .plain_env()
            .current_dir("/")
            .outliving_us()
            .spawn(Stdio::from(std::os::fd::OwnedFd::from(theirs)), Stdio::null(), Stdio::null())?;
        let mut client = Self { child, stream: BufReader::new(ours), holder: None };
        match client.ask(guard).await? {
            FromReaper::Ready { holder } => client.holder = holder,
            other => return Err(unexpected(&other)),
        }
        Ok(client)
    }

    /// Says something and waits until the reaper has noted it.
    pub(super) async fn tell(&mut self, message: &ToReaper) -> Result<()> {
        match self.ask(message).await? {
            FromReaper::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&mut self, message: &ToReaper) -> Result<FromReaper> {
        let asking = async {
            self.stream.get_mut().write_all(&to_line(message)?).await?;
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            if line.is_empty() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            Ok(serde_json::from_str(&line)?)
        };
        let answer: std::io::Result<FromReaper> = tokio::time::timeout(ANSWER_LIMIT, asking)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::other("it does not answer")));
        answer.context(ErrorKind::State, || "the reaper failed".to_owned())
    }

    /// False once it has ended, or ends: a killed process cannot be waited for before the last of its threads is gone.
    pub(super) fn is_alive(&mut self) -> bool {
        let is_dead = self.holder.as_ref().map(Holder::state) == Some(HolderState::Dead);
        !is_dead && matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets it go. With nothing to release it ends at once, which is waited for; true when it did.
    pub(super) async fn end(self) -> bool {
        let Self { mut child, stream, .. } = self;
        drop(stream);
        tokio::time::timeout(END_LIMIT, child.wait()).await.is_ok()
    }
}

fn unexpected(answer: &FromReaper) -> Error {
    let why = match answer {
        FromReaper::Refused { why } => crate::sanitise::line(why),
        FromReaper::Ready { .. } | FromReaper::Done => "it gave an answer that does not fit".to_owned(),
    };
    Error::new(ErrorKind::State, why)
}

/// This very program, also when its file has been replaced since it was started.
pub(super) fn this_program() -> Result<PathBuf> {
    let by_kernel = PathBuf::from("/proc/self/exe");
    if by_kernel.exists() {
        return Ok(by_kernel);
    }
    std::env::current_exe().context(ErrorKind::State, || "cannot find this program's own file".to_owned())
}
