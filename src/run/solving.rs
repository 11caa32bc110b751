//! The solve itself: `buildctl` under its supervisor on the runner, followed over whatever connection stands.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::attempt::Facts;
use super::measuring::Measuring;
use super::on_runner::{OnRunner, Solved};
use super::unreachable::Unreachable;
use crate::error::{Error, Result};
use crate::record::Pressure;
use crate::remote::ConnectionLost;
use crate::report::progress::Level;
use crate::solve::buildctl;
use crate::solve::oom::{Counters, Stall, Standstill};
use crate::solve::supervisor::Supervised;

/// What the supervised build is called on its runner.
pub(super) const SOLVE: &str = "solve";

/// How often in a row a connection may break at once, without a byte of the log coming over it.
const MAX_FRUITLESS: u32 = 3;

/// A connection that stood this long did not break at once, however quiet the build was.
const STOOD: Duration = Duration::from_secs(30);

/// How old the last word on memory pressure may be when a connection breaks, to say anything of why it broke: a runner that has
/// no memory left is slow with it, and a dead connection is noticed after a quarter of a minute.
const LAST_WORD: Duration = Duration::from_secs(60);

/// How long the word to end a build may take that nobody waits for any more; the release ends it for certain.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What is said of metrics that are not the build's alone.
const WHOLE_MACHINE: &str = "the build has no cgroup of its own, so its metrics are those of the whole machine";

/// How `buildctl` ended.
enum End {
    Exit(i32),
    Stalled(Standstill),
    TimedOut,
}

