//! [`Capabilities`]: what a provider declares about itself.

use crate::lease::Isolation;

/// What a provider declares about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Architectures it can lease, as OCI names them.
    pub architectures: Vec<String>,
    /// How far its runners are apart.
    pub isolation: Isolation,
    /// Whether a tier's memory is enforced.
    pub enforces_memory: bool,
    /// True when runners stand on a machine that others use too.
    pub shared_machine: bool,
}
