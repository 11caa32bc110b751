//! What the API says, as far as it is needed. Everything but names, ids, labels and addresses may be missing: fields come and
//! go there.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Server {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) public_net: PublicNet,
    #[serde(default)]
    pub(super) created: Option<String>,
    #[serde(default)]
    pub(super) server_type: Option<ServerType>,
    #[serde(default)]
    pub(super) location: Option<Named>,
}

/// Where a server is reached.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PublicNet {
    #[serde(default)]
    pub(super) ipv4: Option<Address>,
    #[serde(default)]
    pub(super) ipv6: Option<Address>,
}

/// An address, with the id of the primary IP that it is.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Address {
    #[serde(default)]
    pub(super) id: Option<u64>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ip: String,
}

/// A thing that has a name.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Named {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
}

/// A size of servers.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerType {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) cores: u32,
    /// GB.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) memory: f64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) prices: Vec<LocationPrice>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) locations: Vec<TypeLocation>,
}

/// What something costs in one location.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LocationPrice {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) location: String,
    #[serde(default)]
    pub(super) price_hourly: Option<Price>,
}

/// An amount, in decimal text.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Price {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) gross: String,
}

/// A location in which a type can be had, or could.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TypeLocation {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
    /// A hint of a while ago; only the request for a server decides.
    #[serde(default)]
    pub(super) available: Option<bool>,
    #[serde(default)]
    pub(super) recommended: Option<bool>,
    #[serde(default)]
    pub(super) deprecation: Option<Deprecation>,
}

/// Since when something is on its way out.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Deprecation {
    #[serde(default)]
    pub(super) unavailable_after: Option<String>,
}

/// An image or a snapshot.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Image {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) architecture: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: String,
}

/// An SSH key of the project.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SshKey {
    pub(super) id: u64,
}

/// A firewall.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Firewall {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) applied_to: Vec<serde_json::Value>,
}

/// A public address of the project.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PrimaryIp {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) assignee_id: Option<u64>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) auto_delete: bool,
}

/// Something that takes a while.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Action {
    pub(super) id: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) command: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: String,
    #[serde(default)]
    pub(super) error: Option<ApiError>,
}

/// What went wrong: the code decides, the text is for people.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ApiError {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) code: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) message: String,
    #[serde(default)]
    pub(super) details: Option<serde_json::Value>,
}

/// The body of an answer that is an error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ApiError,
}

/// Where a page stands among others.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) pagination: Option<Pagination>,
}

/// Where a page stands among others.
#[derive(Debug, Deserialize)]
pub(super) struct Pagination {
    #[serde(default)]
    pub(super) next_page: Option<u64>,
}

/// The answer to a request for a server.
#[derive(Debug, Deserialize)]
pub(super) struct CreatedServer {
    pub(super) server: Server,
    #[serde(default)]
    pub(super) action: Option<Action>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) next_actions: Vec<Action>,
}

/// The answer to a request for an image of a server.
#[derive(Debug, Deserialize)]
pub(super) struct CreatedImage {
    pub(super) image: Image,
    #[serde(default)]
    pub(super) action: Option<Action>,
}

/// An answer with an action in it, or none.
#[derive(Debug, Default, Deserialize)]
pub(super) struct MaybeAction {
    #[serde(default)]
    pub(super) action: Option<Action>,
}

/// What everything costs.
#[derive(Debug, Deserialize)]
pub(super) struct Pricing {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) currency: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) primary_ips: Vec<PrimaryIpPrices>,
}

/// What addresses cost.
#[derive(Debug, Deserialize)]
pub(super) struct PrimaryIpPrices {
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) prices: Vec<LocationPrice>,
}

/// The default also for `null`.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_no_reason_to_fail() {
        let server: Server = serde_json::from_str(r#"{"id":7,"name":"x"}"#).unwrap();
        assert!(server.status.is_empty() && server.public_net.ipv4.is_none());
        let server: Server = serde_json::from_str(
            r#"{"id":7,"name":"x","status":"running","labels":null,"new":{},"server_type":{"prices":null},
                "public_net":{"ipv4":{"ip":"192.0.2.1"},"ipv6":null}}"#,
        )
        .unwrap();
        assert_eq!(server.public_net.ipv4.unwrap().ip, "192.0.2.1");
        let body: ErrorBody = serde_json::from_str(r#"{"error":{"code":"locked"}}"#).unwrap();
        assert_eq!(body.error.code, "locked");
    }
}
