//! [`RegistryProviderRef`]: the registry that caches are kept in.

use serde::{Deserialize, Serialize};

/// The registry that caches are kept in. Travels as `{ kind, options }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryProviderRef {
    /// What sort of registry it is.
    pub kind: RegistryKind,
    /// Which one, and where in it.
    pub options: RegistryOptions,
}

/// Sorts of registries: each maps a cache's logical name in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistryKind {
    /// zot.
    Zot,
    /// Harbor.
    Harbor,
    /// GitHub's container registry.
    Ghcr,
    /// Docker Hub.
    Dockerhub,
    /// Any registry that keeps the distribution specification.
    Oci,
}

impl RegistryKind {
    /// The word in directives.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Zot => "zot",
            Self::Harbor => "harbor",
            Self::Ghcr => "ghcr",
            Self::Dockerhub => "dockerhub",
            Self::Oci => "oci",
        }
    }
}

/// Which registry, and where in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryOptions {
    /// `HOST` or `HOST:PORT`; `None` for the kind's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where in the registry caches are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}
