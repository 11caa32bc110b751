//! How to talk to a leased runner.
