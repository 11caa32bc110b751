//! [`ComputeProviderRef`]: a provider with its options.

use serde::{Deserialize, Serialize};

/// A compute provider with its options. Travels as `{ kind, options }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", content = "options", rename_all = "snake_case", deny_unknown_fields)]
pub enum ComputeProviderRef {
    /// This machine.
    Local(LocalOptions),
    /// A container of this machine's Docker.
    DockerLocal(DockerLocalOptions),
    /// A server of Hetzner Cloud.
    Hcloud(HcloudOptions),
    /// A guest of a Proxmox cluster.
    Proxmox(ProxmoxOptions),
    /// Whatever a vm-pool gives.
    VmPool(VmPoolOptions),
}

/// There are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalOptions {}

/// Options of `'docker_local`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerLocalOptions {
    /// The image that the container is started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Options of `'hcloud`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HcloudOptions {
    /// A location by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The tier of this candidate, where it is not the size that was decided: one that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_type: Option<String>,
    /// The image or snapshot that the machine is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Options of `'proxmox`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxmoxOptions {
    /// The tier of this candidate, where it is not the size that was decided: one that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_type: Option<String>,
    /// The node that the machine is made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The template that is cloned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The resource pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Options of `'vm_pool`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmPoolOptions {
    /// The tier of this candidate, where it is not the size that was decided: one that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_type: Option<String>,
    /// The provider that the pool is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl ComputeProviderRef {
    /// The options that are said, with their values for a reader.
    pub fn options(&self) -> Vec<(String, String)> {
        let said = |(name, value): (&str, &Option<String>)| Some((name.to_owned(), value.clone()?));
        let options: &[(&str, &Option<String>)] = match self {
            Self::Local(LocalOptions {}) => &[],
            Self::DockerLocal(DockerLocalOptions { image }) => &[("image", image)],
            Self::Hcloud(HcloudOptions { location, runner_type, image }) => {
                &[("location", location), ("runner_type", runner_type), ("image", image)]
            }
            Self::Proxmox(ProxmoxOptions { runner_type, node, template, pool }) => {
                &[("runner_type", runner_type), ("node", node), ("template", template), ("pool", pool)]
            }
            Self::VmPool(VmPoolOptions { runner_type, provider }) => {
                &[("runner_type", runner_type), ("provider", provider)]
            }
        };
        options.iter().copied().filter_map(said).collect()
    }

    /// The provider's name, as flags write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::DockerLocal(_) => "docker_local",
            Self::Hcloud(_) => "hcloud",
            Self::Proxmox(_) => "proxmox",
            Self::VmPool(_) => "vm_pool",
        }
    }
}
