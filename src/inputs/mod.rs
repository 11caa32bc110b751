//! What the user gave, turned into values; no decisions.
pub mod build_arg;
pub mod context;
pub mod git;
pub mod language;
pub mod nickel;
pub mod output;
pub mod secret;
pub mod settings;
pub mod spec;
pub mod workspace;
