//! Tests with real parts, in one binary.

mod nickel;
