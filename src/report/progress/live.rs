//! [`LiveView`]: the view of a terminal; folds away at the end.

use std::io::Write;

use super::event::{Event, Summary};
use super::plain::PlainView;
use super::view::{Now, ProgressView};
use crate::solve::BuildObserver;

/// Asks for the terminal's size: columns and rows. `None` when there is none.
pub type Screen = Box<dyn Fn() -> Option<(u16, u16)> + Send>;

/// The view of a terminal.
pub(super) struct LiveView(PlainView);

impl LiveView {
    pub(super) fn new(out: Box<dyn Write + Send>, _screen: Screen, _color: bool, _now: Now) -> Self {
        Self(PlainView::new(out))
    }
}

impl BuildObserver for LiveView {}

impl ProgressView for LiveView {
    fn event(&mut self, event: &Event, now: Now) {
        self.0.event(event, now);
    }

    fn finish(&mut self, summary: &Summary, now: Now) {
        self.0.finish(summary, now);
    }
}
