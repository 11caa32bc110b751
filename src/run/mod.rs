//! The order of a run; nothing else knows it.
