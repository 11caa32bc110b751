//! [`Call`]: one request, read to its end. [`Refusal`]: what is answered when it is refused.

use axum::http::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request, read to its end.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Call {
    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query, without its question mark; empty when there is none.
    pub fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The credentials in the `Authorization` header: what follows the scheme, or all of it.
    pub fn credentials(&self) -> &str {
        let said = self.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        said.split_once([' ', '=']).map_or(said, |(_, rest)| rest)
    }
}

/// What a call is about, for faults that name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The server type that is asked for, or of the server that is named.
    pub server_type: Option<String>,
    /// Its location, or node.
    pub location: Option<String>,
}

/// Why a call is refused, before the cloud's own words for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The code by which clients branch, where the cloud has codes.
    pub code: String,
    /// For people. `{token}` in it becomes the first 32 characters of the caller's credentials.
    pub message: String,
    /// Whatever else the cloud says.
    pub details: Value,
    /// Headers of the answer.
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// A refusal without details.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), ..Self::default() }
    }

    /// With details.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}
