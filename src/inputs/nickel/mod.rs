//! Nickel evaluation, behind one function.
//!
//! Nickel is not a sandbox: an import reads any file, and a recursion without end spins or eats memory until the
//! process aborts. So evaluation happens in a child of our own (`lian-build __eval`) with limits on memory, time and
//! open files, before anything is leased; and the child reads files only through the loader, which refuses what lies outside of the
//! project of the document *before* opening it. Nothing outside of this module may touch Nickel.

mod checked;
mod child;
mod contract;
mod cut;
mod diagnose;
mod diagnostic;
mod embed;
mod evaluate;
mod evaluated;
mod evaluator;
mod limits;
mod loader;
mod partial;
mod place;
mod rename;
mod round;
mod rounds;
mod suggest;
mod survey;
mod unclosed;
mod wire;
mod writers;

pub use checked::Checked;
pub use child::child_main;
pub use contract::Contract;
pub use diagnostic::{Diagnostic, Rule};
pub use embed::files as embedded_files;
pub use evaluated::Evaluated;
pub use evaluator::Evaluator;
pub use limits::Limits;
pub use partial::Partial;
pub use place::{Place, Places, element_path, field_path};
pub use wire::{Document, Source};
pub use writers::Writers;

/// The hidden subcommand in which the child runs: `lian-build __eval`.
pub const SUBCOMMAND: &str = "__eval";
