//! Calls about the cluster: nodes, ids, lists, tasks, and what a token may do.

use serde_json::{Map, Value, json};

use super::answer::Refused;
use super::api::{Api, Asked};
use super::vm::Vm;

impl Api {
    pub(super) fn nodes(&self, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let state = self.state();
        let node = |node: &super::state::Node| {
            let mut shown =
                json!({ "node": node.name, "type": "node", "id": format!("node/{}", node.name), "status": "online" });
            if state.acl.at(&format!("/nodes/{}", node.name)).contains("Sys.Audit") {
                shown["maxcpu"] = json!(node.cpus);
                shown["maxmem"] = json!(node.memory);
            }
            shown
        };
        Ok(state.nodes.iter().map(node).collect())
    }

    pub(super) fn node_status(&self, node: &str, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let state = self.state();
        state.acl.need(&format!("/nodes/{node}"), "Sys.Audit")?;
        let node = state.node(node)?;
        Ok(json!({
            "current-kernel": { "machine": node.machine, "sysname": "Linux", "release": "6.17.2-1-pve" },
            "cpuinfo": { "cpus": node.cpus, "cores": node.cpus, "sockets": 1 },
            "memory": { "total": node.memory, "used": 0, "free": node.memory },
        }))
    }

    pub(super) fn task_status(&self, node: &str, upid: &str, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let state = self.state();
        if state.tasks.user(upid) != Some(&asked.user) {
            state.acl.need(&format!("/nodes/{node}"), "Sys.Audit")?;
        }
        state.tasks.status(node, upid)
    }

    pub(super) fn stop_task(&self, node: &str, upid: &str, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let state = self.state();
        if state.tasks.user(upid) != Some(&asked.user) {
            state.acl.need(&format!("/nodes/{node}"), "Sys.Modify")?;
        }
        state.tasks.status(node, upid)?;
        state.tasks.stop(upid);
        Ok(Value::Null)
    }

    /// Says an id that is free, and reserves nothing.
    pub(super) fn next_id(&self, mut asked: Asked) -> Result<Value, Refused> {
        let wanted = asked.params.number("vmid")?;
        asked.params.end()?;
        let state = self.state();
        let is_taken = |vmid: u32| state.vms.contains_key(&vmid);
        match wanted.map(u32::try_from) {
            Some(Ok(vmid)) if is_taken(vmid) => Err(Refused::parameter("vmid", format!("VM {vmid} already exists"))),
            Some(Ok(vmid)) => Ok(vmid.to_string().into()),
            Some(Err(_)) => Err(Refused::parameter("vmid", "value must have a maximum value of 999999999")),
            None => Ok((100..).find(|vmid| !is_taken(*vmid)).unwrap_or_default().to_string().into()),
        }
    }

    pub(super) fn resources(&self, mut asked: Asked) -> Result<Value, Refused> {
        let kind = asked.params.take("type");
        asked.params.end()?;
        if kind.as_deref().is_some_and(|kind| !["vm", "node", "storage", "sdn"].contains(&kind)) {
            return Err(Refused::parameter("type", "value does not have a value in the enumeration"));
        }
        if kind.as_deref().is_some_and(|kind| kind != "vm") {
            return Ok(json!([]));
        }
        let now = self.0.core.clock.now();
        let state = self.state();
        let seen = |vm: &&Vm| state.acl.has_on_vm(vm.vmid, vm.pool.as_deref(), "VM.Audit");
        let shown = |vm: &Vm| {
            let mut shown =
                json!({ "type": "qemu", "id": format!("qemu/{}", vm.vmid), "vmid": vm.vmid, "node": vm.node });
            shown["template"] = json!(u8::from(vm.is("template")));
            shown["status"] = json!(vm.status());
            for (key, value) in [("pool", vm.pool.as_deref()), ("tags", vm.get("tags")), ("lock", vm.get("lock"))] {
                if let Some(value) = value {
                    shown[key] = json!(value);
                }
            }
            // It comes with the figures that a node sends every few seconds.
            if now >= vm.created + self.0.options.names_lag {
                shown["name"] = json!(vm.get("name").unwrap_or_default());
                shown["maxmem"] = json!(vm.number("memory", 512) << 20);
            }
            shown
        };
        Ok(state.vms.values().filter(seen).map(shown).collect())
    }

    pub(super) fn pool(&self, pool: &str, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let state = self.state();
        if !state.pools.contains(pool) {
            return Err(Refused::fault(format!("pool '{pool}' does not exist")));
        }
        let members = state.vms.values().filter(|vm| vm.pool.as_deref() == Some(pool));
        let shown = |vm: &Vm| json!({ "type": "qemu", "vmid": vm.vmid, "node": vm.node, "name": vm.get("name") });
        Ok(json!({ "members": members.map(shown).collect::<Value>() }))
    }

    /// What the token itself may do: everybody may ask that.
    pub(super) fn permissions(&self, mut asked: Asked) -> Result<Value, Refused> {
        let path = asked.params.need("path")?;
        asked.params.end()?;
        let state = self.state();
        let vmid = path.strip_prefix("/vms/").and_then(|vmid| vmid.parse::<u32>().ok());
        let mut privileges = state.acl.at(&path);
        if let Some(pool) = vmid.and_then(|vmid| state.vms.get(&vmid)?.pool.clone()) {
            privileges.extend(state.acl.at(&format!("/pool/{pool}")));
        }
        let map: Map<String, Value> = privileges.into_iter().map(|name| (name, json!(1))).collect();
        Ok(json!({ path: map }))
    }
}
