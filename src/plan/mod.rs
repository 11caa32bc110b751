//! Decides, from values alone, what will be done: the size with its reason, and what is built. Pure.

mod history;
mod language;
mod need;
mod size;
mod tier;

pub use language::{LanguageSize, Languages, OTHER};
pub use size::{SizeRequest, Sizing, SizingSource, decide};
pub use tier::{GB, Tier, Tiers};
