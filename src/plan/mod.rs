//! Decides, from values alone, what will be done: the size with its reason, and what is built. Pure.

pub mod against;
mod cache_rules;
mod export;
pub mod frontend;
mod history;
mod language;
mod money;
mod need;
mod origins;
mod plan;
pub mod policy;
mod reach;
mod size;
mod solve;
mod tier;

pub use cache_rules::{Access, CacheScope};
pub use export::{Export, Purpose};
pub use language::{LanguageSize, Languages, OTHER};
pub use money::{Amount, Money, Price};
pub use plan::{BuildKind, ContextSize, Found, Plan, check_attestable, plan};
pub use reach::Reach;
pub use size::{SizeRequest, Sizing, SizingSource, check_size, decide};
pub use solve::{Network, NoCache, Solve};
pub use tier::{GB, Tier, Tiers};
