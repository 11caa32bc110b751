//! What is sent back.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::pool_api::{Answer, Code};
use crate::serve::refusal::Refusal;

/// An answer with its body.
pub(super) type Reply = Response<Full<Bytes>>;

/// It was done.
pub(super) fn done<T: Serialize>(status: StatusCode, data: T) -> Reply {
    json(status, &Answer::of(data))
}

/// It was done, and there is nothing to say.
pub(super) fn nothing() -> Reply {
    json(StatusCode::OK, &Answer::<()>::empty())
}

/// It was not done.
pub(super) fn refused(refusal: &Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = json(status, &Answer::<()>::refused(refusal.code, refusal.why.clone()));
    if refusal.code == Code::Unauthorized {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
    }
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        // What is still to come of the body is not read.
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

/// A text as it is.
pub(super) fn text(kind: &'static str, text: String) -> Reply {
    reply(StatusCode::OK, kind, text.into())
}

fn json<T: Serialize>(status: StatusCode, answer: &Answer<T>) -> Reply {
    match serde_json::to_vec(answer) {
        Ok(body) => reply(status, "application/json", body.into()),
        Err(error) => {
            tracing::error!(%error, "an answer");
            let body = r#"{"success":false,"data":null,"error":"the answer cannot be written","code":"internal"}"#;
            reply(StatusCode::INTERNAL_SERVER_ERROR, "application/json", body.into())
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
