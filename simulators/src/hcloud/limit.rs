//! Who may call, and how often: what stands before every call.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::answer::{refuse, token_readonly, unauthorized};
use super::{Cloud, with_headers};
use crate::call::Refusal;

/// Half of the token that may do everything: tokens have 64 characters.
pub(super) const TOKEN: &str = "SimulatedReadWriteTokenXXXXXXXXX";
/// Half of the token that may only read.
pub(super) const TOKEN_READONLY: &str = "SimulatedReadOnlyTokenXXXXXXXXXX";

/// Asks for a token, counts requests, and adds what every answer carries.
pub(super) async fn guard(cloud: Arc<Cloud>, request: Request, next: Next) -> Response {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = token.strip_prefix("Bearer ").unwrap_or_default().to_owned();
    let digest = Sha256::digest(format!("{:?} {}", request.uri(), cloud.core.clock.now()));
    let correlation: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let correlation = ("X-Correlation-Id", correlation);
    if token != TOKEN.repeat(2) && token != TOKEN_READONLY.repeat(2) {
        return with_headers(unauthorized().into_response(), &[correlation]);
    }
    let limit = cloud.options.request_limit;
    let now = cloud.core.clock.now();
    let left = take_one(&cloud, now);
    let missing = f64::from(limit) - left.unwrap_or_default();
    // Until all are there again, at the rate of the limit.
    let wait = (missing * 3600.0 / f64::from(limit.max(1))).ceil();
    #[expect(clippy::cast_possible_truncation, reason = "at most an hour")]
    let reset = now.as_second() + wait as i64;
    let headers = [
        correlation,
        ("RateLimit-Limit", limit.to_string()),
        ("RateLimit-Remaining", left.unwrap_or_default().floor().to_string()),
        ("RateLimit-Reset", reset.to_string()),
    ];
    let response = if left.is_none() {
        let quoted: String = token.chars().take(32).collect();
        let message = format!("Limit of '{limit}' requests per hour for token '{quoted}' reached.");
        refuse(&Refusal::new(429, "rate_limit_exceeded", message))
    } else if token == TOKEN_READONLY.repeat(2) && request.method() != Method::GET {
        token_readonly().into_response()
    } else {
        next.run(request).await
    };
    with_headers(response, &headers)
}

/// Takes one request from what is left of the limit; yields how many there are then.
fn take_one(cloud: &Cloud, now: Timestamp) -> Option<f64> {
    let limit = f64::from(cloud.options.request_limit);
    let mut state = cloud.state();
    let (left, since) = state.requests.unwrap_or((limit, now));
    let refilled = now.duration_since(since).as_secs_f64() * limit / 3600.0;
    let left = (left + refilled).min(limit);
    let after = if left >= 1.0 { Some(left - 1.0) } else { None };
    state.requests = Some((after.unwrap_or(left), now));
    after
}
