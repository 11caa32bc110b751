//! What the user sees: progress and results.

pub mod check;
pub mod command_document;
mod convert;
pub mod envelope;
pub mod failure;
pub mod init;
pub mod log_file;
pub mod plan_document;
pub mod progress;
pub mod runners;
pub mod schema;
pub mod schema_export;
pub mod serve_token;
pub(crate) mod style;

pub use crate::units;
pub use command_document::{CommandBody, CommandDocument};
pub use envelope::Envelope;
pub use plan_document::PlanDocument;
