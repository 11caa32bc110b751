//! [`BuildArtifact`]: what comes out of a build.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::inputs::attestation;
use crate::inputs::directives::inner_path;
use crate::solve::csv;

/// What comes out of a build. Paths count from the repository's root and stay inside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildArtifact {
    /// Names of the image, placeholders not filled in yet; `None` pushes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Vec<String>>,
    /// Whether named images are pushed.
    #[serde(default = "yes")]
    pub push: bool,
    /// The directory that is built; `None` for the one that the command names, else the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The Dockerfile, from the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// What it is built from; `None` for what is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<BuildKindTag>,
    /// The stage to build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(default)]
    pub build_args: BTreeMap<String, String>,
    /// Labels of the image.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The platform to build for; `None` for the runner's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Named contexts: a directory, or `docker-image://REFERENCE`.
    #[serde(default)]
    pub extra_contexts: BTreeMap<String, String>,
    /// Ids of secrets that steps may mount.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Ids of SSH agents that steps may mount.
    #[serde(default)]
    pub ssh: Vec<String>,
    /// Further results.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// The provenance attestation of a pushed image.
    #[serde(default)]
    pub provenance: Provenance,
    /// Whether a pushed image gets a list of its packages.
    #[serde(default)]
    pub sbom: bool,
    /// The network of build steps.
    #[serde(default)]
    pub network: NetworkTag,
    /// Always ask the registry for the newest base images.
    #[serde(default)]
    pub pull: bool,
    /// Do not use the build cache.
    #[serde(default)]
    pub no_cache: bool,
}

impl Default for BuildArtifact {
    fn default() -> Self {
        Self {
            image: None,
            push: true,
            context: None,
            dockerfile: None,
            kind: None,
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platform: None,
            extra_contexts: BTreeMap::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            outputs: Vec::new(),
            provenance: Provenance::None,
            sbom: false,
            network: NetworkTag::Default,
            pull: false,
            no_cache: false,
        }
    }
}

/// Where a result goes on the caller's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// What is written.
    #[serde(rename = "type")]
    pub kind: OutputTag,
    /// Where to, from the repository's root.
    pub dest: String,
    /// Further attributes of buildctl's `--output`.
    #[serde(default)]
    pub attrs: BTreeMap<String, String>,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputTag {
    /// The files.
    Local,
    /// The files as a tar.
    Tar,
    /// The image as an OCI archive.
    Oci,
    /// The image as a Docker archive.
    Docker,
}

impl OutputTag {
    /// The word that `--output` knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Tar => "tar",
            Self::Oci => "oci",
            Self::Docker => "docker",
        }
    }
}

impl Output {
    /// The output as `--output` writes it, its destination from `root` on, which has no links, and inside of it.
    ///
    /// # Errors
    /// `Usage` for a destination outside, and for what buildctl's syntax cannot carry.
    pub fn text(&self, root: &Path) -> Result<String> {
        let dest = inner_path::destination(root, &self.dest)?;
        // From the root, which messages need not name.
        let inner = dest.strip_prefix(root).unwrap_or(&dest);
        let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { inner };
        let dest = inner.to_str();
        let dest = dest.ok_or_else(|| Error::usage(format!("`{}` leads to a name that is not UTF-8", self.dest)))?;
        let head = [("type", self.kind.as_str()), ("dest", dest)];
        let attrs = self.attrs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        csv::encode_pairs(&head.into_iter().chain(attrs).collect::<Vec<_>>())
    }
}

/// What is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildKindTag {
    /// A Dockerfile.
    Dockerfile,
    /// A Rust workspace, in cargo-chef's stages.
    CargoChef,
    /// A Cloud Native Buildpacks builder.
    Cnb,
}

impl BuildKindTag {
    /// The word in directives.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dockerfile => "dockerfile",
            Self::CargoChef => "cargo_chef",
            Self::Cnb => "cnb",
        }
    }

    /// Only Dockerfiles are built so far.
    ///
    /// # Errors
    /// `Usage` for every other kind.
    pub fn check(self) -> Result<()> {
        if self == Self::Dockerfile {
            return Ok(());
        }
        Err(Error::usage(format!("the build kind `'{}` is not part of this version", self.as_str()))
            .hint("write a Dockerfile and say `kind = 'dockerfile`, or leave `kind` out"))
    }
}

/// How much a provenance attestation tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// There is none.
    #[default]
    None,
    /// No build arguments, no source map.
    Min,
    /// Everything.
    Max,
}

impl Provenance {
    /// What is attested then.
    pub fn attested(self) -> Option<attestation::Provenance> {
        let mode = match self {
            Self::None => return None,
            Self::Min => attestation::ProvenanceMode::Min,
            Self::Max => attestation::ProvenanceMode::Max,
        };
        Some(attestation::Provenance { mode, attrs: Vec::new() })
    }
}

/// The network of build steps, as far as directives may say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkTag {
    /// The runner's default.
    #[default]
    Default,
    /// None.
    None,
}

fn yes() -> bool {
    true
}
