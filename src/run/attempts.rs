//! The loop of attempts: what follows one that did not succeed.

use std::cell::Cell;
use std::sync::Arc;

use super::attempt::{Attempted, End, Fate, Job, attempt};
use super::build::Run;
use super::publish::Built;
use super::ready::Ready;
use super::retry::{NoOomRetry, RetryBudget};
use super::{pool_history, price};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, EventPublisher, EventsConfig};
use crate::ids::LeaseId;
use crate::plan::{GB, Tier};
use crate::provider::Capabilities;
use crate::record::AttemptRecord;
use crate::report::progress::Level;
use crate::solve::Failure;
use crate::solve::oom::{Judgement, NoRetry, Verdict};

impl Run<'_> {
    /// Attempts until one decides.
    ///
    /// # Errors
    /// With how the last one ended.
    pub(super) async fn attempts(&mut self, ready: &mut Ready) -> Result<Built> {
        self.publisher = Some(EventPublisher::start(self.events_config(ready), Arc::clone(&self.services.clock)));
        let mut tier = ready.prepared.plan.sizing.tier.clone();
        let mut budget = RetryBudget::default();
        let mut number = 1;
        let mut ran_out: Option<(Judgement, Tier)> = None;
        loop {
            let attempted = self.attempt(ready, number, &tier, ran_out.is_some(), budget).await;
            self.note(ready, number, &tier, &attempted).await;
            match attempted.runner {
                Fate::Gone => {}
                Fate::Kept(kept) => self.kept = Some(kept),
                // Nothing more is leased while something may be left.
                Fate::Unconfirmed(error) => self.unreleased = Some(error),
            }
            if attempted.facts.endpoint.is_some() {
                // What an earlier attempt's build said is not the word on this one.
                self.failure = None;
            }
            let steps_started = attempted.facts.steps_started;
            let next = match attempted.end {
                End::Succeeded(built) => return Ok(built),
                End::Cancelled => return Err(self.cancelled()),
                End::TimedOut => return Err(timed_out(ready.prepared.plan.sizing.time_budget_min)),
                End::Failed(failure, judgement) => {
                    return Err(self.build_failed(*failure, &judgement, &ready.prepared.capabilities));
                }
                End::Broken(error) => return Err(error),
                // Nothing was leased yet, so another provider is no change of anybody's mind.
                End::NoLease(error) if self.may_fall_through(&error) => {
                    self.fall_through(ready, error).await?;
                    tier = ready.prepared.plan.sizing.tier.clone();
                    continue;
                }
                // The retry cannot be leased: the answer is the memory that ran out, not a lack of machines.
                End::NoLease(error) if error.kind() == ErrorKind::NoCapacity => {
                    let reason = error.message();
                    let next = NoRetry::NextDoesNotFit { next: &tier, reason: &reason };
                    return Err(ran_out.map_or(error, |(judgement, on)| judgement.final_error(&on, next)));
                }
                End::NoLease(error) => self.after_fault(error, false, &mut budget, &tier)?,
                End::Lost(error) => self.after_fault(error, steps_started, &mut budget, &tier)?,
                End::OutOfMemory(failure, judgement) => {
                    self.failure = Some(*failure);
                    let prepared = &ready.prepared;
                    let allowed = prepared.plan.sizing.oom_retry;
                    let retry = budget.after_oom(&tier, &prepared.tiers, &prepared.tier_caps, allowed).cloned();
                    let next = self.after_oom(ready, &judgement, &tier, retry)?;
                    ran_out = Some((judgement, tier.clone()));
                    next
                }
            };
            if let Err(refused) = self.afford(ready, &next).await {
                let reason = refused.message();
                let no_retry = NoRetry::NextDoesNotFit { next: &next, reason: &reason };
                return Err(ran_out.map_or(refused, |(judgement, on)| judgement.final_error(&on, no_retry)));
            }
            if let Some(publisher) = self.publisher.as_ref().filter(|_| self.has_leased) {
                publisher.publish(Event::Retrying { attempt: number }, &self.envelope);
            }
            tier = next;
            number += 1;
        }
    }

    /// Whether one more attempt may be paid for. A signal ends the question: no lease stands.
    async fn afford(&self, ready: &Ready, tier: &Tier) -> Result<()> {
        let provider = ready.custodian.provider().as_ref();
        let asking = price::admit(provider, &ready.prepared, tier, self.request, self.services);
        match self.signals.token().run_until_cancelled(asking).await {
            Some(answer) => answer,
            None => Err(self.cancelled()),
        }
    }

    /// Whether the next candidate may be taken: never once a lease stood, for that would be a silent change of the provider.
    fn may_fall_through(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::NoCapacity && !self.has_leased && self.unreleased.is_none()
    }

    /// Goes on with the next candidate, which a signal ends: no lease stands.
    async fn fall_through(&mut self, ready: &mut Ready, refused: Error) -> Result<()> {
        let token = self.signals.token().clone();
        match token.run_until_cancelled(ready.fall_through(self, refused)).await {
            Some(taken) => taken,
            None => Err(self.cancelled()),
        }
    }

    async fn attempt(
        &mut self,
        ready: &Ready,
        number: u32,
        tier: &Tier,
        ran_out: bool,
        budget: RetryBudget,
    ) -> Attempted {
        self.progress.attempt(number, &tier.name);
        let has_leased = Cell::new(self.has_leased);
        let attempted = {
            let (publisher, envelope) = (self.publisher.as_ref(), &self.envelope);
            let on_lease = || {
                if !has_leased.replace(true)
                    && let Some(publisher) = publisher
                {
                    publisher.publish(Event::Started, envelope);
                }
            };
            // As what follows an attempt decides, without using the budget up.
            let is_tried_again = |end: &End, steps_started: bool| {
                let (mut budget, prepared) = (budget, &ready.prepared);
                match end {
                    End::OutOfMemory(..) => {
                        let allowed = prepared.plan.sizing.oom_retry;
                        budget.after_oom(tier, &prepared.tiers, &prepared.tier_caps, allowed).is_ok()
                    }
                    End::Lost(error) => is_fault(error) && budget.after_infrastructure_fault(steps_started),
                    _ => false,
                }
            };
            let job = Job {
                run_id: self.run_id,
                prepared: &ready.prepared,
                services: self.services,
                custodian: &ready.custodian,
                keep_failed: self.request.keep_failed,
                secrets: &ready.secrets,
                agents: &ready.agents,
                progress: self.progress,
                signals: self.signals,
                on_lease: &on_lease,
                is_tried_again: &is_tried_again,
                memory_is_explicit: ready.prepared.plan.sizing.memory_is_explicit || ran_out,
            };
            let lease_id = LeaseId::new();
            self.held = Some(lease_id.clone());
            attempt(&job, number, tier, lease_id).await
        };
        self.held = None;
        self.has_leased = has_leased.get();
        attempted
    }

    /// Puts an attempt into the envelope and the history.
    async fn note(&mut self, ready: &Ready, number: u32, tier: &Tier, attempted: &Attempted) {
        let refused = matches!(&attempted.end, End::NoLease(error) if !is_fault(error));
        let was_leased = attempted.facts.endpoint.is_some();
        if was_leased || !refused || !matches!(attempted.runner, Fate::Gone) {
            self.envelope.attempts.push(attempted.to_envelope(number, ready.custodian.provider().as_ref(), tier));
        }
        self.warn_all(attempted.facts.warnings.iter().cloned());
        self.keep_warnings(attempted.facts.shown_warnings.iter().cloned());
        self.record(ready, number, tier, attempted).await;
    }

    async fn record(&mut self, ready: &Ready, number: u32, tier: &Tier, attempted: &Attempted) {
        let facts = &attempted.facts;
        // What was never reached but was billed counts as money, too.
        if facts.endpoint.is_none() && facts.cost.is_none() {
            return;
        }
        let endpoint = facts.endpoint.as_ref();
        let plan = &ready.prepared.plan;
        let record = AttemptRecord {
            run_id: self.run_id,
            workspace: plan.workspace.clone(),
            platform: ready.prepared.platform.clone(),
            build_kind: plan.build_kind.as_str().to_owned(),
            actor: self.request.actor,
            attempt: number,
            runner_type: tier.name.clone(),
            cpu: f64::from(endpoint.map_or(tier.cpu, |endpoint| endpoint.effective_cpu)),
            memory_gb: endpoint.map_or(tier.memory_gb, |endpoint| gigabytes(endpoint.effective_memory_bytes)),
            outcome: attempted.outcome(),
            // Steps that came from the cache, or numbers of the whole machine, say nothing about the next build's need.
            metrics: facts.metrics.filter(|_| facts.ran_anything && !facts.whole_machine),
            cost: facts.cost.clone(),
            seconds: facts.seconds.lease + facts.seconds.sync + facts.seconds.solve,
            at: self.services.clock.now(),
        };
        if let Err(error) = self.services.store.record(record.clone()).await {
            self.warn(format!("the attempt could not be recorded, so it will not count for later sizes: {error}"));
        }
        if let Ok(config) = ready.prepared.provider.config(&self.services.environment, &self.services.dirs) {
            // Who wants to end does not wait for that.
            let token = self.signals.token().clone();
            let told = token.run_until_cancelled(pool_history::tell(&config, record)).await;
            self.warn_all(told.flatten());
        }
    }

    /// The tier of the one retry, or the final word.
    fn after_oom(
        &mut self,
        ready: &Ready,
        judgement: &Judgement,
        tier: &Tier,
        retry: Result<Tier, NoOomRetry>,
    ) -> Result<Tier> {
        let above = ready.prepared.tiers.next_above(tier);
        // A larger tier that is named has to be one that could be had.
        let over_policy = above.and_then(|next| ready.prepared.tier_caps.broken_by(next).next());
        let with_policy = |error: Error| match &over_policy {
            Some((rule, allowed)) => error.hint(format!("the policy allows {allowed}: {rule}")),
            None => error,
        };
        let error = match retry {
            Ok(next) if self.unreleased.is_none() => {
                let how = match judgement.verdict {
                    Verdict::Stalled => "the build stood still for want of memory".to_owned(),
                    _ => format!("{} was killed", judgement.victim.as_deref().unwrap_or("a process")),
                };
                self.progress.message(
                    Level::Warning,
                    format!(
                        "memory ran out on {} ({how}): once more on {} ({} GB)",
                        tier.name, next.name, next.memory_gb
                    ),
                );
                return Ok(next);
            }
            Ok(_) | Err(NoOomRetry::UsedUp) => judgement.final_error(tier, NoRetry::UsedUp { next: above }),
            Err(NoOomRetry::SwitchedOff) => judgement.final_error(tier, NoRetry::SwitchedOff { next: above }),
            Err(NoOomRetry::NoNextTier) => judgement.final_error(tier, NoRetry::NoNextTier),
            Err(NoOomRetry::OverPolicy) => {
                let rule = over_policy.as_ref().map(|(rule, _)| rule.to_string()).unwrap_or_default();
                judgement.final_error(tier, NoRetry::OverPolicy { next: above, rule: &rule })
            }
        };
        Err(with_policy(error))
    }

    /// The same tier once more, as long as the budget for such faults lasts.
    fn after_fault(
        &mut self,
        error: Error,
        steps_had_started: bool,
        budget: &mut RetryBudget,
        tier: &Tier,
    ) -> Result<Tier> {
        let again =
            is_fault(&error) && self.unreleased.is_none() && budget.after_infrastructure_fault(steps_had_started);
        if !again {
            return Err(error);
        }
        self.warn(format!("the runner failed, trying once more on a new one: {error}"));
        Ok(tier.clone())
    }

    fn build_failed(&mut self, failure: Failure, judgement: &Judgement, capabilities: &Capabilities) -> Error {
        let what = match &failure.step_name {
            Some(step) => format!("the step `{step}` failed"),
            None => "the build failed".to_owned(),
        };
        let kind = failure_kind(&failure);
        let mut error = Error::new(kind, format!("{what}: {}", failure.error.trim()));
        if judgement.disk_full {
            error = error.hint(match capabilities.shared_machine {
                Some(machine) => format!("the runner's disk is full, which is that of {machine}"),
                None => "the runner's disk is full".to_owned(),
            });
        } else if failure.says_no_space() {
            error =
                error.hint("the step says that no space was left: the runner's disk is full, or a tmpfs of the step");
        }
        self.failure = Some(failure);
        error
    }

    fn events_config(&self, ready: &Ready) -> EventsConfig {
        EventsConfig {
            workspace: ready.prepared.plan.workspace.clone(),
            prefix: self.request.subject_prefix.clone(),
            file: self.request.events_file.clone(),
            nats: self.request.nats.clone(),
            state: self.services.dirs.state.clone(),
        }
    }
}

