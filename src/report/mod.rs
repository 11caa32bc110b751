//! What the user sees: progress and results.

mod convert;
pub mod envelope;
pub mod failure;
pub mod log_file;
pub mod plan_document;
pub mod progress;
pub mod runners;
pub mod schema;
pub(crate) mod style;

pub use crate::units;
pub use envelope::Envelope;
pub use plan_document::PlanDocument;
pub use runners::RunnersDocument;
