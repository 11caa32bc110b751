//! [`Signals`]: turns SIGINT, SIGTERM and SIGHUP into cancellations, and remembers which came first.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Context as _, Error, ErrorKind, Result, Signal};

/// Listens for the signals that end a run.
///
/// The first one cancels the run, which then releases its runner. The second one ends the wait for that release to be
/// confirmed. The third one ends the program at once, with the command that finishes the job.
#[derive(Debug, Clone)]
pub struct Signals {
    token: CancellationToken,
    give_up: CancellationToken,
    abandon: CancellationToken,
    first: Arc<OnceLock<Signal>>,
}

/// Which signal came again, and what that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// The confirmation of the release is not waited for any more.
    GaveUp(Signal),
    /// The program ends at once.
    Abandoned(Signal),
}

impl Signals {
    /// Starts to listen; `on_repeat` is called for the second and the third signal.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen(on_repeat: impl Fn(Repeated) + Send + 'static) -> Result<Self> {
        let signals = Self {
            token: CancellationToken::new(),
            give_up: CancellationToken::new(),
            abandon: CancellationToken::new(),
            first: Arc::new(OnceLock::new()),
        };
        let install = |kind| signal(kind).context(ErrorKind::State, || "cannot install a signal handler".to_owned());
        let mut interrupt = install(SignalKind::interrupt())?;
        let mut terminate = install(SignalKind::terminate())?;
        let mut hangup = install(SignalKind::hangup())?;
        let heard = signals.clone();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Sigint,
                    Some(()) = terminate.recv() => Signal::Sigterm,
                    Some(()) = hangup.recv() => Signal::Sighup,
                    else => return,
                };
                if heard.first.set(signal).is_ok() {
                    heard.token.cancel();
                } else if !heard.give_up.is_cancelled() {
                    on_repeat(Repeated::GaveUp(signal));
                    heard.give_up.cancel();
                } else if !heard.abandon.is_cancelled() {
                    on_repeat(Repeated::Abandoned(signal));
                    heard.abandon.cancel();
                }
            }
        });
        Ok(signals)
    }

    /// Cancelled by the first signal.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Cancelled by the second signal.
    pub fn give_up(&self) -> &CancellationToken {
        &self.give_up
    }

    /// Cancelled by the third signal.
    pub fn abandon(&self) -> &CancellationToken {
        &self.abandon
    }

    /// What a run that was ended by a signal ends with.
    pub fn error(&self) -> Error {
        match self.received() {
            Some(signal) => Error::new(ErrorKind::Cancelled(signal), format!("ended by {signal}")),
            None => Error::new(ErrorKind::State, "the run was cancelled"),
        }
    }

    /// The first signal that came.
    pub fn received(&self) -> Option<Signal> {
        self.first.get().copied()
    }
}
