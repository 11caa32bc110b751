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
    /// Architectures it can lease, as OCI names them; the first is what it leases where none is asked for.
    pub architectures: Vec<String>,
    /// How far its runners are apart.
    pub isolation: Isolation,
    /// What messages call the machine that its runners stand on, where that one is there anyway and used by others too;
    /// `None` where a runner is a machine of its own, which is rented.
    pub shared_machine: Option<&'static str>,
    /// What is visible in its list.
    pub scope: Scope,
    /// True when its runners can outlive the process that leased them, so that one may be kept after a failure.
    pub can_keep: bool,
}
