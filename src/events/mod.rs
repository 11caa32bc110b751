//! Tells the world: lifecycle events, as CloudEvents, to NATS and to a file.
//!
//! Best effort: nothing here fails a build, and nothing delays it by more than two seconds over the whole run.

mod cloud_event;
mod event;
mod json_lines;
mod message;
mod nats_config;
mod nats_link;
mod nats_sink;
mod publisher;
mod sink;
mod spool;
mod subject;

pub use cloud_event::CloudEvent;
pub use event::Event;
pub use message::Message;
pub use nats_config::NatsConfig;
pub use publisher::{EventPublisher, EventsConfig};
pub use sink::EventSink;
pub use subject::SubjectPrefix;