/// A refusal is an answer; only faults are worth another try.
fn is_fault(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Runner | ErrorKind::Provider)
}

/// A build that was done and could not be pushed did not fail itself. `buildctl` has no code for it, only words: those of
/// the distribution specification.
fn failure_kind(failure: &Failure) -> ErrorKind {
    if !failure.in_export {
        return ErrorKind::Build;
    }
    let text = failure.error.to_ascii_lowercase();
    let refused = ["401 unauthorized", "403 forbidden", "insufficient_scope", "authorization failed", "denied"];
    if text.contains("no space left on device") {
        ErrorKind::Build
    } else if refused.iter().any(|word| text.contains(word)) {
        ErrorKind::Credentials
    } else {
        ErrorKind::Network
    }
}

fn timed_out(minutes: f64) -> Error {
    Error::new(ErrorKind::TimeBudget, format!("the time budget of {minutes} min is used up"))
        .hint("write a larger `time_budget_min` into `.build-spec.ncl`")
}

#[expect(clippy::cast_precision_loss, reason = "shown and compared with a few digits")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / GB as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(in_export: bool, error: &str) -> Failure {
        Failure { in_export, error: error.to_owned(), ..Failure::default() }
    }

    #[test]
    fn a_push_that_fails_is_not_the_builds_own_failure() {
        let kind = |in_export, error| failure_kind(&failure(in_export, error));
        assert_eq!(kind(false, "exit code: 1, 401 Unauthorized"), ErrorKind::Build);
        assert_eq!(kind(true, "unexpected status: 401 Unauthorized"), ErrorKind::Credentials);
        assert_eq!(kind(true, "failed to do request: connection refused"), ErrorKind::Network);
        assert_eq!(kind(true, "write /x: no space left on device"), ErrorKind::Build);
    }
}
