//! [`Reach`]: what a build can reach, for whoever approves it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Money, Network, Purpose, Solve};
use crate::ids::Actor;
use crate::inputs::build_arg::{ContextSource, KeyValue};
use crate::inputs::dockerfile::{self, Images};
use crate::inputs::request::BuildRequest;
use crate::inputs::secret::SecretSpec;
use crate::inputs::ssh_agent::SshAgent;
use crate::lease::Isolation;
use crate::registry::Reference;

/// What the build can reach. Paths are written as text: a name that is not UTF-8 is shown with replacement characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reach {
    /// The project's directory: the git work tree, else the context. Where it lies is of no interest to whoever compares plans.
    pub root: String,
    /// Who asks.
    pub actor: Actor,
    /// Ids of the secrets that steps may mount, each with where it comes from.
    pub secrets: Vec<String>,
    /// Ids of the caller's SSH agents that steps may use, each with where it comes from.
    pub ssh: Vec<String>,
    /// Registries that are pushed to.
    pub pushes_to: Vec<String>,
    /// The repositories there: `registry/path`, without tags.
    pub push_repositories: Vec<String>,
    /// Registries that base images, named contexts, the Dockerfile's own frontend and the SBOM's generator are pulled from,
    /// as far as the Dockerfile's text says.
    pub pulls_from: Vec<String>,
    /// The repositories there: `registry/path`, without tags.
    pub pull_repositories: Vec<String>,
    /// Images whose names cannot be told before the build, as the Dockerfile writes them: they may come from anywhere.
    pub pulls_unknown: Vec<String>,
    /// Addresses of web servers and git repositories that the Dockerfile fetches from (`ADD`), without logins.
    pub fetches: Vec<String>,
    /// Sources of `ADD` that may be an address of any host, as the Dockerfile writes them.
    pub fetches_unknown: Vec<String>,
    /// Proxies that steps get by build arguments, `HTTP_PROXY (http://proxy.example:3128)`, without logins.
    pub proxies: Vec<String>,
    /// Registries that are spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// The NATS servers that events go to, without logins; `null` for none.
    pub nats: Option<String>,
    /// Files and directories of the caller that are read.
    pub reads: Vec<String>,
    /// Files and directories of the caller that are written.
    pub writes: Vec<String>,
    /// The one of them, in the cache directory, that an image is kept in which nobody asked for; `null` for none.
    pub kept_archive: Option<String>,
    /// True when the image goes into the local Docker.
    pub docker_load: bool,
    /// True when build steps share the runner's network.
    pub host_network: bool,
    /// The network of build steps: `default`, `none` or `host`.
    pub step_network: String,
    /// Extra lines of /etc/hosts of build steps, `name=ip`.
    pub add_hosts: Vec<String>,
    /// Providers that may lease the runner, in order.
    pub providers: Vec<String>,
    /// How far the runner is apart from this machine.
    pub isolation: Isolation,
    /// For how long a runner is kept whose build failed, in seconds; 0 when it is not.
    pub keeps_failed_seconds: u64,
    /// What it can cost.
    pub money: Money,
}

/// What is known of a build besides its request and its solve.
#[derive(Debug, Clone)]
pub(super) struct Circumstances<'a> {
    pub(super) root: &'a Path,
    pub(super) dockerfile: &'a [u8],
    pub(super) secrets: &'a [SecretSpec],
    pub(super) ssh: &'a [SshAgent],
    pub(super) provider: &'a str,
    pub(super) isolation: Isolation,
    pub(super) money: Money,
}

