//! [`Services`]: what a run works with; made once by the command line, replaced by tests.

use std::sync::Arc;

use crate::clock::SharedClock;
use crate::dirs::Dirs;
use crate::env_vars::Environment;
use crate::record::StateStore;

/// What a run works with.
#[derive(Debug, Clone)]
pub struct Services {
    /// The environment, read once.
    pub environment: Environment,
    /// Where things are kept.
    pub dirs: Dirs,
    /// The clock.
    pub clock: SharedClock,
    /// History.
    pub store: Arc<dyn StateStore>,
}
