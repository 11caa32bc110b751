//! [`OnRunner`]: what happens on one leased runner, from the first connection to the results being home.
//!
//! A connection that breaks is made again and the work goes on; a runner that its provider calls dead ends it at once.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Facts, Job};
use super::link::Link;
use super::patience::Patience;
use super::publish::Built;
use super::{evidence, watch};
use crate::custody::HeldLease;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Endpoint;
use crate::own_machine::{self, Deadlines, Supply};
use crate::plan::Network;
use crate::provider::Liveness;
use crate::remote::Session;
use crate::report::progress::Level;
use crate::solve::buildkitd::{self, BuildkitConfig, RegistryConfig};
use crate::solve::oom::{Counters, Judgement};
use crate::solve::{Failure, secret_store};

/// How long a short question to the runner may take.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// How often a machine of its own is told that we live.
const BEAT_EVERY: Duration = Duration::from_secs(60);

/// How the work on a runner ended, when nothing went wrong with the runner itself.
#[derive(Debug)]
pub(super) enum Solved {
    /// Built; the results are home or in the registry.
    Succeeded(Built),
    /// The build itself failed.
    Failed(Box<Failure>, Judgement),
    /// Memory ran out.
    OutOfMemory(Box<Failure>, Judgement),
    /// The runner's daemon is gone.
    DaemonLost(Error),
    /// The time budget is used up.
    TimedOut,
}

/// One leased runner at work.
pub(super) struct OnRunner<'a> {
    pub(super) job: &'a Job<'a>,
    lease: &'a HeldLease,
    pub(super) endpoint: &'a Endpoint,
    pub(super) deadline: Instant,
    pub(super) patience: Patience,
    pub(super) link: Link<'a>,
    /// What was found on a machine of its own, and how it limits the build.
    own: Option<&'a (own_machine::Prepared, Endpoint)>,
}

/// Connects, sends, solves, fetches.
///
/// # Errors
/// Faults of the runner or the way to it.
pub(super) async fn work(
    job: &Job<'_>,
    lease: &HeldLease,
    endpoint: &Endpoint,
    deadline: Instant,
    facts: &mut Facts,
) -> Result<Solved> {
    let patience = Patience::get();
    let working = async {
        // A machine of its own has no private directory yet in which the agents' sockets could be.
        let agents: &[PathBuf] = if endpoint.is_own_machine() { &[] } else { job.agents };
        let mut link = Link::connect(endpoint, agents, job.progress, patience).await?;
        let own = if endpoint.is_own_machine() {
            match tokio::time::timeout_at(deadline, prepare(job, lease, endpoint, &link)).await {
                Ok(prepared) => {
                    let prepared = prepared?;
                    link.take_agents(job.agents).await?;
                    Some(prepared)
                }
                Err(_) => return Ok(Solved::TimedOut),
            }
        } else {
            None
        };
        let prepared = own.as_ref().map(|(_, endpoint)| endpoint);
        let runner = OnRunner {
            job,
            lease,
            endpoint: prepared.unwrap_or(endpoint),
            deadline,
            patience,
            link,
            own: own.as_ref(),
        };
        let solved = tokio::select! {
            solved = runner.make_ready_and_solve(facts) => solved,
            never = runner.beat() => match never {},
        };
        runner.link.close().await;
        solved
    };
    tokio::select! {
        solved = working => solved,
        error = watch::until_dead(lease, patience) => Err(error),
    }
}

/// Makes a runner of a machine of its own, and says how it limits the build: only its kernel knows.
async fn prepare(
    job: &Job<'_>,
    lease: &HeldLease,
    endpoint: &Endpoint,
    link: &Link<'_>,
) -> Result<(own_machine::Prepared, Endpoint)> {
    let labels = lease.labels();
    let expires = (!labels.may_be_kept).then_some(labels.expires_at);
    let deadlines = Deadlines { hard: labels.hard_deadline, expires };
    let wait = job.progress.wait("the runner's first boot");
    let prepared = link.repeat(async |session| own_machine::prepare(session, endpoint, deadlines).await).await?;
    drop(wait);
    for note in &prepared.notes {
        job.progress.message(Level::Info, note.clone());
    }
    let endpoint = Endpoint { memory: prepared.memory.clone(), ..endpoint.clone() };
    Ok((prepared, endpoint))
}

