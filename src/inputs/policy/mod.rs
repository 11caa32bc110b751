//! The operator's policy: what builds on this machine may do. It stands outside of any repository.
//!
//! The contract `schemas/policy.ncl` checks every value; these types give the values a shape, and remember the line of each.
//! Whether a build keeps the policy is decided where builds are planned.

mod binding;
mod caps;
mod policies;
mod policy;
mod policy_path;
mod rule;

pub use binding::{SecretBindingRule, SshBindingRule};
pub use caps::{Caps, MinimumIsolation, Money};
pub use policies::{Policies, PolicyFile};
pub use policy::Policy;
pub use policy_path::{FILE_NAME, PolicyPath};
pub use rule::Rule;

#[cfg(test)]
pub(crate) use policies::policies;
