//! [`Refused`]: how the API says no: a status, words in the reason phrase, and for parameters which of them.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};

/// A refusal in the API's words.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) words: String,
    /// By parameter.
    pub(super) errors: BTreeMap<String, String>,
}

impl Refused {
    /// What went wrong while it was done: 500, with the words alone.
    pub(super) fn fault(words: impl Into<String>) -> Self {
        Self { status: 500, words: words.into(), errors: BTreeMap::new() }
    }

    /// A parameter that is not taken.
    pub(super) fn parameter(name: &str, why: impl Into<String>) -> Self {
        let errors = BTreeMap::from([(name.to_owned(), why.into())]);
        Self { status: 400, words: "Parameter verification failed.".to_owned(), errors }
    }

    /// A privilege that is missing.
    pub(super) fn forbidden(path: &str, privilege: &str) -> Self {
        Self { status: 403, words: format!("Permission check failed ({path}, {privilege})"), errors: BTreeMap::new() }
    }

    /// There is no such machine: 500 and not 404.
    pub(super) fn no_vm(node: &str, vmid: u32) -> Self {
        Self::fault(format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"))
    }

    /// As it is sent. Releases before 8.3 have no `message`.
    pub(super) fn response(&self, old: bool) -> Response<Body> {
        let mut body = json!({ "data": null });
        if !old {
            body["message"] = Value::from(format!("{}\n", self.words));
        }
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        let mut response = respond(self.status, &body);
        let phrase: String = self.words.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
        if let Ok(reason) = ReasonPhrase::try_from(phrase.into_bytes()) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// A success.
pub(super) fn success(data: &Value) -> Response<Body> {
    respond(200, &json!({ "data": data }))
}

fn respond(status: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = header::HeaderValue::from_static("application/json;charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
