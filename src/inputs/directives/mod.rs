//! What a caller says in Nickel: BuildDirectives.
//!
//! The contracts in `schemas/build_directives.ncl` check every value before it arrives here; these types only give the
//! values a shape, field by field the same (a test holds the two together). Nothing here decides: what directives mean
//! for a build is said where they meet flags and environment.

mod artifact;
mod build_directives;
mod cache_policy;
mod compute;
pub mod image_name;
pub mod inner_path;
mod load;
mod nats_events;
mod placeholder;
mod project_root;
mod registry;
mod runner_override;
pub mod select;

pub use artifact::{BuildArtifact, BuildKindTag, NetworkTag, Output, OutputTag, Provenance};
pub use build_directives::{BuildDirectives, DirectivesFile};
pub use cache_policy::{CachePolicy, Disposition, Namespaces};
pub use compute::{ComputeProviderRef, DockerLocalOptions, HcloudOptions, LocalOptions, ProxmoxOptions, VmPoolOptions};
pub use load::Directives;
pub use nats_events::NatsEventConfig;
pub use project_root::ProjectRoot;
pub use registry::{RegistryKind, RegistryOptions, RegistryProviderRef};
pub use runner_override::RunnerOverride;
