//! What the end of a `buildctl` means: built, failed, out of memory, or the runner's own fault.

use super::attempt::Facts;
use super::on_runner::{OnRunner, Solved};
use super::publish::Built;
use super::results;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::GB;
use crate::solve::buildkitd::{self, DaemonState};
use crate::solve::oom::{self, Counters, FailureFacts, Judgement, Standstill};
use crate::solve::{BuildState, Failure};

impl OnRunner<'_> {
    pub(super) async fn succeeded(
        &self,
        before: &Counters,
        after: Option<&Counters>,
        state: &BuildState,
        facts: &mut Facts,
    ) -> Result<Solved> {
        let judgement = oom::judge(false, before, after, &FailureFacts::default(), self.endpoint.into());
        facts.shown_warnings.extend(state.warnings());
        facts.warnings.extend(judgement.warning);
        let metadata = self.ask(async |session| results::Metadata::fetch(session, self.endpoint).await).await?;
        let wait = self.job.progress.wait("the result's way back");
        let exports = &self.job.prepared.plan.solve.exports;
        let warnings = &mut facts.warnings;
        let outputs =
            self.link.repeat(async |session| results::fetch(session, self.endpoint, exports, warnings).await).await?;
        drop(wait);
        Ok(Solved::Succeeded(Built {
            digest: metadata.digest().map(str::to_owned),
            metadata: metadata.raw().to_vec(),
            outputs,
        }))
    }

    /// The build was ended because it stood still under memory pressure.
    pub(super) fn stalled(
        &self,
        before: &Counters,
        after: Option<&Counters>,
        state: &BuildState,
        stood: Standstill,
        facts: &mut Facts,
    ) -> Solved {
        let mut failure = state.failure();
        failure.step_name = failure.step_name.or_else(|| state.running().next().map(|step| step.name().to_owned()));
        failure.error = stood.failure();
        let judgement = self.judge(before, after, &failure, Some(stood), facts);
        facts.shown_warnings.extend(state.warnings());
        out_of_memory(failure, judgement, facts)
    }

    pub(super) async fn failed(
        &self,
        before: &Counters,
        after: Option<&Counters>,
        state: &BuildState,
        code: i32,
        facts: &mut Facts,
    ) -> Result<Solved> {
        let mut failure = state.failure();
        let judgement = self.judge(before, after, &failure, None, facts);
        facts.shown_warnings.extend(state.warnings());
        if judgement.verdict.is_memory() {
            return Ok(out_of_memory(failure, judgement, facts));
        }
        let diagnosis = self.ask(async |session| buildkitd::diagnose(session, self.endpoint).await).await?;
        if diagnosis.state == DaemonState::Running {
            if code == 1 && failure.error.is_empty() && judgement.disk_full {
                // Its last words did not fit on the disk either.
                "no space left on device".clone_into(&mut failure.error);
            }
            // `buildctl` itself ends with 1 and a word. Anything else is the runner's fault, not the build's.
            if code == 1 && !failure.error.is_empty() {
                return Ok(Solved::Failed(Box::new(failure), judgement));
            }
            let said: Vec<&str> = state.client_lines().collect();
            return Ok(Solved::DaemonLost(
                Error::new(ErrorKind::Runner, format!("`buildctl` on the runner ended with exit code {code}"))
                    .hint(format!("its last words: {}", said.join(" · "))),
            ));
        }
        let how = match diagnosis.state {
            DaemonState::Running => "is running".to_owned(),
            DaemonState::Exited { code } => format!("ended with exit code {code}"),
            DaemonState::Killed { signal } => format!("was ended by signal {signal}"),
            DaemonState::Gone => "is gone".to_owned(),
        };
        Ok(Solved::DaemonLost(
            Error::new(ErrorKind::Runner, format!("`buildkitd` on the runner {how} during the build"))
                .hint(format!("its last words: {}", diagnosis.log_tail.trim())),
        ))
    }

    fn judge(
        &self,
        before: &Counters,
        after: Option<&Counters>,
        failure: &Failure,
        stalled: Option<Standstill>,
        facts: &Facts,
    ) -> Judgement {
        let failure = FailureFacts {
            error_text: failure.error.clone(),
            exit_code: failure.exit_code,
            step: failure.step_name.clone(),
            last_lines: failure.log_tail.join("\n"),
            stalled,
            log_was_cut: facts.log_was_cut,
        };
        oom::judge(true, before, after, &failure, self.endpoint.into())
    }
}

fn out_of_memory(failure: Failure, judgement: Judgement, facts: &mut Facts) -> Solved {
    if let Some(limit) = judgement.limit_bytes {
        // Memory ran out between two samples: the peak is the limit itself.
        facts.metrics = facts.metrics.map(|metrics| metrics.having_reached(gigabytes(limit)));
    }
    Solved::OutOfMemory(Box::new(failure), judgement)
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / GB as f64
}
