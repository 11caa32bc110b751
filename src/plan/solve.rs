//! [`Solve`]: what BuildKit is asked to do, without any path of a runner.

use super::Export;
use crate::inputs::attestation::Attestations;
use crate::inputs::build_arg::{BuildContext, KeyValue};
use crate::inputs::output::OutputKind;
use crate::registry::Reference;

/// Which steps may not come from the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// Any step may.
    #[default]
    Off,
    /// None may.
    All,
    /// Those of the named stages may not.
    Stages(Vec<String>),
}

/// The network of build steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// BuildKit's default on the runner.
    #[default]
    Default,
    /// None.
    None,
    /// The runner's own.
    Host,
}

/// What BuildKit is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solve {
    /// The Dockerfile's file name, which stands in BuildKit's messages.
    pub dockerfile_name: String,
    /// True when a frontend is asked for that BuildKit's built-in one stands for: see [`super::frontend`].
    pub force_builtin_frontend: bool,
    /// The stage to build.
    pub target: Option<String>,
    /// Build arguments.
    pub build_args: Vec<KeyValue>,
    /// Labels of the image.
    pub labels: Vec<KeyValue>,
    /// The platform, where one was named.
    pub platform: Option<String>,
    /// Which steps may not come from the cache.
    pub no_cache: NoCache,
    /// Ask registries for the newest base images.
    pub pull: bool,
    /// Extra lines of /etc/hosts, `name=ip`.
    pub add_hosts: Vec<String>,
    /// The network of build steps.
    pub network: Network,
    /// Size of /dev/shm in bytes.
    pub shm_size: Option<u64>,
    /// Named contexts.
    pub contexts: Vec<BuildContext>,
    /// Ids of the secrets that steps may mount.
    pub secret_ids: Vec<String>,
    /// Ids of the SSH agents that steps may mount.
    pub ssh_ids: Vec<String>,
    /// What is attested about the image.
    pub attestations: Attestations,
    /// Where the results go.
    pub exports: Vec<Export>,
    /// Registries that are spoken to over plain HTTP.
    pub insecure_registries: Vec<String>,
    /// The registries, or parts of them, that images may be pulled from; `None` where the policy does not say. BuildKit is told
    /// it, too: what a base image or a foreign frontend asks for is only known to it.
    pub pull_from: Option<Vec<String>>,
}

impl Solve {
    /// Everything that is pushed.
    pub fn pushed_references(&self) -> Vec<Reference> {
        self.exports.iter().flat_map(Export::pushed_references).collect()
    }

    /// How many of the results are images.
    pub fn images(&self) -> usize {
        let is_image =
            |export: &&Export| matches!(export.spec.kind, OutputKind::Image | OutputKind::Docker | OutputKind::Oci);
        self.exports.iter().filter(is_image).count()
    }
}
