//! Decides, from values alone, what will be done: the size with its reason, and what is built. Pure.

mod export;
mod frontend;
mod history;
mod language;
mod need;
mod plan;
mod reach;
mod size;
mod solve;
mod tier;

pub use export::{Export, Purpose};
pub use language::{LanguageSize, Languages, OTHER};
pub use plan::{BuildKind, ContextSize, Found, Plan, plan};
pub use reach::Reach;
pub use size::{SizeRequest, Sizing, SizingSource, decide};
pub use solve::{Network, NoCache, Solve};
pub use tier::{GB, Tier, Tiers};
