//! [`ApiError`]: a refusal as an answer, in the API's own shape, and the words for the refusals that come up often.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::call::Refusal;

/// What a call yields.
pub(super) type Answer = Result<Response, ApiError>;

/// A refusal on its way to the caller.
#[derive(Debug)]
pub(super) struct ApiError(pub(super) Refusal);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        refuse(&self.0)
    }
}

/// `{ "error": { "code", "message", "details" } }`
pub(super) fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let details = if refusal.details.is_null() { json!({}) } else { refusal.details.clone() };
    let error = json!({ "code": refusal.code, "message": refusal.message, "details": details });
    (status, Json(json!({ "error": error }))).into_response()
}

/// With this status.
pub(super) fn answer(status: u16, body: &Value) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, Json(body)).into_response())
}

/// Done, and there is nothing to say.
pub(super) fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn error(status: u16, code: &str, message: impl Into<String>) -> ApiError {
    ApiError(Refusal::new(status, code, message))
}

/// A field is wrong.
pub(super) fn invalid(field: &str, why: impl Into<String>) -> ApiError {
    let why = why.into();
    let details = json!({ "fields": [{ "name": field, "messages": [why] }] });
    ApiError(Refusal::new(422, "invalid_input", format!("invalid input in field '{field}': {why}")).details(details))
}

/// The body is no JSON.
pub(super) fn no_json() -> ApiError {
    error(400, "json_error", "invalid JSON")
}

/// There is none of that id.
pub(super) fn not_found(kind: &str, id: &str) -> ApiError {
    error(404, "not_found", format!("{kind} with ID '{id}' not found"))
}

/// Something else has that name.
pub(super) fn not_unique(field: &str, message: &str) -> ApiError {
    ApiError(Refusal::new(409, "uniqueness_error", message).details(json!({ "fields": [{ "name": field }] })))
}

/// It may not be deleted.
pub(super) fn protected(kind: &str) -> ApiError {
    error(423, "protected", format!("{kind} deletion is protected"))
}

/// Something else is being done to it.
pub(super) fn locked(kind: &str) -> ApiError {
    error(423, "locked", format!("{kind} is locked"))
}

/// Others still use it.
pub(super) fn in_use(kind: &str) -> ApiError {
    error(409, "resource_in_use", format!("{kind} is still in use"))
}

/// The project may have no more of them.
pub(super) fn limit_exceeded(limit: &str) -> ApiError {
    let refusal = Refusal::new(403, "resource_limit_exceeded", format!("{limit} exceeded"));
    ApiError(refusal.details(json!({ "limits": [{ "name": limit }] })))
}

/// The machine behind it does not do what it is told.
pub(super) fn broken(why: &crate::error::Error) -> ApiError {
    error(500, "server_error", why.to_string())
}

/// The call is no more.
pub(super) fn gone(announcement: &str) -> ApiError {
    let refusal = Refusal::new(410, "deprecated_api_endpoint", "this API endpoint was removed");
    ApiError(refusal.details(json!({ "announcement": announcement })))
}

/// Who calls is not known.
pub(super) fn unauthorized() -> ApiError {
    error(401, "unauthorized", "unable to authenticate")
}

/// The token may only read.
pub(super) fn token_readonly() -> ApiError {
    error(403, "token_readonly", "the token is only allowed to perform GET requests")
}
