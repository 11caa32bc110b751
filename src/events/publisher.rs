//! [`EventPublisher`]: takes events from the run and hands them to the sinks.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::clock::SharedClock;
use crate::events::json_lines::JsonLinesSink;
use crate::events::nats_sink::NatsSink;
use crate::events::sink::EventSink;
use crate::events::{CloudEvent, Event, Message, NatsConfig, SubjectPrefix};
use crate::ids::Workspace;
use crate::report::Envelope;

/// How long the end of a run waits for events that are on their way; what is left of two seconds is for the spool.
const BUDGET: Duration = Duration::from_millis(1500);

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
    workspace: Workspace,
    prefix: SubjectPrefix,
    clock: SharedClock,
    sinks: Vec<Box<dyn EventSink>>,
}

impl EventPublisher {
    /// Begins to connect, in the background. Must be called within the runtime.
    pub fn start(config: EventsConfig, clock: SharedClock) -> Self {
        let EventsConfig { workspace, prefix, nats, file, state } = config;
        let mut sinks: Vec<Box<dyn EventSink>> = Vec::new();
        if let Some(path) = file {
            sinks.push(Box::new(JsonLinesSink::start(&path)));
        }
        if let Some(nats) = nats {
            sinks.push(Box::new(NatsSink::start(nats, &state, clock.clone())));
        }
        Self { workspace, prefix, clock, sinks }
    }

    /// Sends an event; returns at once.
    pub fn publish(&self, event: Event, envelope: &Envelope) {
        if self.sinks.is_empty() {
            return;
        }
        let body = CloudEvent::new(event, &self.workspace, envelope, self.clock.now());
        match serde_json::to_string(&body) {
            Ok(text) => {
                let message = Message { subject: self.prefix.subject(&self.workspace, event), id: body.id, body: text };
                self.sinks.iter().for_each(|sink| sink.push(&message));
            }
            Err(error) => tracing::debug!(%error, "an event cannot be written"),
        }
    }

    /// Waits for what is on its way, at most two seconds, and keeps the rest for the next run. Returns what the user
    /// should know.
    pub async fn finish(self) -> Vec<String> {
        let deadline = Instant::now() + BUDGET;
        join_all(self.sinks.into_iter().map(|sink| sink.finish(deadline))).await.concat()
    }
}
