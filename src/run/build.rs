//! [`build`]: from a request to the envelope. Every path ends with every runner of this run released, or named.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::attempt::panicked;
use super::keeping::Kept;
use super::ready::Ready;
use super::{Services, Signals, publish};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventPublisher};
use crate::ids::{LeaseId, RunId};
use crate::inputs::request::BuildRequest;
use crate::report::envelope::{Envelope, Status};
use crate::report::failure::render_failure;
use crate::report::progress::{Level, Progress};
use crate::solve::Failure;

/// How the hint begins that names the log file.
pub const LOG_HINT: &str = "the full log is";

/// What a run says at its end, besides the envelope.
#[derive(Debug)]
pub struct Outcome {
    /// The one result.
    pub envelope: Envelope,
    /// The failing step with its last lines, ready for a terminal.
    pub failure: Option<String>,
}

/// Builds. Every path ends with an envelope.
pub async fn build(
    run_id: RunId,
    request: &BuildRequest,
    services: &Services,
    progress: &Progress,
    signals: &Signals,
) -> Outcome {
    let mut run = Run {
        run_id,
        request,
        services,
        progress,
        signals,
        envelope: Envelope::new("build", run_id, request.workspace.clone()),
        failure: None,
        publisher: None,
        has_leased: false,
        held: None,
        unreleased: None,
        kept: None,
    };
    let ended = tokio::select! {
        biased;
        () = signals.abandon().cancelled() => None,
        ended = AssertUnwindSafe(run.drive()).catch_unwind() => Some(ended),
    };
    match ended {
        Some(ended) => run.end(ended.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))).await,
        None => run.abandon(),
    }
}

/// The one owner of a run's state.
pub(super) struct Run<'a> {
    pub(super) run_id: RunId,
    pub(super) request: &'a BuildRequest,
    pub(super) services: &'a Services,
    pub(super) progress: &'a Progress,
    pub(super) signals: &'a Signals,
    pub(super) envelope: Envelope,
    /// What the last failed attempt's build said.
    pub(super) failure: Option<Failure>,
    pub(super) publisher: Option<EventPublisher>,
    /// Events are about builds that had a runner: a refusal before that sends nothing.
    pub(super) has_leased: bool,
    /// The lease that stands now, or may stand.
    pub(super) held: Option<LeaseId>,
    /// What may still exist, and be billed.
    pub(super) unreleased: Option<Error>,
    /// What was left standing because the caller asked for it.
    pub(super) kept: Option<Kept>,
}

/// A runner that may still exist, with the command that finishes the job.
pub(super) fn unreleased(lease: &LeaseId, why: &str) -> Error {
    Error::new(ErrorKind::ReleaseUnconfirmed, format!("the runner `{lease}` may still exist: {why}"))
        .hint(format!("`lian-build runners release {lease}` finishes the job"))
}

impl Run<'_> {
    async fn drive(&mut self) -> Result<()> {
        let token = self.signals.token().clone();
        // Until a lease stands a signal simply ends the run: nothing is there to be released.
        let mut ready = tokio::select! {
            biased;
            () = token.cancelled() => return Err(self.cancelled()),
            ready = Ready::get(self) => ready?,
        };
        let built = self.attempts(&mut ready).await;
        self.warn_all(ready.custodian.finish().await);
        let built = built?;
        // The runner is gone; what is left to do can be given up at once.
        tokio::select! {
            biased;
            () = token.cancelled() => Err(self.cancelled()),
            published = publish::publish(self, &ready, built) => published,
        }
    }

    pub(super) fn cancelled(&self) -> Error {
        self.signals.error()
    }

    /// Says something the user should look at, now and in the result.
    pub(super) fn warn(&mut self, text: String) {
        if !self.envelope.warnings.contains(&text) {
            self.progress.message(Level::Warning, text.clone());
            self.envelope.warnings.push(text);
        }
    }

    pub(super) fn warn_all(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.warn(text);
        }
    }

    /// Puts into the result what the progress view has shown already.
    pub(super) fn keep_warnings(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            if !self.envelope.warnings.contains(&text) {
                self.envelope.warnings.push(text);
            }
        }
    }

    /// Fills in the envelope and sends the last event; after every release.
    async fn end(mut self, ended: Result<()>) -> Outcome {
        let ended = self.with_unreleased(ended);
        let failure = self.failure.take().filter(|_| ended.is_err());
        match ended {
            Ok(()) => self.envelope.succeed(Status::Succeeded),
            Err(error) => self.fail(error, failure.as_ref()),
        }
        if let Some(publisher) = self.publisher.take().filter(|_| self.has_leased) {
            let event = if self.envelope.error.is_none() { Event::Completed } else { Event::Failed };
            publisher.publish(event, &self.envelope);
            tokio::select! {
                biased;
                () = self.signals.abandon().cancelled() => {}
                warnings = publisher.finish() => self.warn_all(warnings),
            }
        }
        let log = self.progress.log_path();
        let failure = failure.map(|failure| render_failure(&failure, log, self.progress.color()));
        Outcome { envelope: self.envelope, failure }
    }

    /// Ends without waiting for anything, and says how the job is finished.
    fn abandon(mut self) -> Outcome {
        let error = match self.held.take() {
            Some(lease) => unreleased(&lease, "three signals came before its release was confirmed"),
            None => self.unreleased.take().unwrap_or_else(|| self.cancelled()),
        };
        self.fail(error, None);
        Outcome { envelope: self.envelope, failure: None }
    }

    /// A release that could not be confirmed beats everything else, which then becomes a hint.
    fn with_unreleased(&mut self, ended: Result<()>) -> Result<()> {
        let Some(unreleased) = self.unreleased.take() else { return ended };
        Err(match ended {
            Ok(()) => unreleased.hint("the build itself succeeded"),
            Err(error) => unreleased.hint(format!("besides, the run ended with: {error}")),
        })
    }

    fn fail(&mut self, error: Error, failure: Option<&Failure>) {
        // A run that never had a runner has nothing in its log that stderr has not said.
        let log = self.progress.log_path().filter(|_| self.has_leased).map(|log| log.display().to_string());
        let is_cancelled = matches!(error.kind(), ErrorKind::Cancelled(_));
        let error = match &log {
            Some(log) if !is_cancelled => error.hint(format!("{LOG_HINT} `{log}`")),
            _ => error,
        };
        let error = self.kept.iter().flat_map(Kept::hints).fold(error, Error::hint);
        self.envelope.fail(&error);
        if let Some(info) = &mut self.envelope.error {
            info.log = log;
            if let Some(failure) = failure {
                info.step.clone_from(&failure.step_name);
                info.log_tail.clone_from(&failure.log_tail);
                info.excerpt.clone_from(&failure.dockerfile_excerpt);
            }
        }
    }
}