impl Reach {
    /// What `request` makes reachable when it is solved as `solve`.
    pub(super) fn of(request: &BuildRequest, solve: &Solve, known: &Circumstances<'_>) -> Self {
        let pulled = pulled_images(solve, known.dockerfile);
        let fetched = dockerfile::fetches(known.dockerfile);
        let pushed = solve.pushed_references();
        let kept = solve.exports.iter().find(|export| matches!(export.purpose, Purpose::Kept | Purpose::DockerLoad));
        let (host_network, step_network) = match solve.network {
            Network::Default => (false, "default"),
            Network::None => (false, "none"),
            Network::Host => (true, "host"),
        };
        let said: Vec<String> =
            request.candidates.iter().map(|candidate| candidate.provider.name().to_owned()).collect();
        Self {
            root: shown(known.root),
            actor: request.actor,
            secrets: known.secrets.iter().map(secret_line).collect(),
            ssh: known.ssh.iter().map(ToString::to_string).collect(),
            pushes_to: sorted(pushed.iter().map(|reference| reference.host().to_owned())),
            push_repositories: sorted(pushed.iter().map(Reference::name)),
            pulls_from: pulled.hosts().into_iter().collect(),
            pull_repositories: sorted(pulled.known.iter().map(Reference::name)),
            pulls_unknown: sorted(pulled.unknown.into_iter()),
            fetches: fetched.known.into_iter().collect(),
            fetches_unknown: sorted(fetched.unknown.into_iter()),
            proxies: sorted(solve.build_args.iter().filter_map(proxy_line)),
            insecure_registries: sorted(solve.insecure_registries.iter().cloned()),
            nats: request.nats.as_ref().map(ToString::to_string),
            reads: reads(request, solve).into_iter().map(|path| shown(path)).collect(),
            writes: writes(request, solve).into_iter().map(|path| shown(path)).collect(),
            kept_archive: kept.and_then(|export| export.spec.dest.as_deref()).map(shown),
            docker_load: request.load,
            host_network,
            step_network: step_network.to_owned(),
            add_hosts: sorted(solve.add_hosts.iter().cloned()),
            providers: if said.is_empty() { vec![known.provider.to_owned()] } else { said },
            isolation: known.isolation,
            keeps_failed_seconds: request.keep_failed.map_or(0, |duration| duration.as_secs()),
            money: known.money.clone(),
        }
    }

    /// Every registry this build talks to. No login for another one may leave the caller's machine.
    pub fn registries(&self) -> BTreeSet<&str> {
        self.pushes_to.iter().chain(&self.pulls_from).map(String::as_str).collect()
    }
}

fn reads<'a>(request: &'a BuildRequest, solve: &'a Solve) -> Vec<&'a PathBuf> {
    let extra = solve.contexts.iter().filter_map(|context| match &context.source {
        ContextSource::Directory(path) => Some(path),
        ContextSource::Image(_) => None,
    });
    let outside = request.dockerfile.iter().filter(|file| !file.starts_with(&request.context));
    let all = std::iter::once(&request.context).chain(extra).chain(outside);
    all.chain(&request.directives_file).chain(&request.imported_files).chain(&request.tiers_file).collect()
}

fn writes<'a>(request: &'a BuildRequest, solve: &'a Solve) -> Vec<&'a PathBuf> {
    let files = [&request.metadata_file, &request.iidfile, &request.events_file].into_iter().flatten();
    solve.exports.iter().filter_map(|export| export.spec.dest.as_ref()).chain(files).collect()
}

/// Everything that is pulled: base images, named contexts, the frontend and the SBOM's generator, as far as the Dockerfile's
/// text says.
pub(super) fn pulled_images(solve: &Solve, dockerfile: &[u8]) -> Images {
    let names: Vec<&str> = solve.contexts.iter().map(|context| context.name.as_str()).collect();
    let mut images = dockerfile::images(dockerfile, &solve.build_args, &names);
    images.known.extend(solve.contexts.iter().filter_map(|context| match &context.source {
        ContextSource::Image(reference) => Some(reference.clone()),
        ContextSource::Directory(_) => None,
    }));
    if let Some(generator) = solve.attestations.generator(&solve.build_args) {
        images.add(&generator);
    }
    images
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Build arguments that BuildKit makes proxies of for every step, in any case (BuildKit 0.33, `dockerfile2llb`).
const PROXY_ARGS: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// A proxy's build argument, and where it leads: never the login.
fn proxy_line(arg: &KeyValue) -> Option<String> {
    let name = PROXY_ARGS.iter().find(|name| arg.key.eq_ignore_ascii_case(name))?;
    let (scheme, rest) = match arg.value.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), arg.value.as_str()),
    };
    let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
    Some(format!("{name} ({scheme}{address})"))
}

/// A secret's id and where its value comes from; never the value.
fn secret_line(secret: &SecretSpec) -> String {
    format!("{} ({})", secret.id, secret.source_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_without_its_login() {
        for (key, value, line) in [
            ("HTTP_PROXY", "http://p.example:3128", Some("HTTP_PROXY (http://p.example:3128)")),
            ("https_proxy", "http://ann:h@sh@p.example", Some("HTTPS_PROXY (http://p.example)")),
            ("All_Proxy", "ann:hush@p.example:1", Some("ALL_PROXY (p.example:1)")),
            ("no_proxy", "*", Some("NO_PROXY (*)")),
            ("PROXY", "http://p.example", None),
        ] {
            let arg = KeyValue { key: key.to_owned(), value: value.to_owned() };
            assert_eq!(proxy_line(&arg).as_deref(), line);
        }
    }
}
