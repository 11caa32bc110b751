//! What the user sees: progress and results.
