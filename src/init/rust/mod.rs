//! What the files of a Rust project say: which programs it makes, and what building them needs. Nothing is run.

mod base_image;
mod binaries;
mod cargo_config;
mod manifest;
mod members;
mod native;
mod rust_project;

pub(super) use rust_project::RustProject;
