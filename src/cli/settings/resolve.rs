//! [`resolve`]: everything that the caller said, as one request.

use super::built::built;
use super::cache::cache;
use super::caller::caller;
use super::events::{nats, subject_prefix};
use super::image::image;
use super::runner::runner;
use super::sources::Sources;
use super::steps::steps;
use crate::cli::args::BuildArgs;
use crate::env_vars::Environment;
use crate::error::{Context as _, ErrorKind, Result};
use crate::inputs::directives::Directives;
use crate::inputs::origin::{By, Origin};
use crate::inputs::request::BuildRequest;
use crate::inputs::resolve::Ledger;

/// Reads everything the caller said.
///
/// # Errors
/// `Usage` for values that are not valid or contradict each other, `Spec` for directives that are not valid.
pub(in crate::cli) async fn resolve(args: BuildArgs, environment: &Environment) -> Result<BuildRequest> {
    let base =
        std::env::current_dir().context(ErrorKind::Usage, || "the current directory cannot be used".to_owned())?;
    let directives = match &args.directives {
        Some(file) => Some(Directives::load(file, args.select.as_deref(), &base, environment).await?),
        None => None,
    };
    let sources = Sources { args: &args, directives: directives.as_ref(), environment, base: &base };
    let mut ledger = Ledger::default();
    let mut warnings = directives.as_ref().map(|directives| directives.warnings.clone()).unwrap_or_default();
    note_file(&sources, &mut ledger);
    let caller = caller(&sources, &mut ledger)?;
    let runner = runner(&sources, &mut ledger, &mut warnings)?;
    let built = built(&sources, &mut ledger)?;
    let steps = steps(&sources, &mut ledger)?;
    let image = image(&sources, &caller, &built, &mut ledger).await?;
    let cache = cache(&sources, &mut ledger);
    let nats = nats(&sources, &mut ledger, &mut warnings)?;
    let subject_prefix = subject_prefix(&sources, &mut ledger)?;
    let events_file = args.events_file.as_ref().map(|file| sources.file(file));
    ledger.note_flag(
        "events_file",
        "--events-file",
        events_file.as_ref().map(|file| file.display().to_string()),
        "none",
    );
    Ok(BuildRequest {
        context: built.context,
        dockerfile: built.dockerfile,
        contexts: built.contexts,
        imported_files: directives.as_ref().map(|directives| directives.imports.clone()).unwrap_or_default(),
        directives_file: directives.map(|directives| directives.root.join(directives.file)),
        references: image.references,
        push: image.push,
        load: args.load,
        outputs: image.outputs,
        metadata_file: image.metadata_file,
        iidfile: image.iidfile,
        attestations: image.attestations,
        target: steps.target,
        build_args: steps.build_args,
        labels: steps.labels,
        secrets: steps.secrets,
        ssh: steps.ssh,
        no_cache: steps.no_cache,
        pull: steps.pull,
        platform: steps.platform,
        add_hosts: steps.add_hosts,
        network: steps.network,
        shm_size: steps.shm_size,
        insecure_registries: steps.insecure_registries,
        candidates: runner.candidates,
        wait_capacity: runner.wait_capacity,
        runner: runner.wish,
        tiers_file: runner.tiers_file,
        owner: runner.owner,
        keep_failed: runner.keep_failed,
        queue_timeout: runner.queue_timeout,
        workspace: caller.workspace,
        actor: caller.actor,
        actor_id: caller.actor_id,
        vouched: caller.vouched,
        cache,
        nats,
        subject_prefix,
        events_file,
        origins: ledger.into_origins(),
        warnings,
    })
}

/// Which directives count, and which of their file.
fn note_file(sources: &Sources<'_>, ledger: &mut Ledger) {
    let file = sources.directives.map(|directives| directives.file.display().to_string());
    ledger.note_flag("directives", "--directives", file, "none");
    match sources.directives.and_then(|directives| Some((directives, directives.value.name.as_ref()?))) {
        Some((directives, name)) => {
            let place = directives.place("name");
            let (by, from) = match &sources.args.select {
                Some(_) => (By::Flag, format!("--select and {place}")),
                None => (By::Directives, place),
            };
            ledger.note(Origin::new("select", name.to_string(), by, from));
        }
        None => ledger.note_default("select", "the only ones"),
    }
}
