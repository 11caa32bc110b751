//! [`Plan`]: everything that is decided before anything is leased. Pure and printable.

use std::path::{Path, PathBuf};

use super::policy::{self, Asked, Asker, MoneyCaps, PolicyVerdict, TierCaps, Who};
use super::reach::Circumstances;
use super::{
    CacheScope, Export, Languages, Money, Purpose, Reach, SizeRequest, Sizing, Solve, Tiers, decide, frontend, origins,
};
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::ids::{ActorId, LeaseId, Workspace};
use crate::inputs::dockerfile;
use crate::inputs::nickel::Places;
use crate::inputs::origin::{By, Origin};
use crate::inputs::output::{OutputKind, OutputSpec};
use crate::inputs::policy::Policies;
use crate::inputs::request::BuildRequest;
use crate::inputs::secret::SecretSpec;
use crate::inputs::spec::{self, BuildSpec};
use crate::inputs::ssh_agent::SshAgent;
use crate::lease::Isolation;
use crate::record::Advice;
use crate::report::envelope::Cost;

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContextSize {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// What was found in the context, besides the request.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// What is built, and how that name was found.
    pub workspace: Workspace,
    /// The Dockerfile: its file name and content; `None` when there is none.
    pub dockerfile: Option<(&'a str, &'a [u8])>,
    /// The context's size.
    pub context: ContextSize,
    /// The language and what shows it.
    pub language: (&'a str, &'a str),
    /// The project's spec.
    pub spec: Option<&'a BuildSpec>,
    /// Where the spec's values stand.
    pub spec_places: &'a Places,
    /// The ladder.
    pub tiers: &'a Tiers,
    /// Default sizes.
    pub languages: &'a Languages,
    /// What past runs say.
    pub advice: Option<&'a Advice>,
    /// Where an image is kept that nobody asked for.
    pub kept_archive: PathBuf,
    /// The provider's name and why it was taken.
    pub provider: (&'a str, &'a str),
    /// The tier that this provider's candidate alone asks for.
    pub candidate_tier: Option<&'a str>,
    /// How far its runners are apart.
    pub isolation: Isolation,
    /// What the operator allows.
    pub policies: &'a Policies,
    /// The largest tiers that they allow.
    pub tier_caps: &'a TierCaps,
    /// The leases that this user holds already, as far as a policy counts them.
    pub held: &'a [LeaseId],
    /// What is set in the environment.
    pub environment: &'a Environment,
    /// The project's directory.
    pub root: &'a Path,
    /// The most attempts that the build may make.
    pub attempts: u32,
}

/// What is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildKind {
    /// A Dockerfile.
    Dockerfile,
}

impl BuildKind {
    /// The word that stands in plans and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dockerfile => "dockerfile",
        }
    }
}

/// Everything that is decided before anything is leased.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is built.
    pub workspace: Workspace,
    /// Who builds.
    pub actor_id: ActorId,
    /// From what.
    pub build_kind: BuildKind,
    /// The size and its reason.
    pub sizing: Sizing,
    /// The provider.
    pub provider: String,
    /// How much is sent.
    pub context: ContextSize,
    /// What BuildKit is asked to do.
    pub solve: Solve,
    /// What of the shared caches it may touch.
    pub cache: CacheScope,
    /// The secrets, each with where it comes from.
    pub secrets: Vec<SecretSpec>,
    /// The SSH agents, each with where it listens.
    pub ssh: Vec<SshAgent>,
    /// What the build can reach.
    pub reach: Reach,
    /// What the operator's policy did. A build that it refuses has a plan all the same, to be shown.
    pub policy: PolicyVerdict,
    /// Where every value came from.
    pub origins: Vec<Origin>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Decides everything that can be decided from values.
