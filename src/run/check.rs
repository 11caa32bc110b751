//! [`check`]: whether a plan could be carried out from here, found out without any side effect and without the network.

use jiff::SignedDuration;

use super::{Prepared, Services, keeping};
use crate::error::{Error, Result};
use crate::ids::{LeaseId, RunId};
use crate::inputs::request::BuildRequest;
use crate::inputs::{output, secret_presence};
use crate::lease::LeaseRequest;
use crate::provider::ProviderConfig;
use crate::registry::DockerConfig;

/// What was found out.
#[derive(Debug)]
pub struct Checked {
    /// Why the build would be refused: a secret that has no value, programs that are missing, a size that this
    /// provider cannot lease.
    pub refusal: Option<Error>,
    /// The most that the provider keeps of a build's cache, in bytes.
    pub kept_cache_bytes: u64,
}

/// Looks for what a build would be refused for before its lease, in the build's own order. What only a registry could
/// tell stays unknown.
///
/// # Errors
/// `Usage` when the provider's configuration is not valid.
pub async fn check(run_id: RunId, prepared: &Prepared, request: &BuildRequest, services: &Services) -> Result<Checked> {
    let config = prepared.provider.config(&services.environment, &services.dirs)?;
    let kept_cache_bytes = config.kept_cache_bytes();
    let refusal = refusal(run_id, prepared, request, services, &config).await.err();
    Ok(Checked { refusal, kept_cache_bytes })
}

async fn refusal(
    run_id: RunId,
    prepared: &Prepared,
    request: &BuildRequest,
    services: &Services,
    config: &ProviderConfig,
) -> Result<()> {
    if let Some(refusal) = prepared.plan.policy.refusal() {
        return Err(refusal);
    }
    for file in [&request.iidfile, &request.metadata_file].into_iter().flatten() {
        output::check_file(file)?;
    }
    for secret in &prepared.plan.secrets {
        secret_presence::check(secret, &services.environment)?;
    }
    for agent in &prepared.plan.ssh {
        agent.locate(&services.environment)?;
    }
    DockerConfig::load(&services.environment)?;
    let provider = config.open()?;
    keeping::check(request, &prepared.policies, provider.as_ref())?;
    provider.check(&lease_request(run_id, prepared, request, services)).await
}

/// What a provider is asked about: a lease that nobody takes.
pub(super) fn lease_request(
    run_id: RunId,
    prepared: &Prepared,
    request: &BuildRequest,
    services: &Services,
) -> LeaseRequest {
    let plan = &prepared.plan;
    let now = services.clock.now();
    LeaseRequest {
        lease_id: LeaseId::new(),
        run_id,
        workspace: plan.workspace.clone(),
        actor_id: plan.actor_id.clone(),
        tier: plan.sizing.tier.clone(),
        architecture: prepared.architecture().to_owned(),
        memory_is_explicit: plan.sizing.memory_is_explicit,
        attempt: 1,
        owner: prepared.owner.clone(),
        created_at: now,
        expires_at: now,
        hard_deadline: now + SignedDuration::from_hours(24),
        holder: None,
        may_be_kept: request.keep_failed.is_some(),
        authorized_keys: Vec::new(),
    }
}
