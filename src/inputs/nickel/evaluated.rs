//! [`Evaluated`]: what a valid document says.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::place::Places;

/// The value of a document that keeps its contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The value, with the defaults of its contract.
    pub value: serde_json::Value,
    /// Where each part of it stands. A default has its place in `lian/…`.
    pub places: Places,
    /// What its author should know, though it is valid.
    pub warnings: Vec<String>,
    /// The files on disk that it imports, directly or not, absolute and without links.
    pub imports: Vec<OsString>,
}
