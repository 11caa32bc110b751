//! Nickel evaluation, behind one function.
//!
//! Nickel is not a sandbox: an import reads any file, and a recursion without end spins or eats memory until the
//! process aborts. So evaluation happens in a child of our own (`lian-build __eval`) with limits on memory, time and
//! open files, before anything is leased; and the child reads files only through the loader, which refuses what lies outside of the
//! document's directory *before* opening it. Nothing outside of this module may touch Nickel.

mod child;
mod contract;
mod diagnose;
mod embed;
mod evaluate;
mod evaluator;
mod limits;
mod loader;
mod wire;

pub use child::child_main;
pub use contract::Contract;
pub use evaluator::Evaluator;
pub use limits::Limits;
pub use wire::{Document, Source};

/// The hidden subcommand in which the child runs: `lian-build __eval`.
pub const SUBCOMMAND: &str = "__eval";
