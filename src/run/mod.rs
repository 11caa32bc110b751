//! The order of a run; nothing else knows it.
//!
//! [`prepare()`] gathers inputs and plans; [`mod@check`] looks whether that could be done from here; [`mod@build`] drives
//! attempts until one of them decides; [`attempt`] is one solve on one lease, whose end is always a release.

mod abandoned;
mod attempt;
mod attempts;
pub mod build;
mod capacity_wait;
pub mod check;
mod deliver;
mod ending;
mod evidence;
mod keeping;
mod link;
mod measuring;
mod on_runner;
mod patience;
mod pool_history;
pub mod prepare;
mod price;
mod publish;
mod ready;
mod results;
mod retry;
mod select;
mod services;
mod signals;
mod solving;
mod unreachable;
mod watch;

pub use build::{LOG_HINT, build};
pub use check::{Checked, check};
pub use prepare::Prepared;
pub use select::prepare;
pub use services::Services;
pub use signals::{Repeated, Signals};
