//! [`Prepared`]: inputs and plan, everything that happens while nothing is billed.

use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::retry::most_attempts;
use super::{Services, pool_history};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{LeaseId, Workspace};
use crate::inputs::build_arg::ContextSource;
use crate::inputs::context::{self, Context, DockerfileSource, Loaded};
use crate::inputs::language;
use crate::inputs::origin::{By, Origin};
use crate::inputs::policy::{Policies, PolicyPath};
use crate::inputs::request::BuildRequest;
use crate::inputs::{project_owner, settings, workspace};
use crate::lease::{Journal, OwnerId};
use crate::plan::policy::{LeaseCaps, TierCaps};
use crate::plan::{ContextSize, Found, Plan, Tiers, plan};
use crate::provider::Capabilities;
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
    /// The largest tiers that the policy allows, for a retry.
    pub tier_caps: TierCaps,
    /// What the operator allows.
    pub policies: Policies,
    /// The provider.
    pub provider: Choice,
    /// What it says of itself.
    pub capabilities: Capabilities,
    /// Whose the runners are.
    pub owner: OwnerId,
    /// The platform that is built for.
    pub platform: String,
    /// What an attempt costs, in words.
    pub price: String,
    /// What the user should know although it goes on: flags and variables without effect, a history that cannot be
    /// read.
    pub warnings: Vec<String>,
}

impl Prepared {
    /// The architecture that is built for, as OCI names it.
    pub fn architecture(&self) -> &str {
        self.platform.split('/').nth(1).unwrap_or(&self.platform)
    }
}

/// Gathers the inputs and plans, with `provider` as the one that leases. Reads only: no lease, no write, no network but the
/// question to a pool for its history. What a runner costs is asked afterwards ([`super::price`]).
///
/// # Errors
/// `Usage`, `Spec` or `NoCapacity`, always before anything is leased.
pub(super) async fn prepare_on(request: &BuildRequest, services: &Services, provider: &Choice) -> Result<Prepared> {
    let config = provider.config(&services.environment, &services.dirs)?;
    let capabilities = config.open()?.capabilities();
    let platform = choose_platform(request.platform.as_deref(), provider.name(), &capabilities)?;
    let (context_dir, file) = (request.context.clone(), request.dockerfile.clone());
    let walk = tokio::task::spawn_blocking(move || context::load(&context_dir, file.as_deref()));
    let policy_paths = PolicyPath::find(&services.dirs)?;
    let settings = settings::load(&request.context, request.tiers_file.as_deref(), &policy_paths);
    let (loaded, settings, named) = tokio::join!(walk, settings, name(request, services));
    // A context that is not there explains every other failure.
    let Loaded { context, dockerfile } = loaded.map_err(died)??;
    let settings = settings?;
    let is_x86 = platform.ends_with("/amd64");
    let tiers = if provider.rents_by_name() && is_x86 { settings.amd64_tiers } else { settings.tiers };
    let tier_caps = TierCaps::of(&settings.policies, &settings.builtin_tiers, &tiers)?;
    let held = held_leases(&settings.policies, services)?;
    let (workspace, origin) = named?;
    let mut warnings = request.warnings.clone();
    warnings.extend(choice::without_effect(provider.name(), &services.environment));
    let advice = match services.store.advice(&workspace, &platform).await {
        Ok(advice) => Some(advice),
        Err(error) => {
            warnings.push(format!("history cannot be read, so it does not count for the size: {error}"));
            None
        }
    };
    let (advice, warning) = pool_history::complement(advice, &config, &workspace, &platform).await;
    warnings.extend(warning);
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
            spec_places: &settings.spec_places,
            tiers: &tiers,
            languages: &settings.languages,
            advice: advice.as_ref(),
            kept_archive: kept_archive(services, &workspace, context.path()),
            provider: (provider.name(), &provider.reason),
            candidate_tier: provider.runner_type(),
            isolation: capabilities.isolation,
            policies: &settings.policies,
            tier_caps: &tier_caps,
            held: &held,
            environment: &services.environment,
            root: &project_directory(context.path()),
            attempts: most_attempts(),
        },
    )?;
    plan.origins.extend(origin);
    let said = request.owner.as_deref();
    let (owner, from) = project_owner::find(said, &services.environment, &request.context, &workspace).await;
    let by = if said.is_some() { By::Flag } else { By::Found };
    plan.origins.push(Origin::new("owner", owner.to_string(), by, from));
    let Some(dockerfile) = dockerfile else {
        return Err(Error::usage("there is no Dockerfile"));
    };
    let policies = settings.policies;
    let provider = provider.clone();
    Ok(Prepared {
        plan,
        context,
        dockerfile,
        extra_contexts,
        tiers,
        tier_caps,
        policies,
        provider,
        capabilities,
        owner,
        platform,
        price: String::new(),
        warnings,
    })
}

