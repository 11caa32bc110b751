//! What the user sees: progress and results.

pub mod envelope;

pub use envelope::Envelope;
