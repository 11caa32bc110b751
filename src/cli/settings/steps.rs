//! How the build's steps run: stage, arguments, labels, secrets, cache, network.

use super::sources::Sources;
use crate::cli::args::NetworkArg;
use crate::error::{Error, Result};
use crate::inputs::build_arg::{KeyValue, parse_build_arg, parse_label};
use crate::inputs::directives::{Directives, NetworkTag};
use crate::inputs::resolve::{Candidates, Keyed, Ledger, Said};
use crate::inputs::secret::{SecretId, SecretSource, SecretSpec};
use crate::inputs::ssh_agent::{SshAgent, SshId, SshSource};
use crate::plan::{Network, NoCache};
use crate::registry::Reference;

/// How the build's steps run.
pub(super) struct Steps {
    pub(super) target: Option<String>,
    pub(super) build_args: Vec<KeyValue>,
    pub(super) labels: Vec<KeyValue>,
    pub(super) secrets: Vec<SecretSpec>,
    pub(super) ssh: Vec<SshAgent>,
    pub(super) no_cache: NoCache,
    pub(super) pull: bool,
    pub(super) platform: Option<String>,
    pub(super) add_hosts: Vec<String>,
    pub(super) network: Network,
    pub(super) shm_size: Option<u64>,
    pub(super) insecure_registries: Vec<String>,
}

pub(super) fn steps(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Steps> {
    let args = sources.args;
    let target = sources.text(
        ("--target", args.target.as_ref()),
        ("artifact.target", |said| said.artifact.target.clone()),
        None,
    )?;
    let target = ledger.pick_or("target", target, "the last stage")?;
    let build_args = build_args(sources, ledger)?;
    let labels = args.labels.iter().map(|text| Ok(keyed("--label", parse_label(text)?))).collect::<Result<_>>()?;
    let said = pairs(sources, "artifact.labels", |said| &said.value.artifact.labels);
    let labels = ledger.unite("label", labels, said)?;
    let shm_size = args.shm_size;
    ledger.note_flag("shm_size", "--shm-size", shm_size.map(|bytes| bytes.to_string()), "the runner's default");
    let add_hosts: Vec<String> = args.add_hosts.iter().map(|text| add_host(text)).collect::<Result<_>>()?;
    ledger.note_flag("add_host", "--add-host", listed(&add_hosts), "none");
    let insecure_registries: Vec<String> =
        args.insecure_registries.iter().map(|host| registry_host(host)).collect::<Result<_>>()?;
    ledger.note_flag("insecure_registry", "--insecure-registry", listed(&insecure_registries), "none");
    Ok(Steps {
        target,
        build_args,
        labels,
        secrets: secrets(sources, ledger)?,
        ssh: ssh(sources, ledger)?,
        no_cache: no_cache(sources, ledger)?,
        pull: pull(sources, ledger)?,
        platform: platform(sources, ledger)?,
        add_hosts,
        network: network(sources, ledger)?,
        shm_size,
        insecure_registries,
    })
}

fn listed(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(", "))
}

fn keyed(flag: &str, pair: KeyValue) -> Keyed<KeyValue> {
    let shown = pair.value.clone();
    Keyed { key: pair.key.clone(), said: Said::by_flag(flag, pair, shown) }
}

/// Names and values that the directives have at `path`.
fn pairs<'a>(
    sources: &Sources<'a>,
    path: &str,
    get: impl FnOnce(&'a Directives) -> &'a std::collections::BTreeMap<String, String>,
) -> Vec<Keyed<KeyValue>> {
    let Some(directives) = sources.directives else { return Vec::new() };
    let pair = |(key, value): (&String, &String)| {
        let said = KeyValue { key: key.clone(), value: value.clone() };
        Keyed { key: key.clone(), said: directives.said(&Directives::entry(path, key), said, value.clone()) }
    };
    get(directives).iter().map(pair).collect()
}