/// What is built, and how that was found where nobody said it. git is asked only when it matters.
async fn name(request: &BuildRequest, services: &Services) -> Result<(Workspace, Option<Origin>)> {
    if let Some(workspace) = &request.workspace {
        return Ok((workspace.clone(), None));
    }
    // `.`, `..` and links name nothing. A context that is not there is refused elsewhere.
    let directory = tokio::fs::canonicalize(&request.context).await.unwrap_or_else(|_| request.context.clone());
    let (workspace, from) = workspace::default_name(&services.environment, &directory).await?;
    let origin = Origin::new("workspace", workspace.to_string(), By::Found, from);
    Ok((workspace, Some(origin)))
}

/// The leases on record that somebody holds, where a policy limits their number. Those that nobody holds any more are
/// removed before the next lease.
fn held_leases(policies: &Policies, services: &Services) -> Result<Vec<LeaseId>> {
    if LeaseCaps::of(policies).is_empty() {
        return Ok(Vec::new());
    }
    let (records, _) = Journal::new(&services.dirs.state).read()?;
    Ok(records.into_iter().filter(|recorded| recorded.held).map(|recorded| recorded.record.labels.lease_id).collect())
}

/// The git work tree that `context` (absolute, without links) is in, else the context itself.
fn project_directory(context: &Path) -> PathBuf {
    let top = context.ancestors().find(|directory| directory.join(".git").exists());
    top.unwrap_or(context).to_owned()
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

/// What is asked for, where the provider has such runners; else its first.
fn choose_platform(asked: Option<&str>, provider: &str, capabilities: &Capabilities) -> Result<String> {
    let platforms: Vec<String> = capabilities.architectures.iter().map(|name| format!("linux/{name}")).collect();
    let Some(asked) = asked else {
        let none = || Error::new(ErrorKind::Provider, format!("the provider `{provider}` has no runners"));
        return platforms.into_iter().next().ok_or_else(none);
    };
    if platforms.iter().any(|platform| platform == asked) {
        return Ok(asked.to_owned());
    }
    let platforms = platforms.join("` or `");
    Err(Error::usage(format!("`--platform {asked}`: a runner of the provider `{provider}` is `{platforms}`"))
        .hint("leave `--platform` out, or build on a machine of that architecture"))
}

fn died(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::State, "a worker thread died").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::lease::Isolation;
    use crate::provider::Scope;

    #[test]
    fn a_platform_is_one_that_the_provider_has() {
        let capabilities = |architectures: &[&str]| Capabilities {
            architectures: architectures.iter().map(|&name| name.to_owned()).collect(),
            isolation: Isolation::Vm,
            shared_machine: None,
            scope: Scope::Credential,
            can_keep: true,
        };
        let both = capabilities(&["arm64", "amd64"]);
        for (asked, chosen) in
            [(None, "linux/arm64"), (Some("linux/arm64"), "linux/arm64"), (Some("linux/amd64"), "linux/amd64")]
        {
            assert_eq!(choose_platform(asked, "cloud", &both).unwrap(), chosen);
        }
        let error = choose_platform(Some("linux/riscv64"), "cloud", &both).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().ends_with("is `linux/arm64` or `linux/amd64`"), "{error}");
        choose_platform(None, "cloud", &capabilities(&[])).unwrap_err();
    }
}
