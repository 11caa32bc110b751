//! Nickel evaluation in a guarded child.