///
/// # Errors
/// `Usage` when there is nothing to build or values contradict each other, `Spec` and `NoCapacity` from sizing.
pub fn plan(request: &BuildRequest, found: &Found<'_>) -> Result<Plan> {
    let Some((dockerfile_name, dockerfile)) = found.dockerfile else {
        return Err(nothing_to_build(request, found));
    };
    let mut sizing = decide(&SizeRequest {
        wish: &request.runner,
        spec: found.spec,
        advice: found.advice,
        actor: request.actor,
        language: found.language.0,
        evidence: found.language.1,
        languages: found.languages,
        tiers: found.tiers,
    })?;
    if let Some(name) = found.candidate_tier {
        sizing.take_for_candidate(name, found.tiers)?;
    }
    let sizing_origins = origins::of_sizing(&request.runner, found, &sizing);
    let own_disk = request.runner.disk_gb.as_ref().map(|said| said.value);
    let disk_gb = own_disk.or_else(|| found.spec.and_then(|spec| spec.disk_gb));
    let mut findings = policy::cap_tier(&mut sizing, found.tier_caps, found.tiers, disk_gb);
    findings.extend(policy::cap_time(&mut sizing, found.policies));
    let asked_frontend = request.build_args.iter().rev().find(|arg| arg.key == dockerfile::SYNTAX_ARG);
    let asked_frontend = asked_frontend.map(|arg| arg.value.as_str());
    let has_secrets = !request.secrets.is_empty() || !request.ssh.is_empty();
    let force_builtin_frontend = frontend::decide(asked_frontend, dockerfile, has_secrets)?;
    request.attestations.check_build_args(&request.build_args)?;
    let cache = CacheScope::decide(&request.cache, request.actor, &request.actor_id, &found.workspace)?;
    let is_attested = request.attestations.any(&request.build_args);
    let exports = exports(request, found, is_attested);
    if is_attested && let Some(archive) = exports.iter().find(|export| export.spec.kind == OutputKind::Docker) {
        let place = if archive.purpose == Purpose::DockerLoad { "--load" } else { "--output type=docker" };
        check_attestable(archive.spec.kind, place)?;
    }
    let solve = Solve {
        dockerfile_name: dockerfile_name.to_owned(),
        force_builtin_frontend,
        target: request.target.clone(),
        build_args: request.build_args.clone(),
        labels: request.labels.clone(),
        platform: request.platform.clone(),
        no_cache: request.no_cache.clone(),
        pull: request.pull,
        add_hosts: request.add_hosts.clone(),
        network: request.network,
        shm_size: request.shm_size,
        contexts: request.contexts.clone(),
        secret_ids: request.secrets.iter().map(|secret| secret.id.as_str().to_owned()).collect(),
        ssh_ids: request.ssh.iter().map(|agent| agent.id.to_string()).collect(),
        attestations: request.attestations.clone(),
        exports,
        insecure_registries: request.insecure_registries.clone(),
        pull_from: policy::allowed_pulls(found.policies),
    };
    let (provider, why) = found.provider;
    let Found { isolation, held, root, .. } = *found;
    // Nothing is known of a price before the size is: `Plan::price` follows.
    let money = Money::nothing(found.attempts);
    let who = Who { actor: request.actor, workspace: &found.workspace, vouched: request.vouched };
    let asker = Asker { who, environment: found.environment };
    let (secrets, bound_secrets) = policy::bind_secrets(found.policies, &request.secrets, asker);
    let (ssh, bound_ssh) = policy::bind_ssh(found.policies, &request.ssh, asker);
    let asked = Asked { who, request, solve: &solve, dockerfile, provider, isolation, held };
    findings.extend(policy::check(found.policies, &asked));
    findings.extend(bound_secrets.into_iter().chain(bound_ssh));
    let policy = PolicyVerdict::new(found.policies, findings);
    let known = Circumstances { root, dockerfile, secrets: &secrets, ssh: &ssh, provider, isolation, money };
    let said = request.origins.iter().cloned();
    let mut origins: Vec<Origin> = said.map(|origin| origins::bound(origin, &policy.rules)).collect();
    origins.extend(sizing_origins.into_iter().map(|origin| origins::capped(origin, &policy.rules, &sizing)));
    let said = request.candidates.iter().find(|candidate| candidate.provider.name() == provider);
    origins.push(Origin::new("provider", provider, said.map_or(By::Found, |candidate| candidate.by), why));
    Ok(Plan {
        workspace: found.workspace.clone(),
        actor_id: request.actor_id.clone(),
        build_kind: BuildKind::Dockerfile,
        reach: Reach::of(request, &solve, &known),
        notes: sizing.notes.iter().cloned().chain(policy.notes()).chain(without_effect(request, found)).collect(),
        cache,
        policy,
        sizing,
        provider: provider.to_owned(),
        context: found.context,
        solve,
        secrets,
        ssh,
        origins,
    })
}

