//! The vm-pool API as it stands on the wire: what the `vm_pool` provider sends and `lian-build serve` answers.
//!
//! Both sides use these types and nothing else of each other. Unknown fields are ignored, so that either side may be newer.
//! Nothing here decides: whoever reads a document checks it.

mod answer;
mod code;
mod lease;
mod metrics;
mod openapi;
mod p95;

pub use answer::Answer;
pub use code::Code;
pub use lease::{CreateLease, PoolLease, PoolState, RenewLease};
pub use metrics::{Accepted, PostMetrics};
pub use openapi::openapi;
pub use p95::{Approved, P95};

/// Where leases are.
pub const LEASES: &str = "/api/v1/vm-pool";

/// Where a workspace's percentiles are: `?workspace=…`, and `&platform=linux/arm64` where only runs on that one count.
pub const P95_PATH: &str = "/api/v1/p95";

/// Where metrics of attempts go.
pub const METRICS_PATH: &str = "/api/v1/metrics";

/// The header that makes a request to create the same request when it is sent again: the lease's name, chosen by the client.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
