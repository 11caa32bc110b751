//! Takes the first candidate that can lease the runner, and waits for one where the caller asked for it.
//!
//! A single candidate is not asked before its lease: its own answer then is the answer.

use std::sync::Arc;

use super::build::Run;
use super::capacity_wait::CapacityWait;
use super::check::lease_request;
use super::prepare::prepare_on;
use super::{Prepared, Services, keeping, price};
use crate::error::Result;
use crate::ids::RunId;
use crate::inputs::request::BuildRequest;
use crate::provider::{Candidates, Refusal, choice};
use crate::report::progress::Level;

/// Gathers the inputs and plans, with the first provider that would lease the runner. Reads only: no lease, no write, no
/// network but the question to a provider what a runner costs and, when there are several, whether it has one.
///
/// # Errors
/// `Usage`, `Spec` or `NoCapacity`, always before anything is leased.
pub async fn prepare(request: &BuildRequest, services: &Services) -> Result<Prepared> {
    let mut candidates = find(request, services).await?;
    match select(request, services, &mut candidates).await {
        Some(prepared) => Ok(prepared),
        None => Err(candidates.refused()),
    }
}

/// Who may lease the runner.
pub(super) async fn find(request: &BuildRequest, services: &Services) -> Result<Candidates> {
    Ok(Candidates::new(choice::candidates(&request.candidates, &services.environment).await?))
}

/// The first candidate of this round that does not refuse.
async fn select(request: &BuildRequest, services: &Services, candidates: &mut Candidates) -> Option<Prepared> {
    let is_single = candidates.is_single();
    let ask = async |choice: &choice::Choice| {
        let mut prepared = prepare_on(request, services, choice).await.map_err(Refusal::unfit)?;
        price::put(&mut prepared, request, services).await.map_err(Refusal::unfit)?;
        if !is_single {
            ask(&prepared, request, services).await?;
        }
        Ok(prepared)
    };
    let mut prepared = candidates.take(ask).await?;
    prepared.warnings.extend(candidates.passed_over());
    Some(prepared)
}

/// Whether the provider of this plan would lease its runner.
async fn ask(prepared: &Prepared, request: &BuildRequest, services: &Services) -> Result<(), Refusal> {
    if let Some(refusal) = prepared.plan.policy.refusal() {
        return Err(Refusal::unfit(refusal));
    }
    let config = prepared.provider.config(&services.environment, &services.dirs).map_err(Refusal::unfit)?;
    let provider = config.open().map_err(Refusal::unfit)?;
    keeping::check(request, &prepared.policies, provider.as_ref()).map_err(Refusal::unfit)?;
    let lease = lease_request(RunId::new(), prepared, request, services);
    provider.check(&lease).await.map_err(Refusal::answer)
}

/// The first candidate that does not refuse; asks all of them again for as long as `wait` allows while none has room.
///
/// # Errors
/// What they all said, or each one's answer.
pub(super) async fn select_or_wait(
    run: &mut Run<'_>,
    candidates: &mut Candidates,
    wait: &mut CapacityWait,
) -> Result<Prepared> {
    loop {
        if let Some(prepared) = select(run.request, run.services, candidates).await {
            return Ok(prepared);
        }
        let is_first = !wait.has_begun();
        let clock = Arc::clone(&run.services.clock);
        let pause = if candidates.may_find_room() { wait.next(clock.monotonic()) } else { None };
        let Some(pause) = pause else { return Err(candidates.refused()) };
        if is_first {
            for answer in candidates.passed_over() {
                run.progress.message(Level::Info, answer);
            }
        }
        let _wait = run.progress.wait("a provider to have room");
        tokio::time::sleep(pause).await;
        candidates.start_over();
    }
}
