//! [`Ready`]: everything a lease needs before it is asked for. What can be refused is refused here, before anything is paid
//! for.

use std::path::PathBuf;
use std::sync::Arc;

use super::abandoned::AbandonedSweep;
use super::build::Run;
use super::capacity_wait::CapacityWait;
use super::{Prepared, keeping, results, select};
use crate::custody::{Custodian, Timing};
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::output;
use crate::inputs::secret;
use crate::lease::Journal;
use crate::provider::Candidates;
use crate::registry::{Client, ClientOptions, DockerConfig};
use crate::report::envelope::SizingInfo;
use crate::report::progress::Level;
use crate::solve::buildctl;
use crate::solve::secret_store::SecretFile;

/// Everything a lease needs before it is asked for.
pub(super) struct Ready {
    pub(super) prepared: Prepared,
    pub(super) custodian: Custodian,
    pub(super) client: Client,
    /// Files for the runner's tmpfs.
    pub(super) secrets: Vec<SecretFile>,
    /// The sockets of the caller's SSH agents.
    pub(super) agents: Vec<PathBuf>,
    candidates: Candidates,
    wait: CapacityWait,
}

impl Ready {
    /// Inputs, plan, secrets, logins and destinations.
    ///
    /// # Errors
    /// Refusals, and faults of this machine or of a registry.
    pub(super) async fn get(run: &mut Run<'_>) -> Result<Self> {
        let mut candidates = select::find(run.request, run.services).await?;
        let mut wait = CapacityWait::new(run.request.wait_capacity);
        let prepared = select::select_or_wait(run, &mut candidates, &mut wait).await?;
        introduce(run, &prepared);
        // Beside the rest: it must not cost the build any time.
        let (custodian, sweeping) = take_custody(run, &prepared)?;
        let agents = find_agents(run, &prepared).await?;
        let (client, secrets) = get_access(run, &prepared).await?;
        sweeping.report(run).await;
        Ok(Self { prepared, custodian, client, secrets, agents, candidates, wait })
    }

    /// Goes on with the next candidate, after the one that was taken had no room. Nothing was leased yet.
    ///
    /// # Errors
    /// When there is none: what they all said, or each one's answer.
    pub(super) async fn fall_through(&mut self, run: &mut Run<'_>, refused: Error) -> Result<()> {
        self.candidates.refuse(refused);
        let prepared = select::select_or_wait(run, &mut self.candidates, &mut self.wait).await?;
        introduce(run, &prepared);
        let (custodian, sweeping) = take_custody(run, &prepared)?;
        self.prepared = prepared;
        let before = std::mem::replace(&mut self.custodian, custodian);
        run.warn_all(before.finish().await);
        sweeping.report(run).await;
        Ok(())
    }
}

/// Puts the plan into the result, and says it.
fn introduce(run: &mut Run<'_>, prepared: &Prepared) {
    run.envelope.workspace = Some(prepared.plan.workspace.clone());
    run.envelope.sizing = Some(SizingInfo::from(&prepared.plan.sizing));
    run.warn_all(prepared.warnings.iter().cloned());
    announce(run, prepared);
}

/// A custodian for the leases of the plan's provider, while what earlier runs left there is removed.
///
/// # Errors
/// What the policy does not allow, and what cannot be had.
fn take_custody(run: &Run<'_>, prepared: &Prepared) -> Result<(Custodian, AbandonedSweep)> {
    if let Some(refusal) = prepared.plan.policy.refusal() {
        return Err(refusal);
    }
    let services = run.services;
    let config = prepared.provider.config(&services.environment, &services.dirs)?;
    let config = config.queue_timeout(run.request.queue_timeout);
    let journal = Journal::new(&services.dirs.state);
    let custodian = Custodian::new(&config, journal.clone(), Arc::clone(&services.clock), Timing::default())?;
    keeping::check(run.request, &prepared.policies, custodian.provider().as_ref())?;
    let sweeping = AbandonedSweep::start(&custodian, journal, services, &prepared.owner);
    Ok((custodian, sweeping))
}

/// What the build needs of the world outside: secrets, logins, and registries that allow the push.
async fn get_access(run: &mut Run<'_>, prepared: &Prepared) -> Result<(Client, Vec<SecretFile>)> {
    for file in [&run.request.iidfile, &run.request.metadata_file].into_iter().flatten() {
        output::check_file(file)?;
    }
    if run.request.load {
        results::check_docker().await?;
    }
    let mut secrets = load_secrets(run, prepared).await?;
    let logins = Arc::new(DockerConfig::load(&run.services.environment)?);
    let options = ClientOptions { insecure: run.request.insecure_registries.clone(), ..ClientOptions::default() };
    let client = Client::new(options, Arc::clone(&logins));
    for reference in prepared.plan.solve.pushed_references() {
        let _wait = run.progress.wait(&format!("{} to allow the push", reference.host()));
        client.check_push(&reference).await?;
    }
    let reach = &prepared.plan.reach;
    let pushed: Vec<&str> = reach.pushes_to.iter().map(String::as_str).collect();
    let pulled: Vec<&str> = reach.pulls_from.iter().map(String::as_str).collect();
    let config = {
        let _wait = run.progress.wait("the logins of this build's registries");
        logins.minimal_config(&pushed, &pulled).await?
    };
    run.warn_all(config.warnings);
    if let Some(json) = config.json {
        secrets.push((format!("{}/config.json", buildctl::DOCKER_CONFIG_DIR), json));
    }
    Ok((client, secrets))
}

/// The sockets of the caller's agents, each of which answers.
async fn find_agents(run: &Run<'_>, prepared: &Prepared) -> Result<Vec<PathBuf>> {
    let mut sockets = Vec::with_capacity(prepared.plan.ssh.len());
    for agent in &prepared.plan.ssh {
        sockets.push(agent.find(&run.services.environment).await?);
    }
    Ok(sockets)
}

/// Says what is about to happen, in the order a reader asks: what, how big and why.
fn announce(run: &mut Run<'_>, prepared: &Prepared) {
    let plan = &prepared.plan;
    let sizing = &plan.sizing;
    run.progress.message(
        Level::Info,
        format!(
            "workspace {} · {} ({} cpu, {} GB) · {}",
            plan.workspace, sizing.runner_type, sizing.cpu, sizing.memory_gb, sizing.reason
        ),
    );
    for note in &plan.notes {
        run.progress.message(Level::Info, note.clone());
    }
    if let Some(warning) = crate::inputs::context::large_context_warning(&prepared.context) {
        run.warn(warning);
    }
}

/// Reads the secrets on a thread where a pipe that says nothing does not hold up a signal.
async fn load_secrets(run: &Run<'_>, prepared: &Prepared) -> Result<Vec<SecretFile>> {
    let (specs, environment) = (prepared.plan.secrets.clone(), run.services.environment.clone());
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = specs.iter().map(|spec| spec.id.to_string()).collect();
    let _wait = run.progress.wait(&format!("the secrets {}", names.join(", ")));
    let loaded = tokio::task::spawn_blocking(move || secret::load_all(&specs, &environment))
        .await
        .map_err(|error| Error::new(ErrorKind::State, "a worker thread died").because(error))??;
    Ok(loaded.into_iter().map(|secret| (buildctl::secret_file(secret.id.as_str()), secret.value)).collect())
}
