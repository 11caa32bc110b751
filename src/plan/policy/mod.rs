//! What the operator's policy does to a build, decided before anything is leased. Pure: every rule is a function of values.
//!
//! A rule either leaves a build alone or makes a [`Finding`]. All findings are gathered into one [`PolicyVerdict`], so that
//! whoever is refused hears everything at once.

mod asked;
mod credentials;
mod events;
mod finding;
mod lease_caps;
mod money;
mod registries;
mod runner;
mod size;
mod tier_caps;
mod verdict;
mod who;

pub use finding::{Effect, Finding};
pub use lease_caps::LeaseCaps;
pub use money::MoneyCaps;
pub use tier_caps::TierCaps;
pub use verdict::PolicyVerdict;

pub(super) use asked::{Asked, check};
pub(super) use credentials::{Asker, bind_secrets, bind_ssh};
pub(super) use registries::allowed_pulls;
pub(super) use size::{cap_tier, cap_time};
pub(super) use who::Who;