impl Plan {
    /// Takes in what an attempt costs, once that is known, and what the policy says of it. `spent` is what was spent in the
    /// last 24 hours.
    pub fn price(&mut self, money: Money, caps: &MoneyCaps, spent: Option<&[Cost]>) {
        self.policy.rules.extend(caps.findings(&self.provider, &money, spent));
        self.reach.money = money;
    }
}

fn nothing_to_build(request: &BuildRequest, found: &Found<'_>) -> Error {
    let (language, evidence) = found.language;
    let error = Error::usage(format!("there is no Dockerfile in `{}`", request.context.display()));
    let error = if language == super::OTHER {
        error
    } else {
        error.hint(format!("this looks like a {language} project ({evidence}), but only Dockerfiles are built so far"))
    };
    error.hint("write a Dockerfile there, or name one with `--file PATH`")
}

/// Naming an image pushes it, for nothing stays on a machine that is destroyed. Without any wish the image is kept as a
/// file, so that `build .` alone is good for something.
fn exports(request: &BuildRequest, found: &Found<'_>, is_attested: bool) -> Vec<Export> {
    let names: Vec<String> = request.references.iter().map(ToString::to_string).collect();
    let mut exports: Vec<Export> = request.outputs.iter().map(|spec| asked(spec, &names)).collect();
    if !request.references.is_empty() && request.push {
        exports.push(Export::push(&request.references));
    }
    let names =
        if names.is_empty() { format!("docker.io/library/{}:latest", found.workspace) } else { names.join(",") };
    if request.load {
        exports.push(Export::archive(&names, found.kept_archive.clone(), Purpose::DockerLoad));
    }
    if exports.is_empty() {
        exports.push(if request.references.is_empty() {
            Export::kept(&names, found.kept_archive.clone(), is_attested)
        } else {
            Export::discarded(&request.references)
        });
    }
    exports
}

/// Checks that a result, which `place` asks for, can hold attestations. Docker's own archives hold an image and nothing
/// beside it: `docker load` does not read what BuildKit writes otherwise.
///
/// # Errors
/// `Usage` for an archive of Docker's.
pub fn check_attestable(kind: OutputKind, place: &str) -> Result<()> {
    if kind != OutputKind::Docker {
        return Ok(());
    }
    Err(Error::usage(format!("`{place}`: an archive for Docker cannot hold provenance or an SBOM"))
        .hint("push the image, or write `--output type=oci,dest=FILE`")
        .hint("`--provenance=false --sbom=false` attests nothing"))
}

/// What `--output` asks for. As in buildx, an image without a name of its own gets those of `--tag`.
fn asked(spec: &OutputSpec, names: &[String]) -> Export {
    let mut spec = spec.clone();
    let holds_an_image = matches!(spec.kind, OutputKind::Image | OutputKind::Oci | OutputKind::Docker);
    if holds_an_image && !names.is_empty() && spec.attr("name").is_none() {
        spec.attrs.push(("name".to_owned(), names.join(",")));
    }
    Export { spec, purpose: Purpose::Asked }
}

/// What spec and directives say that does less than its reader may think.
fn without_effect(request: &BuildRequest, found: &Found<'_>) -> Vec<String> {
    let file = spec::FILE_NAME;
    let mut notes = Vec::new();
    if found.spec.is_some_and(|spec| !spec.cache_keys.is_empty()) {
        notes.push(format!("`cache_keys` of `{file}` has no effect in this version: no remote cache is read"));
    }
    if request.directives_file.is_some() {
        notes.push("there is no remote cache in this version: none is read or written, whatever may be".to_owned());
    }
    let provider = found.provider.0;
    let disk = match &request.runner.disk_gb {
        Some(said) => Some(said.from.as_str()),
        None => found.spec.and_then(|spec| spec.disk_gb).map(|_| file),
    };
    if let Some(from) = disk.filter(|_| matches!(provider, "local" | "docker_local")) {
        notes.push(format!(
            "`disk_gb` of `{from}` only picks the tier: the provider `{provider}` does not limit the disk"
        ));
    }
    notes
}
