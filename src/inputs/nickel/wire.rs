//! What the parent and the child say to each other: one request, then answers, one JSON value per line.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checked::Checked;
use super::contract::Contract;
use super::limits::Limits;
use super::writers::Writers;

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
    /// On disk. Imports are looked for beside the importing file; only files inside of `directory` can be imported.
    File {
        /// The directory that the document, and everything it imports, has to be in.
        directory: OsString,
        /// The file's path in it: `.build-spec.ncl`, `ci/directives.ncl`.
        name: OsString,
        /// The directory as messages show it: empty, or ending in `/`.
        shown: String,
        /// Who may be able to write to it, and to what it imports.
        writers: Writers,
    },
}

impl Document {
    /// An embedded document.
    pub fn embedded(name: &str, contract: Contract) -> Self {
        Self { source: Source::Embedded(name.to_owned()), contract }
    }

    /// The file `name` in or below `directory`, which messages call `shown`.
    pub fn file(directory: &Path, name: impl Into<OsString>, shown: &str, contract: Contract) -> Self {
        let source = Source::File {
            directory: directory.as_os_str().to_owned(),
            name: name.into(),
            shown: shown.to_owned(),
            writers: Writers::Anybody,
        };
        Self { source, contract }
    }

    /// Refuses a file that others than `only` may write to, and such imports of it.
    #[must_use]
    pub fn written_by(mut self, only: Writers) -> Self {
        if let Source::File { writers, .. } = &mut self.source {
            *writers = only;
        }
        self
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

/// What the child says, document by document. When it dies, it died of the last one that it was busy with.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The document of this number is being worked on.
    Busy(usize),
    /// What became of the document of this number.
    Checked(usize, Checked),
    /// There is nothing more to come.
    Done,
}
