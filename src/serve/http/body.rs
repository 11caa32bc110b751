//! Reads the body of a request, bounded in size and time.

use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;

use crate::serve::refusal::Refusal;

/// Most bytes: many times what a request has.
const LARGEST: usize = 64 << 10;

/// How long it may take to come.
const LIMIT: Duration = Duration::from_secs(15);

/// Reads a body as JSON. Unknown fields are ignored: the caller may be newer.
///
/// # Errors
/// `invalid` for what is too large, comes too slowly, or is not what it has to be. What was sent is not repeated.
pub(super) async fn json<T: DeserializeOwned>(body: Incoming) -> Result<T, Refusal> {
    let too_large = || {
        Refusal::invalid(format!("the body is larger than {LARGEST} bytes"))
            .with_status(StatusCode::PAYLOAD_TOO_LARGE.as_u16())
    };
    // What says that it is too large is not waited for.
    if body.size_hint().lower() > u64::try_from(LARGEST).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let bytes = match tokio::time::timeout(LIMIT, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Refusal::invalid("the body did not come whole")),
        Err(_) => {
            return Err(
                Refusal::invalid("the body did not come in time").with_status(StatusCode::REQUEST_TIMEOUT.as_u16())
            );
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| Refusal::invalid(format!("the body: {error}")))
}
