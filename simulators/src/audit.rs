//! [`Audit`]: every request that came in, and what was answered.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::call::Call;

/// Every request that came in, in order, and every e-mail that the cloud would have sent.
#[derive(Debug, Default)]
pub struct Audit {
    entries: Mutex<Vec<Entry>>,
    mails: Mutex<Vec<Mail>>,
}

/// An e-mail to the owner of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// When, by the simulator's clock.
    pub at: Timestamp,
    /// What it is about.
    pub subject: String,
}

/// One request and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// When it was read, by the simulator's clock.
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query; empty when there was none.
    pub query: String,
    /// The body, as text.
    pub body: String,
    /// What was answered; `None` while it is not, or when the connection was closed instead.
    pub answer: Option<Answer>,
    /// The faults that struck it, in words.
    pub faults: Vec<String>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

impl Entry {
    /// Whether it is this method on this path.
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The status of the answer; 0 when there was none.
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }
}

impl Audit {
    fn locked(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request came in; yields its place.
    pub(crate) fn begin(&self, at: Timestamp, call: &Call, faults: Vec<String>) -> usize {
        let mut entries = self.locked();
        entries.push(Entry {
            at,
            method: call.method.to_string(),
            path: call.path().to_owned(),
            query: call.query().to_owned(),
            body: String::from_utf8_lossy(&call.body).into_owned(),
            answer: None,
            faults,
        });
        entries.len() - 1
    }

    /// It was answered.
    pub(crate) fn end(&self, place: usize, status: u16, body: &[u8]) {
        if let Some(entry) = self.locked().get_mut(place) {
            entry.answer = Some(Answer { status, body: String::from_utf8_lossy(body).into_owned() });
        }
    }

    /// An e-mail would be sent.
    pub(crate) fn mail(&self, at: Timestamp, subject: String) {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).push(Mail { at, subject });
    }

    /// All e-mails so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.locked().clone()
    }

    /// Those with this method on this path.
    pub fn of(&self, method: &str, path: &str) -> Vec<Entry> {
        self.locked().iter().filter(|entry| entry.is(method, path)).cloned().collect()
    }

    /// Whether `text` came in anywhere: path, query or body. For secrets that must never be sent.
    pub fn received(&self, text: &str) -> bool {
        self.locked()
            .iter()
            .any(|entry| [&entry.path, &entry.query, &entry.body].iter().any(|part| part.contains(text)))
    }
}
