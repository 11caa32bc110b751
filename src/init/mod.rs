//! `init`: looks at a project and writes what it needs to be built here.
//!
//! It asks nothing, runs nothing of the project, goes to no network and replaces nothing: a file that is there stays as it
//! is. Looking and wording is all that happens here; [`crate::new_files`] writes.

mod dockerfile;
mod image_name;
mod prepare;
mod project;
mod rust;
mod text;

pub use prepare::{Prepared, Wanted, prepare};
