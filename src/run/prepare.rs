//! [`prepare`]: inputs and plan, everything that happens while nothing is billed.

use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::Services;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Workspace;
use crate::inputs::build_arg::ContextSource;
use crate::inputs::context::{self, Context, DockerfileSource, Loaded};
use crate::inputs::language;
use crate::inputs::request::{BuildRequest, Origin};
use crate::inputs::{project_owner, settings, workspace};
use crate::lease::OwnerId;
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
    /// Whose the runners are.
    pub owner: OwnerId,
    /// The platform that is built for.
    pub platform: String,
    /// What the user should know although it goes on: flags and variables without effect, a history that cannot be
    /// read.
    pub warnings: Vec<String>,
}

/// Gathers the inputs and plans. Reads only: no lease, no write, no network.
///
/// # Errors
/// `Usage`, `Spec` or `NoCapacity`, always before anything is leased.
pub async fn prepare(request: &BuildRequest, services: &Services) -> Result<Prepared> {
    let provider = choice::choose(request.provider.as_deref(), &services.environment).await?;
    let platform = local_platform();
    if let Some(asked) = request.platform.as_deref().filter(|asked| *asked != platform) {
        return Err(Error::usage(format!(
            "`--platform {asked}`: a runner of the provider `{}` is `{platform}`",
            provider.name
        ))
        .hint("leave `--platform` out, or build on a machine of that architecture"));
    }
    let (context_dir, file) = (request.context.clone(), request.dockerfile.clone());
    let walk = tokio::task::spawn_blocking(move || context::load(&context_dir, file.as_deref()));
    let (loaded, settings, named) =
        tokio::join!(walk, settings::load(&request.context, request.tiers_file.as_deref()), name(request, services));
    // A context that is not there explains every other failure.
    let Loaded { context, dockerfile } = loaded.map_err(died)??;
    let settings = settings?;
    let (workspace, origin) = named?;
    let mut warnings = request.warnings.clone();
    warnings.extend(choice::without_effect(provider.name, &services.environment));
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
            kept_archive: kept_archive(services, &workspace, context.path()),
            provider: (provider.name, &provider.reason),
        },
    )?;
    plan.origins.extend(origin);
    let said = request.owner.as_deref();
    let (owner, from) = project_owner::find(said, &services.environment, &request.context, &workspace).await;
    plan.origins.push(Origin { name: "owner".to_owned(), value: owner.to_string(), from });
    let Some(dockerfile) = dockerfile else {
        return Err(Error::usage("there is no Dockerfile"));
    };
    let tiers = settings.tiers;
    Ok(Prepared { plan, context, dockerfile, extra_contexts, tiers, provider, owner, platform, warnings })
}

/// What is built, and how that was found where nobody said it. git is asked only when it matters.
async fn name(request: &BuildRequest, services: &Services) -> Result<(Workspace, Option<Origin>)> {
    if let Some(workspace) = &request.workspace {
        return Ok((workspace.clone(), None));
    }
    // `.`, `..` and links name nothing. A context that is not there is refused elsewhere.
    let directory = tokio::fs::canonicalize(&request.context).await.unwrap_or_else(|_| request.context.clone());
    let (workspace, from) = workspace::default_name(&services.environment, &directory).await?;
    let origin = Origin { name: "workspace".to_owned(), value: workspace.to_string(), from };
    Ok((workspace, Some(origin)))
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

/// Where the image is kept that nobody asked for: a cache, so it may be deleted at any time. Two directories may have
/// the same name, so the context's path (absolute, without links) counts too.
fn kept_archive(services: &Services, workspace: &Workspace, context: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let digest = sha2::Sha256::digest(context.as_os_str().as_bytes());
    let mark = digest.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    services.dirs.cache.join("images").join(format!("{workspace}-{mark}.tar"))
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
