//! BuildKit's progress messages as they stand on the wire (`buildctl --progress rawjson`, one JSON object a line).
//!
//! Tolerant: unknown fields are ignored, missing ones and `null` are empty. The runner may belong to a build step, so
//! nothing here is believed further than it is shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// One message: what changed since the last one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct SolveStatus {
    /// Steps that began, ended or got a name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub vertexes: Vec<Vertex>,
    /// Progress inside of steps: transfers, layers, exports.
    #[serde(default, deserialize_with = "null_is_default")]
    pub statuses: Vec<VertexStatus>,
    /// What steps printed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub logs: Vec<VertexLog>,
    /// What the frontend warns of.
    #[serde(default, deserialize_with = "null_is_default")]
    pub warnings: Vec<VertexWarning>,
}

/// A step of the build graph. The same digest comes again with more fields set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Vertex {
    /// The step's identity.
    #[serde(default, deserialize_with = "null_is_default")]
    pub digest: String,
    /// What it is called: `[build 2/4] RUN make`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// When it began.
    #[serde(default, deserialize_with = "timestamp")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, deserialize_with = "timestamp")]
    pub completed: Option<Timestamp>,
    /// True when the result came from the cache.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cached: bool,
    /// Why it failed. A step may have failed without the build failing (a cache that could not be imported).
    #[serde(default, deserialize_with = "null_is_default")]
    pub error: String,
    /// The group whose one line stands for this step and its kin.
    #[serde(default, rename = "progressGroup")]
    pub group: Option<ProgressGroup>,
}

/// Several steps that are shown as one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ProgressGroup {
    /// The group's identity.
    #[serde(default, deserialize_with = "null_is_default")]
    pub id: String,
    /// What it is called.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// A weak member alone does not make the group visible.
    #[serde(default, deserialize_with = "null_is_default")]
    pub weak: bool,
}

/// Progress inside of a step.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct VertexStatus {
    /// What is in progress: `transferring context:`, a layer's digest.
    #[serde(default, deserialize_with = "null_is_default")]
    pub id: String,
    /// The step's digest.
    #[serde(default, deserialize_with = "null_is_default")]
    pub vertex: String,
    /// Bytes (or items) in all; 0 when not known.
    #[serde(default, deserialize_with = "null_is_default")]
    pub total: i64,
    /// Bytes (or items) so far.
    #[serde(default, deserialize_with = "null_is_default")]
    pub current: i64,
    /// When this was said.
    #[serde(default, deserialize_with = "timestamp")]
    pub timestamp: Option<Timestamp>,
    /// When it began.
    #[serde(default, deserialize_with = "timestamp")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, deserialize_with = "timestamp")]
    pub completed: Option<Timestamp>,
}

/// A chunk of a step's output. Chunks may split lines and characters.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct VertexLog {
    /// The step's digest.
    #[serde(default, deserialize_with = "null_is_default")]
    pub vertex: String,
    /// The bytes.
    #[serde(default, deserialize_with = "bytes")]
    pub data: Vec<u8>,
    /// When they were printed.
    #[serde(default, deserialize_with = "timestamp")]
    pub timestamp: Option<Timestamp>,
}

/// A warning of the frontend, about a line of the Dockerfile mostly.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct VertexWarning {
    /// The step's digest.
    #[serde(default, deserialize_with = "null_is_default")]
    pub vertex: String,
    /// One line; it names the rule and the line of the Dockerfile.
    #[serde(default, deserialize_with = "bytes")]
    pub short: Vec<u8>,
    /// Where it is explained.
    #[serde(default, deserialize_with = "null_is_default")]
    pub url: String,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(input).map(Option::unwrap_or_default)
}

/// RFC 3339 with nanoseconds; a time that cannot be read is no time, the rest of the message still counts.
fn timestamp<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.and_then(|text| text.parse().ok()))
}

fn bytes<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(input)?.unwrap_or_default();
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