impl OnRunner<'_> {
    /// Tells a machine of its own again and again that we live, or it powers itself off. Never ends.
    async fn beat(&self) -> Infallible {
        let timing = self.job.custodian.timing();
        loop {
            tokio::time::sleep(BEAT_EVERY.min(timing.renew_every)).await;
            if self.own.is_none() {
                continue;
            }
            let session = self.link.session().await;
            let beating = own_machine::beat(&session, timing.time_to_live);
            match tokio::time::timeout(PROBE_LIMIT, beating).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the runner was not told that we live"),
                Err(_) => tracing::debug!("the runner does not take it that we live"),
            }
        }
    }

    /// Starts `buildkitd`, on a machine of its own once that has the programs.
    async fn start_buildkitd(&self, config: &BuildkitConfig) -> Result<buildkitd::Started> {
        let Some((prepared, _)) = self.own else {
            return self.link.repeat(async |session| buildkitd::start(session, self.endpoint, config).await).await;
        };
        let supply = Supply::from_environment(&self.job.services.environment)?;
        let bringing =
            async |session: &Session| own_machine::bring_buildkit(session, self.endpoint, &supply, prepared).await;
        if let Some(note) = self.link.repeat(bringing).await? {
            self.job.progress.message(Level::Info, note);
        }
        self.link.repeat(async |session| buildkitd::start(session, self.endpoint, config).await).await
    }

    async fn make_ready_and_solve(&self, facts: &mut Facts) -> Result<Solved> {
        let started = self.job.services.clock.monotonic();
        facts.sync_started = Some(started);
        let made_ready = tokio::time::timeout_at(self.deadline, self.make_ready(facts)).await;
        facts.sync_started = None;
        facts.seconds.sync = crate::clock::seconds(self.job.services.clock.monotonic() - started);
        let before = match made_ready {
            Ok(ready) => ready?,
            Err(_) => return Ok(Solved::TimedOut),
        };
        self.job.progress.stage("build");
        crate::failpoint::reach("in-build");
        facts.solve_started = Some(self.job.services.clock.monotonic());
        self.solve(&before, facts).await
    }

    /// Everything a solve needs on the runner, side by side: the daemon, the contexts, the Dockerfile, the secrets. Each
    /// part is safe to repeat.
    async fn make_ready(&self, facts: &mut Facts) -> Result<Counters> {
        let wait = self.job.progress.wait("buildkitd on the runner and the context's transfer");
        let config = BuildkitConfig {
            registries: self.job.prepared.plan.solve.insecure_registries.iter().map(|host| plain_http(host)).collect(),
            host_network: self.job.prepared.plan.solve.network == Network::Host,
        };
        // The first fault ends the others: nobody wants to send gigabytes to a runner whose daemon is dead.
        let (started, sent, (), (), ()) = tokio::try_join!(
            self.start_buildkitd(&config),
            self.send_contexts(),
            self.send_dockerfile(),
            self.send_source_policy(),
            self.link.repeat(async |session| secret_store::put(session, self.endpoint, self.job.secrets).await),
        )?;
        drop(wait);
        facts.bytes_synced = sent;
        for note in started.notes {
            self.job.progress.message(Level::Info, note);
        }
        self.evidence(None).await
    }

    /// Whether the runner runs by its provider's word. One that gives none in time has not said so.
    pub(super) async fn is_said_to_run(&self) -> bool {
        let asked = tokio::time::timeout(self.patience.watch_limit, self.lease.liveness()).await;
        matches!(asked, Ok(Ok(Liveness::Alive)))
    }

    /// Reads the memory evidence. `since` is the end of the kernel's log at the first reading.
    pub(super) async fn evidence(&self, since: Option<u64>) -> Result<Counters> {
        self.ask(async |session| evidence::read(session, self.endpoint, since).await).await
    }

    /// Asks the runner something short, which it must answer in time.
    pub(super) async fn ask<T>(
        &self,
        mut question: impl AsyncFnMut(&crate::remote::Session) -> Result<T>,
    ) -> Result<T> {
        self.link
            .repeat(async |session| {
                let answer = tokio::time::timeout(PROBE_LIMIT, question(session)).await;
                answer.unwrap_or_else(|_| {
                    let limit = PROBE_LIMIT.as_secs();
                    Err(Error::new(ErrorKind::Runner, format!("the runner did not answer within {limit} s")))
                })
            })
            .await
    }
}

fn plain_http(host: &str) -> RegistryConfig {
    RegistryConfig { host: host.to_owned(), http: true, ..RegistryConfig::default() }
}
