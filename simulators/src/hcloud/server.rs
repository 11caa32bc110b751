//! [`Server`]: a machine that is rented.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::catalog::{self, ServerType};
use super::labels::Labels;
use super::state::State;
use crate::backend::Seed;
use crate::bill::{Kind, Metered};

/// How far a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Initializing,
    /// It has no power: also for a moment while it is young.
    Off,
    /// It gets power.
    Starting,
    /// It has power. SSH may take longer.
    Running,
    /// It was told to go.
    Deleting,
}

/// A machine that is rented.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) server_type: ServerType,
    pub(super) location: &'static str,
    /// The image as the API shows it.
    pub(super) image: Value,
    pub(super) status: Status,
    pub(super) created: Timestamp,
    pub(super) ipv4: Option<Ipv4Addr>,
    /// Its primary IPs: of IPv4 and of IPv6.
    pub(super) primary_ips: [Option<u64>; 2],
    pub(super) delete_protected: bool,
    /// Something is being done to it that nothing else may disturb.
    pub(super) locked: bool,
    /// What it finds when it starts.
    pub(super) seed: Seed,
}

impl Server {
    /// As the API shows it.
    pub(super) fn json(&self, state: &State) -> Value {
        let ip = |id: Option<u64>| id.and_then(|id| state.primary_ips.get(&id)).map(|ip| ip.in_server());
        json!({
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "created": self.created,
            "labels": self.labels,
            "public_net": {
                "ipv4": ip(self.primary_ips[0]),
                "ipv6": ip(self.primary_ips[1]),
                "floating_ips": [],
                "firewalls": state.firewalls_of(self),
            },
            "private_net": [],
            "server_type": self.server_type.json(|_| true),
            "location": catalog::location(self.location).map(catalog::Location::json),
            "image": self.image,
            "iso": null,
            "rescue_enabled": false,
            "locked": self.locked,
            "backup_window": null,
            "outgoing_traffic": 0,
            "ingoing_traffic": 0,
            "included_traffic": 21_990_232_555_520_u64,
            "protection": { "delete": self.delete_protected, "rebuild": self.delete_protected },
            "volumes": [],
            "load_balancers": [],
            "primary_disk_size": self.server_type.disk_gb,
            "placement_group": null,
        })
    }

    /// What its meter counts.
    pub(super) fn metered(&self) -> Metered {
        Metered {
            kind: Kind::Server,
            id: self.id.to_string(),
            name: self.name.clone(),
            server_type: self.server_type.name.to_owned(),
            location: self.location.to_owned(),
            labels: self.labels.clone(),
            hourly: self.server_type.hourly(),
            created: self.created,
        }
    }
}

/// Whether it is a host name by RFC 1123.
pub(super) fn is_host_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names() {
        for (name, fits) in [
            ("lb-0192", true),
            ("a.b", true),
            ("A1", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a_b", false),
            ("a b", false),
            ("a..b", false),
        ] {
            assert_eq!(is_host_name(name), fits, "{name}");
        }
        assert!(!is_host_name(&"a".repeat(64)));
    }
}
