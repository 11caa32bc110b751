//! [`CloudEvent`]: the body of an event, CloudEvents 1.0 in its JSON format.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::ids::Workspace;
use crate::report::Envelope;

/// An event as CloudEvents 1.0 writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudEvent {
    /// The version of CloudEvents.
    pub specversion: SpecVersion,
    /// Run and event: the same event has the same id however often it is sent.
    pub id: String,
    /// Where it comes from: `/lian-build/<workspace>`.
    pub source: String,
    /// `dev.lian-build.build.<event>.v1`
    #[serde(rename = "type")]
    pub kind: String,
    /// The workspace.
    pub subject: String,
    /// When it happened, RFC 3339.
    pub time: String,
    /// The type of `data`.
    pub datacontenttype: ContentType,
    /// The run's envelope so far.
    pub data: Envelope,
}

/// The version of CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SpecVersion {
    /// 1.0
    #[serde(rename = "1.0")]
    V1,
}

/// The type of an event's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ContentType {
    /// JSON.
    #[serde(rename = "application/json")]
    Json,
}

impl CloudEvent {
    /// Describes `event` of the run that `envelope` is about.
    pub fn new(event: Event, workspace: &Workspace, envelope: &Envelope, time: Timestamp) -> Self {
        Self {
            specversion: SpecVersion::V1,
            id: format!("{}.{}", envelope.run_id, event.discriminator()),
            source: format!("/lian-build/{workspace}"),
            kind: format!("dev.lian-build.build.{}.v1", event.as_str()),
            subject: workspace.to_string(),
            time: format!("{time:.3}"),
            datacontenttype: ContentType::Json,
            data: envelope.clone(),
        }
    }
}
