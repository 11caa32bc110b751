//! [`HcloudDialect`]: how the API says that it refuses, and what its calls are about.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use serde_json::Value;

use super::{Cloud, answer, catalog};
use crate::call::{Call, Refusal, Subject};
use crate::serve::Dialect;

/// How the API says that it refuses, and what its calls are about.
pub(super) struct HcloudDialect(pub(super) Arc<Cloud>);

impl Dialect for HcloudDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        answer::refuse(refusal)
    }

    /// Of a new server what is asked for, by name whether or not it is asked for by id; of a call on a server, its own.
    fn subject(&self, call: &Call) -> Subject {
        let mut segments = call.path().split('/').skip(2);
        if segments.next() != Some("servers") {
            return Subject::default();
        }
        if let Some(id) = segments.next().and_then(|id| id.parse::<u64>().ok()) {
            let state = self.0.state();
            let Some(server) = state.servers.get(&id) else { return Subject::default() };
            let (server_type, location) = (server.server_type.name.to_owned(), server.location.to_owned());
            return Subject { server_type: Some(server_type), location: Some(location) };
        }
        let body = call.json();
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let server_type = text(&body["server_type"]);
        let known = server_type.as_deref().and_then(catalog::server_type);
        let asked = text(&body["location"]);
        let location = match &asked {
            Some(asked) => catalog::location(asked).map(|place| place.name.to_owned()).or(Some(asked.clone())),
            None => known.and_then(|size| size.locations.first().map(|name| (*name).to_owned())),
        };
        Subject { server_type: known.map(|size| size.name.to_owned()).or(server_type), location }
    }

    fn servers(&self) -> Value {
        serde_json::to_value(self.0.servers()).unwrap_or_default()
    }
}
