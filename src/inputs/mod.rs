//! What the user gave, turned into values; no decisions.
pub mod build_arg;
pub mod context;
pub mod dockerfile;
pub mod git;
pub mod language;
pub mod nickel;
pub mod output;
pub mod project_owner;
pub mod request;
pub mod secret;
pub mod secret_presence;
pub mod settings;
pub mod spec;
pub mod workspace;
