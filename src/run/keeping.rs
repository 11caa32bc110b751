//! `--on-failure keep=…`: leaves the runner of a failed build standing, so that the user can look at it.

use std::time::Duration;

use jiff::Timestamp;

use super::attempt::{End, Facts, Job, later};
use super::solving::SOLVE;
use crate::custody::HeldLease;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Actor, LeaseId};
use crate::inputs::policy::Policies;
use crate::inputs::request::BuildRequest;
use crate::lease::Endpoint;
use crate::provider::{ComputeProvider, Liveness};
use crate::remote::Session;
use crate::report::progress::Level;
use crate::solve::{secret_store, supervisor::Supervised};

/// How long it may take to find out whether a runner can be kept.
const LIMIT: Duration = Duration::from_secs(30);

/// A runner that was left standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    lease_id: LeaseId,
    pub(super) until: Timestamp,
    context: String,
}

impl Kept {
    /// How to get in, until when, and how to end it.
    pub(super) fn hints(&self) -> [String; 2] {
        let Self { lease_id, until, context } = self;
        [
            format!(
                "the runner is kept until {until}: `lian-build runners ssh {lease_id}` gets you in, the context is in `{context}`"
            ),
            format!("`lian-build runners release {lease_id}` ends it sooner"),
        ]
    }
}

/// Whether a runner may be kept at all, asked before anything is leased.
///
/// # Errors
/// `Usage` for CI, where nobody looks unless the policy names who does, and for a provider whose runners end with the
/// process that leased them.
pub(super) fn check(request: &BuildRequest, policies: &Policies, provider: &dyn ComputeProvider) -> Result<()> {
    if request.keep_failed.is_none() {
        return Ok(());
    }
    let is_said = policies.said("keep_failed", |policy| policy.keep_failed.as_ref()).next().is_some();
    if matches!(request.actor, Actor::Ci | Actor::CiAux) && !is_said {
        let actor = request.actor.as_str();
        return Err(Error::usage(format!("`--on-failure keep=…` is not for `--actor {actor}`"))
            .hint("a runner that a CI job leaves behind is paid for and looked at by nobody; leave the flag out, or name the actor in \
                   `keep_failed` of the policy"));
    }
    if !provider.capabilities().can_keep {
        let name = provider.name();
        return Err(Error::usage(format!(
            "`--on-failure keep=…`: a runner of the provider `{name}` ends with its build"
        ))
        .hint("`--provider docker_local` has runners that can be kept"));
    }
    Ok(())
}

/// Keeps the runner of the last attempt, if it failed and its runner lives; otherwise `None`, and it is to be released.
pub(super) async fn keep(job: &Job<'_>, lease: &HeldLease, end: &End, facts: &Facts) -> Option<Kept> {
    let duration = job.keep_failed?;
    let endpoint = facts.endpoint.as_ref()?;
    let is_final = || !(job.is_tried_again)(end, facts.steps_started);
    let is_wanted = match end {
        End::Failed(..) | End::TimedOut => true,
        End::OutOfMemory(..) | End::Lost(_) => is_final(),
        End::Succeeded(_) | End::NoLease(_) | End::Broken(_) | End::Cancelled => false,
    };
    if !is_wanted {
        return None;
    }
    let keeping = async {
        let ready = tokio::time::timeout(LIMIT, make_ready(job, lease, endpoint)).await;
        ready.unwrap_or_else(|_| Err(gone(&format!("it did not answer within {} s", LIMIT.as_secs()))))?;
        let until = later(job.services.clock.now(), duration);
        // Whole seconds, as it is shown everywhere.
        lease.keep(Timestamp::from_second(until.as_second()).unwrap_or(until)).await
    };
    // A signal releases, as always.
    match job.signals.token().run_until_cancelled(keeping).await? {
        Ok(until) => Some(Kept { lease_id: lease.id().clone(), until, context: endpoint.paths.context.clone() }),
        Err(error) => {
            job.progress.message(Level::Warning, format!("the runner is not kept: {error}"));
            None
        }
    }
}

/// A runner that does not live is not kept. On one that does, the build does not go on behind the caller's back (it may, when
/// the connection was lost), and what is secret does not stay.
async fn make_ready(job: &Job<'_>, lease: &HeldLease, endpoint: &Endpoint) -> Result<()> {
    if let Liveness::Dead(why) = lease.liveness().await? {
        return Err(gone(&why));
    }
    let session = Session::connect(endpoint, &endpoint.session_dir).await?;
    let cleared = async {
        Supervised::new(&endpoint.paths, SOLVE, Vec::new()).stop(&session).await?;
        if job.secrets.is_empty() && job.agents.is_empty() {
            Ok(())
        } else {
            secret_store::remove(&session, endpoint).await
        }
    };
    let cleared = cleared.await;
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "closing the connection");
    }
    cleared
}

fn gone(why: &str) -> Error {
    Error::new(ErrorKind::Runner, format!("it is gone: {why}"))
}
