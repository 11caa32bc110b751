//! [`Core`]: what every simulator has beside its API.

use std::sync::Arc;

use crate::audit::Audit;
use crate::backend::Backend;
use crate::bill::{Bill, Meter};
use crate::clock::Clock;
use crate::faults::Faults;

/// What every simulator has beside its API. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Core {
    /// Its time.
    pub clock: Clock,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// Every request.
    pub audit: Arc<Audit>,
    /// What the servers cost.
    pub meter: Arc<Meter>,
    /// What stands behind a server.
    pub backend: Arc<dyn Backend>,
}

impl Core {
    /// One with this clock and backend, where nothing has happened yet.
    pub fn new(clock: Clock, backend: Arc<dyn Backend>) -> Self {
        Self { clock, faults: Arc::default(), audit: Arc::default(), meter: Arc::default(), backend }
    }

    /// What is owed now.
    pub fn bill(&self) -> Bill {
        self.meter.bill(self.clock.now())
    }
}
