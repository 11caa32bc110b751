//! How a run is seen while it goes on: a live view on a terminal, plain lines, BuildKit's own messages, or nothing.
//!
//! [`Progress`] is the handle a run holds. BuildKit's messages are folded, drawn and logged on a thread of their own, and
//! written on another: a terminal that stands still (Ctrl-S, a full pipe) holds back the build's output, never a release
//! or what is known of the build.

mod columns;
mod driver;
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
mod writer;

pub use event::{Event, Level, Summary};
pub use handle::{Output, Progress, Wait};
pub use live::Screen;
pub use mode::Mode;
pub use view::{Now, ProgressView};

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod tests;
