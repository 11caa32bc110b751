//! [`Node`]: what is known of the node that a machine is made on. A token sees more or less of it.

use serde_json::Value;

use super::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::sanitise;

/// What is known of the node that a machine is made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    /// As OCI names it; `None` where the token does not see it.
    pub(super) architecture: Option<String>,
    pub(super) cpus: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
}

impl Node {
    /// Asks for it.
    ///
    /// # Errors
    /// `Usage` when there is none of this name, `NoCapacity` when it is not online.
    pub(super) async fn read(client: &Client, name: &str) -> Result<Self> {
        let nodes = client.get(&["nodes"], &[]).await.map_err(|failure| failure.into_error("list its nodes"))?;
        let nodes = nodes.as_array().cloned().unwrap_or_default();
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(listed) = nodes.iter().find(|node| text(node, "node") == name) else {
            let names: Vec<String> = nodes.iter().map(|node| sanitise::short(&text(node, "node"), 60)).collect();
            return Err(Error::usage(format!("Proxmox VE has no node `{}`", sanitise::short(name, 60)))
                .hint(format!("its nodes are: {}", names.join(", "))));
        };
        match text(listed, "status").as_str() {
            "online" | "" => {}
            status => {
                let status = sanitise::short(status, 40);
                return Err(Error::new(ErrorKind::NoCapacity, format!("the node `{name}` of Proxmox VE is {status}")));
            }
        }
        // Needs a privilege on the node, which a careful operator does not give.
        let status = client.get(&["nodes", name, "status"], &[]).await.unwrap_or_default();
        Ok(Self::of(name, listed, &status))
    }

    fn of(name: &str, listed: &Value, status: &Value) -> Self {
        let number = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
        let machine = status.pointer("/current-kernel/machine").and_then(Value::as_str);
        Self {
            name: name.to_owned(),
            architecture: machine.map(|machine| match machine {
                "x86_64" => "amd64".to_owned(),
                "aarch64" => "arm64".to_owned(),
                other => sanitise::short(other, 40),
            }),
            cpus: number(status, "/cpuinfo/cpus").or_else(|| number(listed, "/maxcpu")),
            memory_bytes: number(status, "/memory/total").or_else(|| number(listed, "/maxmem")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_seen_is_not_known() {
        let listed = json!({ "node": "pve", "status": "online", "maxcpu": 8, "maxmem": 1024 });
        let little = Node::of("pve", &listed, &Value::Null);
        assert_eq!((little.architecture.as_deref(), little.cpus, little.memory_bytes), (None, Some(8), Some(1024)));
        let status =
            json!({ "current-kernel": { "machine": "aarch64" }, "cpuinfo": { "cpus": 4 }, "memory": { "total": 9 } });
        let much = Node::of("pve", &listed, &status);
        assert_eq!((much.architecture.as_deref(), much.cpus, much.memory_bytes), (Some("arm64"), Some(4), Some(9)));
    }
}
