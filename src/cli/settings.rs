//! Turns flags and environment into a [`BuildRequest`]. Flags win over the environment, the environment over defaults;
//! where several could have set a value, the request remembers which did.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::args::{BuildArgs, NetworkArg};
use crate::env_vars::{self, Environment};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::events::{NatsConfig, SubjectPrefix};
use crate::ids::{Actor, ActorId, Workspace};
use crate::inputs::build_arg::{BuildContext, parse_build_arg, parse_label};
use crate::inputs::output::OutputSpec;
use crate::inputs::request::{BuildRequest, Origin};
use crate::inputs::secret::SecretSpec;
use crate::plan::{Network, NoCache};
use crate::registry::Reference;

/// Reads everything the caller said.
///
/// # Errors
/// `Usage` for values that are not valid or contradict each other.
pub fn resolve(args: BuildArgs, environment: &Environment) -> Result<BuildRequest> {
    let base =
        std::env::current_dir().context(ErrorKind::Usage, || "the current directory cannot be used".to_owned())?;
    if let Some(path) = &args.directives {
        return Err(Error::usage(format!(
            "`--directives {}`: directives are not part of this version",
            path.display()
        ))
        .hint("say the same with flags and a `.build-spec.ncl`"));
    }
    let mut origins = Vec::new();
    let mut warnings = Vec::new();
    if let Some((key, from)) = path_or_env(args.ssh_key.clone(), "--ssh-key", env_vars::BUILDKIT_SSH_KEY, environment) {
        warnings.push(format!(
            "the key `{}` ({from}) is not used: a runner gets a key of its own for each lease",
            key.display()
        ));
    }
    let workspace = workspace(&args, environment, &mut origins)?;
    let actor_id = actor_id(&args, environment, &mut origins)?;
    let references = args.tags.iter().map(|name| Reference::parse_push_target(name)).collect::<Result<Vec<_>>>()?;
    if args.push == Some(true) && references.is_empty() && args.outputs.is_empty() {
        return Err(Error::usage("`--push` without a name").hint("name the image with `--tag HOST/PATH:TAG`"));
    }
    let platform = platform(&args.platform)?;
    Ok(BuildRequest {
        context: base.join(args.context.or(args.context_flag).unwrap_or_else(|| PathBuf::from("."))),
        dockerfile: args.file.map(|file| base.join(file)),
        push: args.push.unwrap_or(true),
        references,
        load: args.load,
        outputs: OutputSpec::parse_all(&args.outputs, &base)?,
        metadata_file: args.metadata_file.map(|file| base.join(file)),
        iidfile: args.iidfile.map(|file| base.join(file)),
        target: args.target,
        build_args: args
            .build_args
            .iter()
            .filter_map(|text| parse_build_arg(text, environment).transpose())
            .collect::<Result<_>>()?,
        labels: args.labels.iter().map(|text| parse_label(text)).collect::<Result<_>>()?,
        contexts: contexts(&args.build_contexts, &base)?,
        secrets: SecretSpec::parse_all(&args.secrets)?,
        no_cache: if args.no_cache {
            NoCache::All
        } else if args.no_cache_filter.is_empty() {
            NoCache::Off
        } else {
            NoCache::Stages(args.no_cache_filter)
        },
        pull: args.pull,
        platform,
        add_hosts: args.add_hosts.iter().map(|text| add_host(text)).collect::<Result<_>>()?,
        network: match args.network {
            None | Some(NetworkArg::Default) => Network::Default,
            Some(NetworkArg::None) => Network::None,
            Some(NetworkArg::Host) => Network::Host,
        },
        shm_size: args.shm_size,
        insecure_registries: args.insecure_registries.iter().map(|host| registry_host(host)).collect::<Result<_>>()?,
        provider: args.provider,
        runner_type: args.runner_type,
        tiers_file: args.tiers.map(|file| base.join(file)),
        owner: args.owner,
        keep_failed: args.on_failure,
        queue_timeout: args.queue_timeout,
        workspace,
        actor: args.actor,
        actor_id,
        nats: nats(args.nats_url, environment, &mut origins)?,
        subject_prefix: subject_prefix(args.nats_subject_prefix, environment, &mut origins)?,
        events_file: args.events_file.map(|file| base.join(file)),
        origins,
        warnings,
    })
}

/// The value of a flag, else of a variable, with the name of the one that won.
pub(super) fn text_or_env(
    flag: Option<String>,
    flag_name: &str,
    variable: &str,
    environment: &Environment,
) -> Result<Option<(String, String)>> {
    if let Some(value) = flag {
        return Ok(Some((value, flag_name.to_owned())));
    }
    match (environment.text(variable), environment.os(variable)) {
        (Some(value), _) => Ok(Some((value.to_owned(), variable.to_owned()))),
        (None, Some(_)) => Err(Error::usage(format!("the value of `{variable}` is not UTF-8"))),
        (None, None) => Ok(None),
    }
}

