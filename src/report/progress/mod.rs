//! How a run is seen while it goes on: a live view on a terminal, plain lines, BuildKit's own messages, or nothing.
//!
//! [`Progress`] is the handle a run holds. Drawing, the log file and the folding of BuildKit's messages happen on a
//! thread of their own, so that a terminal that stands still (Ctrl-S, a full pipe) never holds up a release.

mod columns;
mod event;
mod fan;
mod frame;
mod handle;
mod live;
mod mode;
mod plain;
mod quiet;
mod rawjson;
mod view;

pub use event::{Event, Level, Summary};
pub use handle::{Output, Progress, Wait};
pub use live::Screen;
pub use mode::Mode;
pub use view::{Now, ProgressView};

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod tests;
