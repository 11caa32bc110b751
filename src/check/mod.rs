//! What `check` looks at: which files, by which contracts, and what can be told of them without any machine.
//!
//! It reads and evaluates. It leases nothing, asks no network and writes nothing.

mod built;
mod directives;
mod file;
mod kind;
mod meaning;
mod part;
mod target;

pub use file::{CheckedFile, check};
pub use kind::Kind;
pub use target::{Target, named, of_the_project, policies_of_this_machine};
