//! What the user gave, turned into values; no decisions.
pub mod context;
pub mod nickel;
pub mod settings;
pub mod spec;
