//! [`Signals`]: turns SIGINT, SIGTERM and SIGHUP into one cancellation, and remembers which came first.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Context as _, ErrorKind, Result, Signal};

/// Listens for the signals that end a run.
///
/// The first one cancels the run, which then releases its runner. Later ones are answered with a notice: a release
/// must not be skipped, because what it would leave behind costs money.
#[derive(Debug, Clone)]
pub struct Signals {
    token: CancellationToken,
    first: Arc<OnceLock<Signal>>,
}

impl Signals {
    /// Starts to listen; `on_repeat` is called for every further signal.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen(on_repeat: impl Fn(Signal) + Send + 'static) -> Result<Self> {
        let signals = Self { token: CancellationToken::new(), first: Arc::new(OnceLock::new()) };
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
                } else {
                    on_repeat(signal);
                }
            }
        });
        Ok(signals)
    }

    /// Cancelled by the first signal.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The first signal that came.
    pub fn received(&self) -> Option<Signal> {
        self.first.get().copied()
    }
}
