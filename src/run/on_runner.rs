//! [`OnRunner`]: what happens on one leased runner, from the first connection to the results being home.
//!
//! A connection that breaks is made again and the work goes on; a runner that its provider calls dead ends it at once.

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
use crate::plan::Network;
use crate::report::progress::Level;
use crate::solve::buildkitd::{self, BuildkitConfig, RegistryConfig};
use crate::solve::oom::{Counters, Judgement};
use crate::solve::{Failure, secret_store};

/// How long a short question to the runner may take.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(30);

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
    pub(super) endpoint: &'a Endpoint,
    pub(super) deadline: Instant,
    pub(super) patience: Patience,
    pub(super) link: Link<'a>,
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
        let link = Link::connect(endpoint, job.progress, patience).await?;
        let runner = OnRunner { job, endpoint, deadline, patience, link };
        let solved = runner.make_ready_and_solve(facts).await;
        runner.link.close().await;
        solved
    };
    tokio::select! {
        solved = working => solved,
        error = watch::until_dead(lease, patience) => Err(error),
    }
}

impl OnRunner<'_> {
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
        let (started, sent, (), ()) = tokio::try_join!(
            self.link.repeat(async |session| buildkitd::start(session, self.endpoint, &config).await),
            self.send_contexts(),
            self.send_dockerfile(),
            self.link.repeat(async |session| secret_store::put(session, self.endpoint, self.job.secrets).await),
        )?;
        drop(wait);
        facts.bytes_synced = sent;
        for note in started.notes {
            self.job.progress.message(Level::Info, note);
        }
        self.evidence(None).await
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
