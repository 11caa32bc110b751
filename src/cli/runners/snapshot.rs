//! `runners image --provider hcloud`: makes a snapshot that runners start from, on a server that is rented for it.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::cli::printer::Printer;
use crate::cli::services;
use crate::custody::{Custodian, HeldLease, Timing};
use crate::env_vars::Environment;
use crate::error::Result;
use crate::ids::{LeaseId, RunId};
use crate::inputs::project_owner;
use crate::lease::{Holder, Journal, LeaseRequest};
use crate::own_machine::{self, Deadlines};
use crate::plan::Tier;
use crate::provider::hcloud::{HcloudConfig, HcloudProvider};
use crate::provider::{ComputeProvider as _, ProviderConfig};
use crate::remote::Session;
use crate::report::runners::RunnersImage;
use crate::run::Signals;
use crate::runner_image;

/// When the server must be gone, whatever happens.
const HARD_DEADLINE: SignedDuration = SignedDuration::from_hours(2);

/// Leases a server, makes a runner of it, keeps its disk, and releases it.
///
/// # Errors
/// Whatever went wrong; a release that is not confirmed beats it.
pub(super) async fn make(
    server_type: &str,
    environment: &Environment,
    printer: Printer,
    signals: &Signals,
) -> Result<RunnersImage> {
    let services = services(environment.clone())?;
    let config = HcloudConfig::from_environment(environment)?.on_stock_image();
    let provider = HcloudProvider::new(config.clone());
    let request = request(&provider, server_type, environment, &services).await?;
    provider.check(&request).await?;
    let journal = Journal::new(&services.dirs.state);
    let opened = ProviderConfig::Hcloud(Box::new(config.clone()));
    let custodian = Custodian::new(&opened, journal, Arc::clone(&services.clock), Timing::default())?;
    let lease = custodian.begin(request.clone()).await?;
    let baking = bake(&lease, &request, &provider, &config, printer, signals);
    let baked = signals.token().run_until_cancelled(baking).await.unwrap_or_else(|| Err(signals.error()));
    let released = lease.release("the image's server is not needed any more", signals.give_up()).await;
    for note in custodian.finish().await {
        printer.message(&format!("warning: {}", crate::sanitise::lines(&note)));
    }
    released?;
    baked
}

async fn request(
    provider: &HcloudProvider,
    server_type: &str,
    environment: &Environment,
    services: &crate::run::Services,
) -> Result<LeaseRequest> {
    let now = services.clock.now();
    let later = |by: SignedDuration| now.checked_add(by).unwrap_or(now);
    let workspace: crate::ids::Workspace = "runner-image".parse()?;
    let owner = project_owner::configured(None, environment)
        .map_or_else(|| crate::lease::OwnerId::of_workspace(&workspace), |(owner, _)| owner);
    Ok(LeaseRequest {
        lease_id: LeaseId::new(),
        run_id: RunId::new(),
        workspace,
        actor_id: "image".parse()?,
        // As small as it may be: nothing is built on it.
        tier: Tier { name: server_type.to_owned(), cpu: 1, memory_gb: 1.0, disk_gb: 1 },
        architecture: provider.architecture(server_type).await?,
        memory_is_explicit: true,
        attempt: 1,
        owner,
        created_at: now,
        expires_at: later(SignedDuration::try_from(Timing::default().time_to_live).unwrap_or(HARD_DEADLINE)),
        hard_deadline: later(HARD_DEADLINE),
        holder: Holder::current(),
        may_be_kept: false,
        authorized_keys: Vec::new(),
    })
}

async fn bake(
    lease: &HeldLease,
    request: &LeaseRequest,
    provider: &HcloudProvider,
    config: &HcloudConfig,
    printer: Printer,
    signals: &Signals,
) -> Result<RunnersImage> {
    let say = |what: &str| printer.message(what);
    let waiting = |what: &str| say(&format!("waiting for {what}"));
    let endpoint = lease.acquire(&waiting, signals.token()).await?;
    let session = Session::connect(&endpoint, &endpoint.session_dir).await?;
    let deadlines = Deadlines { hard: request.hard_deadline, expires: None };
    say("making a runner of the server");
    let prepared = own_machine::prepare(&session, &endpoint, deadlines).await?;
    if let Some(note) = own_machine::bring_buildkit(&session, &endpoint, &config.supply, &prepared).await? {
        say(&note);
    }
    let release = own_machine::seal(&session, &endpoint).await?;
    if let Err(error) = session.close().await {
        tracing::debug!(%error, "closing the connection");
    }
    say("keeping the server's disk as a snapshot");
    let name = runner_image::name();
    let id = provider.snapshot(lease.id(), &name, &release).await?;
    Ok(RunnersImage {
        image: Some(name),
        image_id: Some(id.to_string()),
        is_snapshot: true,
        recipe: Some(release.recipe),
        buildkit: Some(release.buildkit),
        ..RunnersImage::default()
    })
}
