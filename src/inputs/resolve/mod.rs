//! How what several sources say becomes one value, with a record of who won.
//!
//! One rule for everything: a flag and the directives may both speak, but not differ; both go before the environment, and
//! that before a default. Nothing here knows which values there are.

mod ledger;
mod said;

pub use ledger::{Candidates, Keyed, Ledger};
pub use said::Said;
