//! What a plan reaches that an earlier one does not, so that a reviewer or an agent's supervisor approves reach and not text.
//!
//! Both plans are read from their documents, by the same reader. Reaching less is never new. Pure.

mod compare;
mod outline;

pub use compare::{Against, New, NewKind, compare};
pub use outline::Outline;
