//! [`Plan`]: everything that is decided before anything is leased. Pure and printable.

use std::path::PathBuf;

use super::{Export, Languages, Purpose, Reach, SizeRequest, Sizing, Solve, Tiers, decide, frontend};
use crate::error::{Error, Result};
use crate::ids::{ActorId, Workspace};
use crate::inputs::dockerfile;
use crate::inputs::output::{OutputKind, OutputSpec};
use crate::inputs::request::{BuildRequest, Origin};
use crate::inputs::spec::{self, BuildSpec};
use crate::record::Advice;

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
    /// What the build can reach.
    pub reach: Reach,
    /// Who won, for every value that has several sources.
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
    let sizing = decide(&SizeRequest {
        override_runner_type: request.runner_type.as_deref(),
        spec: found.spec,
        advice: found.advice,
        actor: request.actor,
        language: found.language.0,
        evidence: found.language.1,
        languages: found.languages,
        tiers: found.tiers,
    })?;
    let asked_frontend = request.build_args.iter().rev().find(|arg| arg.key == dockerfile::SYNTAX_ARG);
    let asked_frontend = asked_frontend.map(|arg| arg.value.as_str());
    let force_builtin_frontend = frontend::decide(asked_frontend, dockerfile, !request.secrets.is_empty())?;
    let exports = exports(request, found);
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
        exports,
        insecure_registries: request.insecure_registries.clone(),
    };
    let (provider, why) = found.provider;
    let mut origins = request.origins.clone();
    origins.push(Origin { name: "provider".to_owned(), value: provider.to_owned(), from: why.to_owned() });
    Ok(Plan {
        workspace: found.workspace.clone(),
        actor_id: request.actor_id.clone(),
        build_kind: BuildKind::Dockerfile,
        reach: Reach::of(request, &solve, dockerfile),
        notes: sizing.notes.iter().cloned().chain(without_effect(found)).collect(),
        sizing,
        provider: provider.to_owned(),
        context: found.context,
        solve,
        origins,
    })
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
fn exports(request: &BuildRequest, found: &Found<'_>) -> Vec<Export> {
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
            Export::archive(&names, found.kept_archive.clone(), Purpose::Kept)
        } else {
            Export::discarded(&request.references)
        });
    }
    exports
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

/// What the spec says that does less than its reader may think.
fn without_effect(found: &Found<'_>) -> Vec<String> {
    let file = spec::FILE_NAME;
    let mut notes = Vec::new();
    if found.spec.is_some_and(|spec| !spec.cache_keys.is_empty()) {
        notes.push(format!("`cache_keys` of `{file}` has no effect in this version: no remote cache is read"));
    }
    let provider = found.provider.0;
    if found.spec.is_some_and(|spec| spec.disk_gb.is_some()) && matches!(provider, "local" | "docker_local") {
        notes.push(format!(
            "`disk_gb` of `{file}` only picks the tier: the provider `{provider}` does not limit the disk"
        ));
    }
    notes
}
