//! Reads what matters to us out of a Dockerfile before BuildKit parses it properly: which frontend it asks for, and
//! which images it names. It judges nothing; an image whose name cannot be told is kept as unknown.

mod directives;
mod expand;
mod fetches;
mod flags;
mod heredoc;
mod images;
mod instructions;

pub use directives::{BUILTIN_FRONTEND, is_builtin_frontend, syntax};
pub use fetches::{Fetches, fetches};
pub use images::{Images, SYNTAX_ARG, images};
