//! [`attempt`]: one solve on one lease. Whatever happens in between, its end is a release.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::keeping::{self, Kept};
use super::on_runner::{self, Solved};
use super::publish::Built;
use super::{Prepared, Services, Signals};
use crate::custody::{Custodian, HeldLease};
use crate::error::{Error, ErrorKind};
use crate::ids::{LeaseId, RunId};
use crate::lease::{Admit, Endpoint, Holder, LeaseRequest};
use crate::plan::Tier;
use crate::plan::policy::LeaseCaps;
use crate::provider::ComputeProvider;
use crate::record::Metrics;
use crate::report::envelope::{self, Cost, Outcome, Seconds, Steps};
use crate::report::progress::{Level, Progress};
use crate::solve::Failure;
use crate::solve::oom::Judgement;
use crate::solve::secret_store::SecretFile;

/// What all attempts of a run share.
pub(super) struct Job<'a> {
    pub(super) run_id: RunId,
    pub(super) prepared: &'a Prepared,
    pub(super) services: &'a Services,
    pub(super) custodian: &'a Custodian,
    pub(super) secrets: &'a [SecretFile],
    /// The sockets of the caller's SSH agents.
    pub(super) agents: &'a [PathBuf],
    pub(super) progress: &'a Progress,
    pub(super) signals: &'a Signals,
    /// Told when a lease stands.
    pub(super) on_lease: &'a dyn Fn(),
    /// How long a runner whose build failed is kept.
    pub(super) keep_failed: Option<Duration>,
    /// Whether what ended so, with or without steps having run, is tried again on a new runner.
    pub(super) is_tried_again: &'a dyn Fn(&End, bool) -> bool,
    /// True when memory was asked for, by the user or because it ran out: then it is never reduced.
    pub(super) memory_is_explicit: bool,
}

/// What was seen of an attempt, whatever its end.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) seconds: Seconds,
    /// When the sync began, as long as it goes on.
    pub(super) sync_started: Option<std::time::Instant>,
    /// When the solve began; its time counts also when a signal ends it.
    pub(super) solve_started: Option<std::time::Instant>,
    pub(super) bytes_synced: u64,
    pub(super) steps: Steps,
    pub(super) steps_started: bool,
    /// True once the steps above are known: a build is asked for them once.
    pub(super) steps_taken: bool,
    /// False when every instruction came from the cache.
    pub(super) ran_anything: bool,
    /// True when the disk was too full for some of the build's log.
    pub(super) log_was_cut: bool,
    pub(super) metrics: Option<Metrics>,
    /// What the runner cost, as far as that is known.
    pub(super) cost: Option<Cost>,
    /// Of metrics that are not the build's alone.
    pub(super) whole_machine: bool,
    pub(super) warnings: Vec<String>,
    /// Warnings that the progress view has shown already.
    pub(super) shown_warnings: Vec<String>,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum End {
    Succeeded(Built),
    Failed(Box<Failure>, Judgement),
    OutOfMemory(Box<Failure>, Judgement),
    /// The provider would not or could not lease, or it could not be put on record; nothing was built.
    NoLease(Error),
    /// A fault of the runner or the way to it.
    Lost(Error),
    /// A result could not be written or another fault of this machine: a new runner would not help.
    Broken(Error),
    TimedOut,
    Cancelled,
}

/// What became of an attempt's runner.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is verified gone.
    Gone,
    /// It was left standing, because the caller asked for it.
    Kept(Kept),
    /// It may still exist.
    Unconfirmed(Error),
}

/// An attempt with everything that is known of it.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) lease_id: LeaseId,
    pub(super) end: End,
    pub(super) facts: Facts,
    pub(super) runner: Fate,
}

