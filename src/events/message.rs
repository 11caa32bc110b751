//! [`Message`]: an event ready to be sent.

use serde::{Deserialize, Serialize};

/// An event ready to be sent, and as it waits in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The NATS subject.
    pub subject: String,
    /// The same for the same event, however often it is sent: NATS drops what it has seen within its window.
    pub id: String,
    /// The event, one line of JSON.
    pub body: String,
}
