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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_format_is_cloudevents() {
        let workspace: Workspace = "my-app".parse().unwrap();
        let run_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let envelope = Envelope::new("build", run_id, Some(workspace.clone()));
        let time = Timestamp::from_millisecond(1_700_000_000_120).unwrap();
        let event = CloudEvent::new(Event::Retrying { attempt: 1 }, &workspace, &envelope, time);
        let mut written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["data"].take(), serde_json::to_value(&envelope).unwrap());
        assert_eq!(
            written,
            json!({
                "specversion": "1.0",
                "id": "01890a5d-ac96-774b-bcce-b302099a8057.retrying.1",
                "source": "/lian-build/my-app",
                "type": "dev.lian-build.build.retrying.v1",
                "subject": "my-app",
                "time": "2023-11-14T22:13:20.120Z",
                "datacontenttype": "application/json",
                "data": null,
            })
        );
    }
}
