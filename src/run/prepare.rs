//! [`prepare`]: inputs and plan, everything that happens while nothing is billed.

use std::path::PathBuf;

use super::Services;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::build_arg::ContextSource;
use crate::inputs::context::{self, Context, DockerfileSource, Loaded};
use crate::inputs::language;
use crate::inputs::request::{BuildRequest, Origin};
use crate::inputs::{settings, workspace};
use crate::plan::{ContextSize, Found, Plan, Tiers, plan};
use crate::provider::choice::{self, Choice};

/// A plan with the inputs that carrying it out needs.
#[derive(Debug)]
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// The main context.
    pub context: Context,
    /// The Dockerfile.
    pub dockerfile: DockerfileSource,
    /// Named contexts that are directories.
    pub extra_contexts: Vec<(String, Context)>,
    /// The ladder, for a retry.
    pub tiers: Tiers,
    /// The provider.
    pub provider: Choice,
    /// The platform that is built for.
    pub platform: String,
    /// Where a push is to go over plain HTTP, and other things the user should know.
    pub warnings: Vec<String>,
}

/// Gathers the inputs and plans. Reads only: no lease, no write, no network.
///
/// # Errors
/// `Usage`, `Spec` or `NoCapacity`, always before anything is leased.
pub async fn prepare(request: &BuildRequest, services: &Services) -> Result<Prepared> {
    let provider = choice::choose(request.provider.as_deref(), &services.environment)?;
    let platform = local_platform();
    if let Some(asked) = request.platform.as_deref().filter(|asked| *asked != platform) {
        return Err(Error::usage(format!("`--platform {asked}`: a runner of the provider `local` is `{platform}`"))
            .hint("leave `--platform` out, or build on a machine of that architecture"));
    }
    let (context_dir, file) = (request.context.clone(), request.dockerfile.clone());
    let walk = tokio::task::spawn_blocking(move || context::load(&context_dir, file.as_deref()));
    let (loaded, settings, named) = tokio::join!(
        walk,
        settings::load(&request.context, request.tiers_file.as_deref()),
        workspace::default_name(&services.environment, &request.context)
    );
    // A context that is not there explains every other failure.
    let Loaded { context, dockerfile } = loaded.map_err(died)??;
    let settings = settings?;
    let (workspace, origin) = match &request.workspace {
        Some(workspace) => (workspace.clone(), None),
        None => {
            let (workspace, how) = named?;
            let origin = Origin { name: "workspace".to_owned(), value: workspace.to_string(), from: how };
            (workspace, Some(origin))
        }
    };
    let mut warnings = request.warnings.clone();
    let advice = match services.store.advice(&workspace, &platform).await {
        Ok(advice) => Some(advice),
        Err(error) => {
            warnings.push(format!("history cannot be read, so it does not count for the size: {error}"));
            None
        }
    };
    let extra_contexts = extra_contexts(request).await?;
    let totals = context.totals();
    let detected = language::detect(&context);
    let mut plan = plan(
        request,
        &Found {
            workspace: workspace.clone(),
            dockerfile: dockerfile.as_ref().map(|file| (file.name.as_str(), file.bytes.as_slice())),
            context: ContextSize { files: totals.files, bytes: totals.bytes },
            language: (&detected.language, &detected.evidence),
            spec: settings.spec.as_ref(),
            tiers: &settings.tiers,
            languages: &settings.languages,
            advice: advice.as_ref(),
            kept_archive: kept_archive(services, workspace.as_str()),
            provider: (provider.name, &provider.reason),
        },
    )?;
    plan.origins.extend(origin);
    let Some(dockerfile) = dockerfile else {
        return Err(Error::usage("there is no Dockerfile"));
    };
    Ok(Prepared { plan, context, dockerfile, extra_contexts, tiers: settings.tiers, provider, platform, warnings })
}

async fn extra_contexts(request: &BuildRequest) -> Result<Vec<(String, Context)>> {
    let directories: Vec<(String, PathBuf)> = request
        .contexts
        .iter()
        .filter_map(|context| match &context.source {
            ContextSource::Directory(path) => Some((context.name.clone(), path.clone())),
            ContextSource::Image(_) => None,
        })
        .collect();
    tokio::task::spawn_blocking(move || {
        directories.into_iter().map(|(name, path)| Ok((name, context::load_named(&path)?))).collect()
    })
    .await
    .map_err(died)?
}

/// Where the image is kept that nobody asked for: a cache, so it may be deleted at any time.
fn kept_archive(services: &Services, workspace: &str) -> PathBuf {
    services.dirs.cache.join("images").join(format!("{workspace}.tar"))
}

/// This machine's platform, as OCI names it.
fn local_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

fn died(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::State, "a worker thread died").because(error)
}
