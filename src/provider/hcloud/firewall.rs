//! The lease's firewall: SSH from the addresses that were named, and nothing else from outside.

use serde_json::{Value, json};

use super::api::Api;
use super::failure::Failure;
use super::wire::Firewall;
use crate::lease::LeaseRequest;

/// Makes the lease's firewall, and yields its id. It goes with the lease.
pub(super) async fn make(api: &Api, request: &LeaseRequest, sources: &[String]) -> Result<u64, Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        firewall: Firewall,
    }
    let body = body(request, sources);
    let failure = match api.post::<Answer>("/firewalls", &body).await {
        Ok(answer) => return Ok(answer.firewall.id),
        Err(failure) => failure,
    };
    // Its name is the lease's: one that is there is of an earlier request.
    if failure.code() == "uniqueness_error" || failure.is_unknown() {
        let query = [("name", request.lease_id.as_str())];
        let found: Vec<Firewall> = api.list("/firewalls", "firewalls", &query).await?;
        let labels = request.labels().to_map();
        if let Some(firewall) = found.into_iter().find(|firewall| firewall.labels == labels) {
            return Ok(firewall.id);
        }
    }
    Err(failure)
}

fn body(request: &LeaseRequest, sources: &[String]) -> Value {
    json!({
        "name": request.lease_id.as_str(),
        "labels": request.labels().to_map(),
        "rules": [{
            "description": "SSH for the build",
            "direction": "in",
            "protocol": "tcp",
            "port": "22",
            "source_ips": sources,
        }],
    })
}
