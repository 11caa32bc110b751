//! `runners ssh`: into a runner that was kept, or that builds now.

use super::args::SshArgs;
use super::pick::pick;
use super::site::Site;
use super::survey::{Known, Survey, survey};
use crate::env_vars;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, LeaseState};
use crate::process::Cmd;
use crate::provider::RunnerStatus;
use crate::remote;

/// The `ssh` that goes there. Its key and its host's key are on this user's record of the lease only.
///
/// # Errors
/// `Usage` for an id that names no runner of this user, `Runner` when it is gone or not ready.
pub(super) async fn ssh(args: &SshArgs, site: &Site) -> Result<Cmd> {
    let Survey { runners, fault, .. } = survey(site, true).await?;
    if let Some(error) = fault {
        return Err(error);
    }
    let leases: Vec<LeaseId> = runners.iter().filter_map(|known| known.lease_id.clone()).collect();
    let lease = pick(&args.id, &leases)?;
    let Some(known) = runners.iter().find(|known| known.lease_id.as_ref() == Some(&lease)) else {
        return Err(Error::new(ErrorKind::Runner, format!("the runner `{lease}` is gone"))
            .hint("`lian-build runners list` lists those that are there"));
    };
    let endpoint = endpoint(known, &lease)?;
    remote::enter(endpoint, &args.command, site.services.environment.text(env_vars::TERM))
}

/// How the runner is reached, when it is there.
fn endpoint<'a>(known: &'a Known, lease: &LeaseId) -> Result<&'a Endpoint> {
    let fault = |what: &str| Error::new(ErrorKind::Runner, format!("the runner `{lease}` {what}"));
    let is_there = known.listed.as_ref().is_some_and(|listed| listed.status != RunnerStatus::Stopped);
    let Some(recorded) = &known.recorded else {
        return Err(fault("is not on this user's record, and its key is with who leased it"));
    };
    match &recorded.record.state {
        _ if !is_there => Err(fault("is gone").hint("`lian-build runners gc` takes it off the record")),
        LeaseState::Ready { endpoint } | LeaseState::Kept { endpoint, .. } => Ok(endpoint),
        LeaseState::Intent | LeaseState::Created { .. } => Err(fault("is being made and does not answer yet")),
        LeaseState::Releasing { .. } | LeaseState::Released { .. } => Err(fault("is being released")),
    }
}
