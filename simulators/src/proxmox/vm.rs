//! [`Vm`]: one machine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// Its id.
    pub vmid: u32,
    /// Where it stands.
    pub node: String,
    /// Its configuration: everything that `GET …/config` shows but the digest.
    pub config: BTreeMap<String, String>,
    /// The resource pool.
    pub pool: Option<String>,
    /// Whether it runs.
    pub is_on: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When its guest is up, once it was started.
    pub(super) up_from: Option<Timestamp>,
    /// Of its network card, once the backend has made it.
    pub(super) address: Option<Ipv4Addr>,
    /// Counts what was made, so that an id that is used again is another machine for the backend.
    pub(super) generation: u64,
}

impl Vm {
    /// A value of its configuration.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    pub(super) fn is(&self, switch: &str) -> bool {
        self.get(switch) == Some("1")
    }

    pub(super) fn number(&self, key: &str, default: u64) -> u64 {
        self.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// Of the configuration, as a change has to name it.
    pub(super) fn digest(&self) -> String {
        let text = format!("{:?}", self.config);
        Sha256::digest(text.as_bytes()).iter().take(20).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The backend's id for it.
    pub(super) fn machine_id(&self) -> String {
        format!("pve-{}-{}", self.vmid, self.generation)
    }

    pub(super) fn status(&self) -> &'static str {
        if self.is_on { "running" } else { "stopped" }
    }

    /// `GET …/config`.
    pub(super) fn shown(&self) -> Value {
        let numbers = ["cores", "sockets", "balloon", "onboot", "protection", "template", "ciupgrade"];
        let mut shown = json!({ "digest": self.digest() });
        for (key, value) in &self.config {
            let number = value.parse::<u64>().ok().filter(|_| numbers.contains(&key.as_str()));
            shown[key] = number.map_or_else(|| Value::from(value.as_str()), Value::from);
        }
        shown
    }
}