fn build_args(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Vec<KeyValue>> {
    let mut flags = Vec::new();
    for text in &sources.args.build_args {
        flags.extend(parse_build_arg(text, sources.environment)?.map(|pair| keyed("--build-arg", pair)));
    }
    ledger.unite("build_arg", flags, pairs(sources, "artifact.build_args", |said| &said.value.artifact.build_args))
}

/// What directives name by id, a flag may bind; it is no contradiction.
fn secrets(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Vec<SecretSpec>> {
    let keyed = |spec: SecretSpec, said: fn(SecretSpec, String) -> Said<SecretSpec>| {
        let shown = spec.source_text();
        Keyed { key: spec.id.to_string(), said: said(spec, shown) }
    };
    let flags = SecretSpec::parse_all(&sources.args.secrets, sources.base)?
        .into_iter()
        .map(|spec| keyed(spec, |spec, shown| Said::by_flag("--secret", spec, shown)))
        .collect();
    let mut directives: Vec<Keyed<SecretSpec>> = Vec::new();
    if let Some(said) = sources.directives {
        for (index, id) in said.value.artifact.secrets.iter().enumerate() {
            let path = format!("artifact.secrets[{index}]");
            let id = SecretId::parse(id).map_err(|error| said.refuse(&path, &error))?;
            if directives.iter().all(|other| other.key != id.as_str()) {
                let spec = SecretSpec { id, source: SecretSource::Named };
                let shown = spec.source_text();
                directives.push(Keyed { key: spec.id.to_string(), said: said.said(&path, spec, shown) });
            }
        }
    }
    ledger.unite_by("secret", flags, directives, |_, _| true)
}

/// As [`secrets`]. An id in directives alone gets no agent.
fn ssh(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Vec<SshAgent>> {
    let flags = SshAgent::parse_all(&sources.args.ssh, sources.base)?.into_iter().map(|agent| Keyed {
        key: agent.id.to_string(),
        said: Said::by_flag("--ssh", agent.clone(), agent.to_string()),
    });
    let mut directives: Vec<Keyed<SshAgent>> = Vec::new();
    if let Some(said) = sources.directives {
        for (index, id) in said.value.artifact.ssh.iter().enumerate() {
            let path = format!("artifact.ssh[{index}]");
            let id = SshId::parse(id).map_err(|error| said.refuse(&path, &error))?;
            if directives.iter().all(|other| other.key != id.as_str()) {
                let agent = SshAgent { id, source: SshSource::Named };
                let shown = agent.to_string();
                directives.push(Keyed { key: agent.id.to_string(), said: said.said(&path, agent, shown) });
            }
        }
    }
    ledger.unite_by("ssh", flags.collect(), directives, |_, _| true)
}

fn no_cache(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<NoCache> {
    let args = sources.args;
    ledger.note_flag("no_cache_filter", "--no-cache-filter", listed(&args.no_cache_filter), "none");
    let flag = if args.no_cache {
        Some(Said::by_flag("--no-cache", NoCache::All, "true"))
    } else if args.no_cache_filter.is_empty() {
        None
    } else {
        let stages = args.no_cache_filter.clone();
        Some(Said::by_flag("--no-cache-filter", NoCache::Stages(stages), args.no_cache_filter.join(",")))
    };
    let directives = sources.changed("artifact.no_cache", &false, |said| said.artifact.no_cache).map(|said| Said {
        value: if said.value { NoCache::All } else { NoCache::Off },
        shown: said.shown,
        by: said.by,
        from: said.from,
    });
    Ok(ledger.pick_or("no_cache", Candidates { flag, directives, variable: None }, "false")?.unwrap_or_default())
}

fn pull(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<bool> {
    let candidates = Candidates {
        flag: sources.args.pull.then(|| Said::flag("--pull", true)),
        directives: sources.changed("artifact.pull", &false, |said| said.artifact.pull),
        variable: None,
    };
    Ok(ledger.pick_or("pull", candidates, "false")?.unwrap_or_default())
}

fn network(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Network> {
    let flag = sources.args.network.map(|network| match network {
        NetworkArg::Default => (Network::Default, "default"),
        NetworkArg::None => (Network::None, "none"),
        NetworkArg::Host => (Network::Host, "host"),
    });
    let directives = sources.directives.and_then(|directives| {
        let (network, shown) = match directives.value.artifact.network {
            NetworkTag::Default => (Network::Default, "default"),
            NetworkTag::None => (Network::None, "none"),
        };
        directives.said_unless(&Network::Default, "artifact.network", network, shown)
    });
    let flag = flag.map(|(network, shown)| Said::by_flag("--network", network, shown));
    Ok(ledger.pick_or("network", Candidates { flag, directives, variable: None }, "default")?.unwrap_or_default())
}

/// One platform per run: the runner's own.
fn platform(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Option<String>> {
    let flag = match sources.args.platform.as_slice() {
        [] => None,
        [one] if !one.contains(',') => {
            let parts: Vec<&str> = one.split('/').collect();
            let is_word =
                |part: &&str| !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
            if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_word) {
                return Err(Error::usage(format!("`--platform {one}` is not a platform"))
                    .hint("a platform looks like `linux/arm64` or `linux/amd64`"));
            }
            Some(one)
        }
        _ => {
            return Err(Error::usage("`--platform` names more than one platform")
                .hint("run one build for each platform, each on a runner of that architecture"));
        }
    };
    let candidates =
        sources.text(("--platform", flag), ("artifact.platform", |said| said.artifact.platform.clone()), None)?;
    ledger.pick_or("platform", candidates, "the runner's own")
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
