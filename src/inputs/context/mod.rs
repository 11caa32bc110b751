//! The build context: which directory, which Dockerfile, what is ignored, and what is therefore sent.
//!
//! Reads only; nothing here decides what is built or talks to a runner. A link is never followed out of the context.

mod contents;
mod dockerfile;
pub mod dockerignore;
mod load;
mod root;
mod size;
mod walk;

pub use contents::{Context, Entry, EntryKind, Totals, Traits};
pub use dockerfile::DockerfileSource;
pub use dockerignore::IgnoreFile;
pub use load::{Loaded, load, load_named};
pub use root::Root;
pub use size::{LARGE_CONTEXT_BYTES, Share, large_context_warning};