/// Leases, works, releases.
pub(super) async fn attempt(job: &Job<'_>, number: u32, tier: &Tier, lease_id: LeaseId) -> Attempted {
    let mut facts = Facts::default();
    let cancel = job.signals.token().child_token();
    let caps = LeaseCaps::of(&job.prepared.policies);
    let admit: Option<Admit> =
        if caps.is_empty() { None } else { Some(Arc::new(move |held: &[LeaseId]| caps.admit(held))) };
    let beginning = job.custodian.begin_if(request(job, number, tier, &lease_id), admit);
    let lease = match cancel.run_until_cancelled(beginning).await {
        Some(Ok(lease)) => lease,
        // Nothing was asked for, so there is nothing to release.
        ended => {
            let end = match ended {
                Some(Err(error)) if !cancel.is_cancelled() => End::NoLease(error),
                _ => End::Cancelled,
            };
            return Attempted { lease_id, end, facts, runner: Fate::Gone };
        }
    };
    let end = {
        let work = AssertUnwindSafe(lease_and_work(job, number, &lease, &cancel, &mut facts)).catch_unwind();
        tokio::select! {
            biased;
            () = cancel.cancelled() => End::Cancelled,
            ended = work => ended.unwrap_or_else(|panic| End::Broken(panicked(panic.as_ref()))),
        }
        // The work is dropped here: nothing polite comes before the release.
    };
    let started = job.services.clock.monotonic();
    facts.finish(started);
    if facts.solve_started.is_some() && !facts.steps_taken {
        // The solve was dropped, by a signal or because the runner is gone. What was seen of the steps until then; a moment
        // at most.
        if let Ok(state) = tokio::time::timeout(Duration::from_millis(200), job.progress.end_build()).await {
            facts.take_steps(&state);
        }
    }
    let runner = match keeping::keep(job, &lease, &end, &facts).await {
        Some(kept) => Fate::Kept(kept),
        None => {
            job.progress.stage("release");
            let released = lease.release(end.reason(), job.signals.give_up()).await;
            released.map_or_else(Fate::Unconfirmed, |_| Fate::Gone)
        }
    };
    facts.seconds.release = crate::clock::seconds(job.services.clock.monotonic() - started);
    facts.cost = lease.cost();
    Attempted { lease_id, end, facts, runner }
}

/// What the provider is asked for.
fn request(job: &Job<'_>, number: u32, tier: &Tier, lease_id: &LeaseId) -> LeaseRequest {
    let (plan, timing) = (&job.prepared.plan, job.custodian.timing());
    let now = job.services.clock.now();
    let kept = job.keep_failed.unwrap_or_default();
    LeaseRequest {
        lease_id: lease_id.clone(),
        run_id: job.run_id,
        workspace: plan.workspace.clone(),
        actor_id: plan.actor_id.clone(),
        tier: tier.clone(),
        architecture: job.prepared.architecture().to_owned(),
        memory_is_explicit: job.memory_is_explicit,
        attempt: number,
        owner: job.prepared.owner.clone(),
        created_at: now,
        expires_at: later(now, timing.time_to_live),
        hard_deadline: later(now, time_budget(job) + timing.hard_margin + kept),
        holder: Holder::current(),
        may_be_kept: job.keep_failed.is_some(),
        authorized_keys: Vec::new(),
    }
}

/// For this attempt, from its lease to the end of its solve.
fn time_budget(job: &Job<'_>) -> Duration {
    Duration::from_secs_f64((job.prepared.plan.sizing.time_budget_min * 60.0).clamp(1.0, 86_400.0))
}

