//! [`Reach`]: what a build can reach, for whoever approves it.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Network, Solve};
use crate::inputs::build_arg::ContextSource;
use crate::inputs::dockerfile;
use crate::inputs::request::BuildRequest;
use crate::inputs::secret::{SecretSource, SecretSpec};

/// What the build can reach. Paths are written as text: a name that is not UTF-8 is shown with replacement characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Reach {
    /// Ids of the secrets that steps may mount, each with where it comes from.
    pub secrets: Vec<String>,
    /// Registries that are pushed to.
    pub pushes_to: Vec<String>,
    /// Registries that base images, named contexts and the Dockerfile's own frontend are pulled from, as far as the
    /// Dockerfile's text says.
    pub pulls_from: Vec<String>,
    /// The NATS servers that events go to, without logins; `null` for none.
    pub nats: Option<String>,
    /// Files and directories of the caller that are read.
    pub reads: Vec<String>,
    /// Files and directories of the caller that are written.
    pub writes: Vec<String>,
    /// True when build steps share the runner's network.
    pub host_network: bool,
}

impl Reach {
    /// What `request` makes reachable when it is solved as `solve`.
    pub fn of(request: &BuildRequest, solve: &Solve, dockerfile: &[u8]) -> Self {
        let extra = solve.contexts.iter().filter_map(|context| match &context.source {
            ContextSource::Directory(path) => Some(path),
            ContextSource::Image(_) => None,
        });
        let outside = request.dockerfile.iter().filter(|file| !file.starts_with(&request.context));
        let files = [&request.metadata_file, &request.iidfile, &request.events_file].into_iter().flatten();
        Self {
            secrets: request.secrets.iter().map(secret_line).collect(),
            pushes_to: pushed_hosts(solve).into_iter().collect(),
            pulls_from: pulled_hosts(solve, dockerfile).into_iter().collect(),
            nats: request.nats.as_ref().map(ToString::to_string),
            reads: std::iter::once(&request.context)
                .chain(extra)
                .chain(outside)
                .chain(&request.tiers_file)
                .map(|path| shown(path))
                .collect(),
            writes: solve
                .exports
                .iter()
                .filter_map(|export| export.spec.dest.as_ref())
                .chain(files)
                .map(|path| shown(path))
                .collect(),
            host_network: solve.network == Network::Host,
        }
    }

    /// Every registry this build talks to. No login for another one may leave the caller's machine.
    pub fn registries(&self) -> BTreeSet<&str> {
        self.pushes_to.iter().chain(&self.pulls_from).map(String::as_str).collect()
    }
}

fn pushed_hosts(solve: &Solve) -> BTreeSet<String> {
    solve.pushed_references().iter().map(|reference| reference.host().to_owned()).collect()
}

fn pulled_hosts(solve: &Solve, dockerfile: &[u8]) -> BTreeSet<String> {
    let contexts = solve.contexts.iter().filter_map(|context| match &context.source {
        ContextSource::Image(reference) => Some(reference.host().to_owned()),
        ContextSource::Directory(_) => None,
    });
    contexts.chain(dockerfile::image_hosts(dockerfile, &solve.build_args)).collect()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A secret's id and where its value comes from; never the value.
fn secret_line(secret: &SecretSpec) -> String {
    match &secret.source {
        SecretSource::File(path) => format!("{} (file {})", secret.id, path.display()),
        SecretSource::Env(name) => format!("{} (variable {name})", secret.id),
        SecretSource::Bound => format!("{} (variable {} or {})", secret.id, secret.id.variable(), secret.id),
    }
}
