//! [`BuildkitConfig`]: what a caller may say about the daemon, and the `buildkitd.toml` that comes of it.

use super::toml::Toml;
use crate::lease::{Endpoint, MemoryLimit};

/// What a caller may say about the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildkitConfig {
    /// Registries that need more than HTTPS with the system's CAs.
    pub registries: Vec<RegistryConfig>,
    /// Whether a build may ask for the runner's own network.
    pub host_network: bool,
}

/// How one registry is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    /// The host as image names write it, with its port: `localhost:5000`.
    pub host: String,
    /// Plain HTTP.
    pub http: bool,
    /// HTTPS without checking the certificate.
    pub insecure: bool,
    /// Mirrors asked first, `host[:port][/path]`.
    pub mirrors: Vec<String>,
    /// Extra CA certificates, each a PEM text.
    pub ca_pem: Vec<String>,
}

/// The daemon's configuration file, and files it refers to, by their names in the runner's run directory.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) toml: String,
    pub(super) files: Vec<(String, String)>,
}

/// Renders `buildkitd.toml` for this runner. `runtime` is the OCI runtime's path there.
pub(super) fn render(endpoint: &Endpoint, config: &BuildkitConfig, runtime: &str) -> Rendered {
    let run = &endpoint.paths.run;
    let mut files = Vec::new();
    let mut toml = Toml::default();
    toml.text("root", &endpoint.paths.buildkit_root);
    // Nothing of the machine's own configuration may reach a build.
    toml.text("provenanceEnvDir", &format!("{run}/provenance.d"));
    if config.host_network {
        toml.list("insecure-entitlements", &["network.host"]);
    }
    toml.table(&["grpc"]);
    toml.list("address", &[super::address(endpoint)]);
    toml.table(&["otel"]);
    toml.text("socketPath", &format!("{run}/otel.sock"));
    toml.table(&["cdi"]);
    toml.flag("disabled", true);
    toml.table(&["worker", "containerd"]);
    toml.flag("enabled", false);
    toml.table(&["worker", "oci"]);
    toml.flag("enabled", true);
    toml.text("snapshotter", "auto");
    toml.text("binary", runtime);
    toml.text("networkMode", "host");
    toml.flag("rootless", endpoint.rootless);
    toml.flag("gc", endpoint.cache_cap_bytes.is_some());
    if let Some(bytes) = endpoint.cache_cap_bytes {
        // A number is bytes; the reserve must not exceed the cap.
        toml.number("reservedSpace", bytes / 2);
        toml.number("maxUsedSpace", bytes);
    }
    if let MemoryLimit::Cgroup { parent, .. } = &endpoint.memory {
        toml.text("defaultCgroupParent", parent);
    }
    for (index, registry) in config.registries.iter().enumerate() {
        toml.table(&["registry", &registry.host]);
        if registry.http {
            toml.flag("http", true);
        }
        if registry.insecure {
            toml.flag("insecure", true);
        }
        if !registry.mirrors.is_empty() {
            toml.list("mirrors", &registry.mirrors);
        }
        let mut paths = Vec::new();
        for (number, pem) in registry.ca_pem.iter().enumerate() {
            let name = format!("ca-{index}-{number}.pem");
            paths.push(format!("{run}/{name}"));
            files.push((name, pem.clone()));
        }
        if !paths.is_empty() {
            toml.list("ca", &paths);
        }
    }
    Rendered { toml: toml.into_string(), files }
}
