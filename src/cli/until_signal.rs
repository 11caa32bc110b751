//! [`until_a_signal`]: commands that lease nothing end at the first signal.

use super::runtime;
use crate::error::Result;
use crate::run::Signals;

/// Works until the first signal. What was asked to go by then goes all the same, and what is on record stays on record.
///
/// # Errors
/// `Cancelled` for a signal, and whatever the work ends with.
pub(super) fn until_a_signal<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen(|_| {})?;
        tokio::select! {
            biased;
            () = signals.token().cancelled() => Err(signals.error()),
            ended = work => ended,
        }
    });
    // A thread that still reads a slow disk must not hold up the end.
    runtime.shutdown_background();
    ended
}
