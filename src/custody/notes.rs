//! [`Notes`]: what should be known at the end of a run, gathered while it goes on.

use std::sync::{Arc, Mutex, PoisonError};

/// What should be known at the end of a run: each thing once, whoever notices it how often.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(super) fn add(&self, note: impl Into<String>) {
        let note = note.into();
        tracing::warn!("{note}");
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Takes all of them.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
