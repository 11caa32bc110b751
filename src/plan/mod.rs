//! Decides, from values alone, what will be done: the size with its reason, and what is built. Pure.

mod tier;

pub use tier::{GB, Tier, Tiers};