async fn lease_and_work(
    job: &Job<'_>,
    number: u32,
    lease: &HeldLease,
    cancel: &CancellationToken,
    facts: &mut Facts,
) -> End {
    let deadline = Instant::now() + time_budget(job);
    job.progress.stage("lease");
    let started = job.services.clock.monotonic();
    if crate::failpoint::value("no-capacity") == Some(&format!("{}#{number}", job.custodian.provider().name())) {
        return End::NoLease(Error::new(ErrorKind::NoCapacity, "failpoint `no-capacity`"));
    }
    let waiting = |what: &str| job.progress.waiting(what);
    let acquiring = lease.acquire(&waiting, cancel);
    let leased = tokio::time::timeout_at(deadline, acquiring).await;
    facts.seconds.lease = crate::clock::seconds(job.services.clock.monotonic() - started);
    let endpoint = match leased {
        Ok(Ok(endpoint)) => endpoint,
        Ok(Err(error)) => return End::NoLease(error),
        Err(_) => return End::TimedOut,
    };
    for note in &endpoint.notes {
        job.progress.message(Level::Info, note.clone());
    }
    facts.warnings.extend(endpoint.warnings.iter().cloned());
    facts.endpoint = Some(endpoint.clone());
    (job.on_lease)();
    crate::failpoint::reach("on-lease");
    job.progress.stage("sync");
    match on_runner::work(job, lease, &endpoint, deadline, facts).await {
        Ok(Solved::Succeeded(built)) => End::Succeeded(built),
        Ok(Solved::Failed(failure, judgement)) => End::Failed(failure, judgement),
        Ok(Solved::OutOfMemory(failure, judgement)) => End::OutOfMemory(failure, judgement),
        Ok(Solved::DaemonLost(error)) => End::Lost(error),
        Ok(Solved::TimedOut) => End::TimedOut,
        Err(error) if error.kind() == ErrorKind::Runner => End::Lost(error),
        Err(error) => End::Broken(error),
    }
}

pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

impl End {
    /// Why the runner is released, for the journal.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "the build is done",
            Self::Failed(..) => "the build failed",
            Self::OutOfMemory(..) => "memory ran out",
            Self::NoLease(_) => "it could not be leased",
            Self::Lost(_) => "the runner failed",
            Self::Broken(_) => "a fault of the caller's machine",
            Self::TimedOut => "the time budget is used up",
            Self::Cancelled => "a signal ended the run",
        }
    }
}

impl Facts {
    /// Ends what was being timed.
    fn finish(&mut self, now: std::time::Instant) {
        if let Some(began) = self.sync_started.take() {
            self.seconds.sync = crate::clock::seconds(now.saturating_duration_since(began));
        }
        if let Some(began) = self.solve_started {
            self.seconds.solve = crate::clock::seconds(now.saturating_duration_since(began));
        }
    }
}

/// A panic is a bug of ours, but never a reason to leave a machine behind.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::new(ErrorKind::State, format!("lian-build itself failed: {text}"))
        .hint("this is a bug; the runner was released. Please report it with the log")
}

impl Attempted {
    /// The attempt as it stands in the envelope.
    pub(super) fn to_envelope(&self, number: u32, provider: &dyn ComputeProvider, tier: &Tier) -> envelope::Attempt {
        envelope::Attempt {
            number,
            provider: provider.name().to_owned(),
            isolation: match &self.facts.endpoint {
                Some(endpoint) => endpoint.isolation,
                None => provider.capabilities().isolation,
            },
            lease_id: self.lease_id.clone(),
            runner_type: tier.name.clone(),
            outcome: self.outcome(),
            seconds: self.facts.seconds,
            bytes_synced: self.facts.bytes_synced,
            steps: self.facts.steps,
            metrics: self.facts.metrics,
            cost: self.facts.cost.clone(),
            oom: match &self.end {
                End::OutOfMemory(_, judgement) => envelope::Oom::of(judgement),
                _ => None,
            },
            released: matches!(self.runner, Fate::Gone),
            kept_until: match &self.runner {
                Fate::Kept(kept) => Some(kept.until.to_string()),
                Fate::Gone | Fate::Unconfirmed(_) => None,
            },
        }
    }

    /// How it ended, in one word.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.end {
            End::Succeeded(_) => Outcome::Succeeded,
            End::Failed(..) | End::Broken(_) => Outcome::Failed,
            End::OutOfMemory(..) => Outcome::Oom,
            End::NoLease(_) | End::Lost(_) => Outcome::Lost,
            End::TimedOut => Outcome::TimedOut,
            End::Cancelled => Outcome::Cancelled,
        }
    }
}
