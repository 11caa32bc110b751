//! Moves the context to the runner.
