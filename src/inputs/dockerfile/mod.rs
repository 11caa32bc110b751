//! Reads what matters to us out of a Dockerfile before BuildKit parses it properly: which frontend it asks for, and
//! which registries its images come from. It judges nothing; what cannot be read is left out, for BuildKit will say so.

mod directives;
mod expand;
mod images;
mod instructions;

pub use directives::{BUILTIN_FRONTEND, is_builtin_frontend, syntax};
pub use images::{SYNTAX_ARG, image_hosts};
