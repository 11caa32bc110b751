//! [`Capabilities`]: what a provider declares about itself.

use crate::lease::Isolation;

/// What is visible in a provider's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only what this user of this machine made: a dead holder is proof enough that nobody needs it.
    ThisUser,
    /// Whatever the credential can see: only labels prove whose it is.
    Credential,
}

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
    /// What is visible in its list.
    pub scope: Scope,
    /// True when its runners can outlive the process that leased them, so that one may be kept after a failure.
    pub can_keep: bool,
}