impl OnRunner<'_> {
    /// Solves, and judges how it ended. `before` is the evidence from before it.
    pub(super) async fn solve(&self, before: &Counters, facts: &mut Facts) -> Result<Solved> {
        let argv = buildctl::remote_argv(&self.job.prepared.plan.solve, &self.endpoint.paths)?;
        let mut build = Supervised::new(&self.endpoint.paths, SOLVE, argv);
        let mut measuring = Measuring::start(self.endpoint, &self.link.session().await);
        let end = self.run(&mut build, &mut measuring).await;
        // Read even when the runner was lost: what is known of the steps decides about a retry.
        let state = self.job.progress.end_build().await;
        facts.take_steps(&state);
        facts.log_was_cut = build.log_was_cut();
        let samples = measuring.finish().await;
        facts.metrics = samples.metrics();
        facts.whole_machine = samples.whole_machine();
        if facts.metrics.is_some() && facts.whole_machine {
            facts.warnings.push(WHOLE_MACHINE.to_owned());
        }
        match end? {
            End::TimedOut => {
                self.stop(&build).await;
                Ok(Solved::TimedOut)
            }
            End::Stalled(stood @ Standstill::Quiet(_)) => {
                let after = self.evidence(before.kernel_log.last).await.ok();
                self.stop(&build).await;
                Ok(self.stalled(before, after.as_ref(), &state, stood, facts))
            }
            End::Stalled(stood @ Standstill::Silent(_)) => Ok(self.stalled(before, None, &state, stood, facts)),
            End::Exit(code) => {
                let after = self.evidence(before.kernel_log.last).await.ok();
                match code {
                    0 => self.succeeded(before, after.as_ref(), &state, facts).await,
                    code => self.failed(before, after.as_ref(), &state, code, facts).await,
                }
            }
        }
    }

    async fn run(&self, build: &mut Supervised, measuring: &mut Measuring) -> Result<End> {
        let (printed, last_word) = (Cell::new(0), Cell::new(None));
        let stalled = self.until_stalled(measuring.pressure(), &printed, &last_word);
        let ended = async {
            tokio::select! {
                ended = self.follow(build, measuring, &printed, &last_word) => ended,
                stood = stalled => Ok(End::Stalled(Standstill::Quiet(stood.as_secs()))),
            }
        };
        tokio::time::timeout_at(self.deadline, ended).await.unwrap_or(Ok(End::TimedOut))
    }

    /// Shows what `buildctl` says until it ends, or its runner has fallen silent for want of memory. `printed` counts the
    /// bytes.
    async fn follow(
        &self,
        build: &mut Supervised,
        measuring: &mut Measuring,
        printed: &Cell<u64>,
        last_word: &Cell<Option<(Instant, Pressure)>>,
    ) -> Result<End> {
        let mut session = self.link.session().await;
        let mut fruitless = 0;
        loop {
            let (before, began) = (build.passed_on(), self.job.services.clock.monotonic());
            let show = async |chunk: Vec<u8>| {
                printed.set(printed.get() + chunk.len() as u64);
                self.job.progress.build_output(chunk).await;
            };
            let error = match build.follow(&session, show).await {
                Err(error) if ConnectionLost::is_cause_of(&error) => error,
                ended => return ended.map(End::Exit),
            };
            let broke = self.job.services.clock.monotonic();
            let stood = broke.saturating_duration_since(began);
            fruitless = if build.passed_on() == before && stood < STOOD { fruitless + 1 } else { 0 };
            if fruitless >= MAX_FRUITLESS {
                return Err(error.hint("the connection broke again and again"));
            }
            session = match self.link.after(&session).await {
                Ok(session) => session,
                Err(error) => {
                    let is_fresh = |at: Instant| broke.saturating_duration_since(at) <= LAST_WORD;
                    let last = last_word.get().filter(|(at, _)| is_fresh(*at)).and_then(|(_, pressure)| pressure);
                    return self.silent(error, last).await;
                }
            };
            measuring.go_on(&session).await;
        }
    }

    /// What it means that no connection can be had any more. A runner whose last word was that nothing moves for want of memory,
    /// and which runs, has not been lost.
    async fn silent(&self, error: Error, last: Pressure) -> Result<End> {
        if Unreachable::is_cause_of(&error) && Stall::is_near_all(last) && self.is_said_to_run().await {
            tracing::debug!(%error, "taken for want of memory");
            return Ok(End::Stalled(Standstill::Silent(self.patience.reconnect.as_secs())));
        }
        Err(error)
    }

    /// Returns for how long the build has stood still, when that is too long; `last_word` is the pressure as it was told last. Without a word on memory pressure it never
    /// returns.
    async fn until_stalled(
        &self,
        mut pressure: watch::Receiver<Pressure>,
        printed: &Cell<u64>,
        last_word: &Cell<Option<(Instant, Pressure)>>,
    ) -> Duration {
        let (mut stall, mut is_said) = (Stall::new(self.patience.stalled), false);
        while pressure.changed().await.is_ok() {
            let reading = *pressure.borrow_and_update();
            last_word.set(Some((self.job.services.clock.monotonic(), reading)));
            if Stall::is_near_all(reading) && !is_said {
                is_said = true;
                let limit = self.patience.stalled.as_secs();
                let word =
                    format!("memory pressure is near 100 %: a build that prints nothing for {limit} s then is ended");
                self.job.progress.message(Level::Info, word);
            }
            if let Some(stood) = stall.see(self.job.services.clock.monotonic(), reading, printed.get()) {
                return stood;
            }
        }
        std::future::pending().await
    }

    /// Ends a build that nobody waits for any more, so that a runner that is kept has nothing to do.
    async fn stop(&self, build: &Supervised) {
        let session = self.link.session().await;
        let stopped = tokio::time::timeout(STOP_LIMIT, build.stop(&session)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::debug!(?stopped, "the build is left to its lease's end");
        }
    }
}

impl Facts {
    /// Takes over what is known of the steps.
    pub(super) fn take_steps(&mut self, state: &crate::solve::BuildState) {
        let counts = state.counts();
        self.steps =
            crate::report::envelope::Steps { total: u64::from(counts.total), cached: u64::from(counts.cached) };
        self.steps_started = state.first_step_started().is_some();
        self.ran_anything = state.ran_anything();
        self.steps_taken = true;
    }
}
