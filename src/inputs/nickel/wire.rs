//! What the parent and the child say to each other: one request, then answers, one JSON value per line.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::contract::Contract;
use super::limits::Limits;

/// One Nickel document to evaluate against its contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Where its text is.
    pub source: Source,
    /// What its value has to keep.
    pub contract: Contract,
}

/// Where a document's text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Among the embedded files, `defaults/tiers.ncl` say.
    Embedded(String),
    /// On disk. Only files inside of `directory` can be imported.
    File {
        /// The directory that the document, and everything it imports, has to be in.
        directory: OsString,
        /// The file's name in it.
        name: OsString,
        /// The directory as messages show it: empty, or ending in `/`.
        shown: String,
    },
}

impl Document {
    /// An embedded document.
    pub fn embedded(name: &str, contract: Contract) -> Self {
        Self { source: Source::Embedded(name.to_owned()), contract }
    }

    /// The file `name` in `directory`, which messages call `shown`.
    pub fn file(directory: &Path, name: impl Into<OsString>, shown: &str, contract: Contract) -> Self {
        let source =
            Source::File { directory: directory.as_os_str().to_owned(), name: name.into(), shown: shown.to_owned() };
        Self { source, contract }
    }

    /// The document as messages name it.
    pub fn shown(&self) -> String {
        match &self.source {
            Source::Embedded(name) => format!("lian/{name}"),
            Source::File { name, shown, .. } => format!("{shown}{}", name.to_string_lossy()),
        }
    }
}

/// What the parent asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) documents: Vec<Document>,
    pub(super) limits: Limits,
}

/// What the child says. The last line is the answer; the lines before it say what it was busy with if it dies.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The document of this number is being worked on.
    Busy(usize),
    /// All documents' values, in the order of the request.
    Values(Vec<serde_json::Value>),
    /// A document is not valid.
    Invalid(Invalid),
}

/// Why a document is not valid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Invalid {
    /// The first line completes "`x` …": "is not valid: …", "cannot be read: …". More lines show the place.
    pub(super) message: String,
    /// What to do.
    pub(super) hints: Vec<String>,
}
