//! What goes through the guest agent.

use serde_json::{Value, json};

use super::answer::Refused;
use super::api::{Api, Asked};
use super::vm::Vm;

impl Api {
    /// The machine, when its agent answers.
    async fn guest(&self, node: &str, vmid: u32, privilege: &str) -> Result<Vm, Refused> {
        let vm = {
            let state = self.state();
            let vm = state.vm(node, vmid)?;
            if !state.acl.has_on_vm(vmid, vm.pool.as_deref(), "VM.GuestAgent.Unrestricted") {
                state.acl.need_on_vm(vmid, vm.pool.as_deref(), privilege)?;
            }
            vm.clone()
        };
        if !vm.get("agent").is_some_and(|agent| agent.starts_with('1') || agent.contains("enabled=1")) {
            return Err(Refused::fault("No QEMU guest agent configured"));
        }
        if !vm.is_on {
            return Err(Refused::fault(format!("VM {vmid} is not running")));
        }
        let is_up = vm.up_from.is_some_and(|from| self.0.core.clock.now() >= from);
        if !is_up || !self.0.core.backend.is_on(&vm.machine_id()).await {
            return Err(Refused::fault("QEMU guest agent is not running"));
        }
        Ok(vm)
    }

    pub(super) async fn interfaces(&self, node: &str, vmid: u32, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let vm = self.guest(node, vmid, "VM.GuestAgent.Audit").await?;
        let mac = vm.get("net0").and_then(|net| net.split([',', '=']).nth(1)).unwrap_or_default().to_lowercase();
        let address = |kind: &str, address: &str, prefix: u8| json!({ "ip-address-type": kind, "ip-address": address, "prefix": prefix });
        let own = vm.address.map(|own| address("ipv4", &own.to_string(), 24));
        let addresses: Vec<Value> = own.into_iter().chain([address("ipv6", "fe80::be24:11ff:fe00:1", 64)]).collect();
        Ok(json!({ "result": [
            { "name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [address("ipv4", "127.0.0.1", 8), address("ipv6", "::1", 128)] },
            { "name": "eth0", "hardware-address": mac, "ip-addresses": addresses },
        ]}))
    }

    pub(super) async fn file_read(&self, node: &str, vmid: u32, mut asked: Asked) -> Result<Value, Refused> {
        let file = asked.params.need("file")?;
        asked.params.end()?;
        let vm = self.guest(node, vmid, "VM.GuestAgent.FileRead").await?;
        match self.0.core.backend.read_file(&vm.machine_id(), &file).await {
            Some(bytes) => Ok(json!({ "content": String::from_utf8_lossy(&bytes), "bytes-read": bytes.len() })),
            None => Err(Refused::fault(format!(
                "Agent error: failed to open file '{file}' (mode: 'r'): No such file or directory"
            ))),
        }
    }
}
