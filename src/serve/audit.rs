//! [`Audit`]: who asked the pool for what, and what became of it: a JSON document a line, in a file that is private to its
//! owner. Never a token, a key, or what a provider said.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::error::{Context as _, ErrorKind, Result};

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct AuditLine<'a> {
    /// When, RFC 3339 in UTC.
    pub(super) at: String,
    /// Whose token it was; `null` for none that is known.
    pub(super) token_id: Option<&'a str>,
    /// What the operator calls that one.
    pub(super) token: Option<&'a str>,
    /// What was asked for: `create`, `renew`.
    pub(super) action: &'a str,
    /// The lease that it was about.
    pub(super) lease_id: Option<&'a str>,
    /// What is built with it.
    pub(super) workspace: Option<&'a str>,
    /// The tier.
    pub(super) runner_type: Option<&'a str>,
    /// The HTTP status of the answer.
    pub(super) status: u16,
    /// `ok`, or the refusal's code.
    pub(super) outcome: &'a str,
    /// Where it came from.
    pub(super) from: String,
}

/// The file.
#[derive(Debug)]
pub(super) struct Audit(Mutex<File>);

impl Audit {
    /// Opens the file; lines are added at its end, so that it may be moved away or cut at any time.
    ///
    /// # Errors
    /// [`ErrorKind::State`] when it cannot be written.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.context(ErrorKind::State, || format!("cannot write the audit log `{}`", path.display()))?;
        Ok(Self(Mutex::new(file)))
    }

    /// Adds a line. A full disk does not end leases.
    pub(super) fn add(&self, line: &AuditLine<'_>) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        if let Err(error) = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text) {
            tracing::error!(%error, "the audit log");
        }
    }
}