fn path_or_env(
    flag: Option<PathBuf>,
    flag_name: &'static str,
    variable: &'static str,
    environment: &Environment,
) -> Option<(PathBuf, &'static str)> {
    flag.map(|path| (path, flag_name)).or_else(|| environment.path(variable).map(|path| (path, variable)))
}

fn workspace(args: &BuildArgs, environment: &Environment, origins: &mut Vec<Origin>) -> Result<Option<Workspace>> {
    let Some((value, from)) =
        text_or_env(args.workspace.clone(), "--workspace", env_vars::BUILDKIT_WORKSPACE, environment)?
    else {
        if args.actor == Actor::Ci {
            return Err(Error::usage("`--actor ci` without a workspace")
                .hint("say `--workspace NAME`: what CI writes must not depend on the name of a directory"));
        }
        return Ok(None);
    };
    let workspace = value.parse()?;
    origins.push(Origin { name: "workspace".to_owned(), value, from });
    Ok(Some(workspace))
}

fn actor_id(args: &BuildArgs, environment: &Environment, origins: &mut Vec<Origin>) -> Result<ActorId> {
    let (id, from) = match &args.actor_id {
        Some(id) => (id.parse()?, "--actor-id"),
        None => match environment.text(env_vars::USER).and_then(ActorId::normalise) {
            Some(id) => (id, "USER"),
            None => (args.actor.as_str().replace('_', "").parse()?, "--actor"),
        },
    };
    origins.push(Origin { name: "actor_id".to_owned(), value: id.to_string(), from: from.to_owned() });
    Ok(id)
}

fn contexts(texts: &[String], base: &Path) -> Result<Vec<BuildContext>> {
    let mut contexts: Vec<BuildContext> = Vec::with_capacity(texts.len());
    for text in texts {
        let context = BuildContext::parse(text, base)?;
        if contexts.iter().any(|other| other.name == context.name) {
            return Err(Error::usage(format!("`--build-context {}` stands twice", context.name)));
        }
        contexts.push(context);
    }
    Ok(contexts)
}

/// One platform per run: the runner's own.
fn platform(platforms: &[String]) -> Result<Option<String>> {
    match platforms {
        [] => Ok(None),
        [one] if !one.contains(',') => {
            let parts: Vec<&str> = one.split('/').collect();
            let valid = (2..=3).contains(&parts.len())
                && parts.iter().all(|part| {
                    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                });
            if valid {
                Ok(Some(one.clone()))
            } else {
                Err(Error::usage(format!("`--platform {one}` is not a platform"))
                    .hint("a platform looks like `linux/arm64` or `linux/amd64`"))
            }
        }
        _ => Err(Error::usage("`--platform` names more than one platform")
            .hint("run one build for each platform, each on a runner of that architecture")),
    }
}

fn add_host(text: &str) -> Result<String> {
    let (name, address) =
        text.split_once(['=', ':']).ok_or_else(|| Error::usage(format!("`--add-host {text}` is not `NAME:IP`")))?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let name_is_valid =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if !name_is_valid || address.parse::<std::net::IpAddr>().is_err() {
        return Err(Error::usage(format!("`--add-host {text}` is not `NAME:IP`")));
    }
    Ok(format!("{name}={address}"))
}

/// A registry's host, checked by reading it as part of an image's name.
fn registry_host(text: &str) -> Result<String> {
    let reference = Reference::parse(&format!("{text}/x"))
        .map_err(|_| Error::usage(format!("`--insecure-registry {text}` is not `HOST[:PORT]`")))?;
    if reference.host() == text {
        Ok(text.to_owned())
    } else {
        Err(Error::usage(format!("`--insecure-registry {text}` is not `HOST[:PORT]`"))
            .hint("a host has a dot, a port, or is `localhost`"))
    }
}

fn nats(flag: Option<String>, environment: &Environment, origins: &mut Vec<Origin>) -> Result<Option<NatsConfig>> {
    let Some((url, from)) = text_or_env(flag, "--nats-url", env_vars::NATS_URL, environment)? else { return Ok(None) };
    let seed = environment.text(env_vars::NATS_NKEY_SEED).map(|seed| SecretString::from(seed.to_owned()));
    let config = NatsConfig::new(&url, seed)?;
    origins.push(Origin { name: "nats_url".to_owned(), value: config.to_string(), from });
    Ok(Some(config))
}

fn subject_prefix(flag: Option<String>, environment: &Environment, origins: &mut Vec<Origin>) -> Result<SubjectPrefix> {
    match text_or_env(flag, "--nats-subject-prefix", env_vars::NATS_SUBJECT_PREFIX, environment)? {
        Some((value, from)) => {
            let prefix = value.parse()?;
            origins.push(Origin { name: "nats_subject_prefix".to_owned(), value, from });
            Ok(prefix)
        }
        None => Ok(SubjectPrefix::default()),
    }
}
