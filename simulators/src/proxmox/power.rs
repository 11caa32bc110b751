//! Starting, stopping and destroying.

use serde_json::{Value, json};

use super::answer::Refused;
use super::api::{Api, Asked};
use super::config::ssh_keys;
use super::vm::Vm;
use crate::backend::{Machine, Seed};

impl Api {
    pub(super) async fn status(&self, node: &str, vmid: u32, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let vm = {
            let state = self.state();
            let vm = state.vm(node, vmid)?;
            state.acl.need_on_vm(vmid, vm.pool.as_deref(), "VM.Audit")?;
            vm.clone()
        };
        // A guest can switch itself off.
        if vm.is_on && vm.address.is_some() && !self.0.core.backend.is_on(&vm.machine_id()).await {
            let mut state = self.state();
            if let Some(same) = state.vms.get_mut(&vmid).filter(|same| same.generation == vm.generation) {
                same.is_on = false;
            }
        }
        let state = self.state();
        let vm = state.vm(node, vmid)?;
        let mut status = json!({
            "vmid": vmid, "name": vm.get("name"), "status": vm.status(), "qmpstatus": vm.status(),
            "cpus": vm.number("cores", 1), "maxmem": vm.number("memory", 512) << 20, "agent": u8::from(vm.is("agent")),
        });
        for key in ["lock", "tags"] {
            if let Some(value) = vm.get(key) {
                status[key] = json!(value);
            }
        }
        Ok(status)
    }

    pub(super) fn start(&self, node: &str, vmid: u32, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let now = self.0.core.clock.now();
        let mut state = self.state();
        let pool = state.vm(node, vmid)?.pool.clone();
        state.acl.need_on_vm(vmid, pool.as_deref(), "VM.PowerMgmt")?;
        let vm = state.unlocked(node, vmid)?.clone();
        if vm.is("template") {
            return Err(Refused::fault("you can't start a vm if it's a template"));
        }
        if vm.is_on {
            return Err(Refused::fault(format!("VM {vmid} already running")));
        }
        let (upid, stop) = state.tasks.begin(node, "qmstart", &vmid.to_string(), &asked.user, now);
        drop(state);
        self.run_in_turn(vm, upid.clone(), stop, asked.struck, move |api, vm, failed| async move {
            if let Some(why) = failed {
                return Err(format!("start failed: {why}"));
            }
            if vm.is_on {
                return Err(format!("VM {vmid} already running"));
            }
            api.power_on(&vm).await.map_err(|error| format!("start failed: {error}"))
        });
        Ok(upid.into())
    }

    async fn power_on(&self, vm: &Vm) -> crate::error::Result<()> {
        let (backend, id) = (&self.0.core.backend, vm.machine_id());
        let address = match vm.address {
            Some(address) => address,
            None => {
                let machine = Machine {
                    id: id.clone(),
                    name: vm.get("name").unwrap_or_default().to_owned(),
                    cpus: u32::try_from(vm.number("cores", 1)).unwrap_or(1),
                    memory_bytes: vm.number("memory", 512) << 20,
                    ..Machine::default()
                };
                backend.create(&machine).await?
            }
        };
        let seed = Seed {
            ssh_keys: vm.get("sshkeys").and_then(|keys| ssh_keys(keys).ok()).unwrap_or_default(),
            ..Seed::default()
        };
        backend.start(&id, &seed).await?;
        let up_from = self.0.core.clock.now() + self.0.options.boot_time;
        let mut state = self.state();
        if let Some(same) = state.vms.get_mut(&vm.vmid).filter(|same| same.generation == vm.generation) {
            (same.is_on, same.address, same.up_from) = (true, Some(address), Some(up_from));
        }
        Ok(())
    }

    pub(super) fn stop(&self, node: &str, vmid: u32, asked: Asked) -> Result<Value, Refused> {
        asked.params.end()?;
        let now = self.0.core.clock.now();
        let mut state = self.state();
        let pool = state.vm(node, vmid)?.pool.clone();
        state.acl.need_on_vm(vmid, pool.as_deref(), "VM.PowerMgmt")?;
        let vm = state.unlocked(node, vmid)?.clone();
        let (upid, stop) = state.tasks.begin(node, "qmstop", &vmid.to_string(), &asked.user, now);
        drop(state);
        self.run_in_turn(vm, upid.clone(), stop, asked.struck, move |api, vm, failed| async move {
            if let Some(why) = failed {
                return Err(why);
            }
            if vm.address.is_some() {
                api.0.core.backend.stop(&vm.machine_id()).await.map_err(|error| error.to_string())?;
            }
            let mut state = api.state();
            if let Some(same) = state.vms.get_mut(&vmid).filter(|same| same.generation == vm.generation) {
                same.is_on = false;
            }
            Ok(())
        });
        Ok(upid.into())
    }

    pub(super) fn destroy(&self, node: &str, vmid: u32, mut asked: Asked) -> Result<Value, Refused> {
        asked.params.switch("purge")?;
        asked.params.switch("destroy-unreferenced-disks")?;
        asked.params.switch("skiplock")?;
        std::mem::take(&mut asked.params).end()?;
        let now = self.0.core.clock.now();
        let mut state = self.state();
        let pool = state.vm(node, vmid)?.pool.clone();
        state.acl.need_on_vm(vmid, pool.as_deref(), "VM.Allocate")?;
        let vm = state.unlocked(node, vmid)?.clone();
        if vm.is("protection") {
            return Err(Refused::fault(format!("can't remove VM {vmid} - protection mode enabled")));
        }
        if vm.is_on {
            return Err(Refused::fault(is_running(vmid)));
        }
        let (upid, stop) = state.tasks.begin(node, "qmdestroy", &vmid.to_string(), &asked.user, now);
        drop(state);
        self.run_in_turn(vm, upid.clone(), stop, asked.struck, move |api, vm, failed| async move {
            if let Some(why) = failed {
                return Err(why);
            }
            // It may have been started in between.
            if vm.is_on {
                return Err(is_running(vmid));
            }
            api.0.core.backend.destroy(&vm.machine_id()).await.map_err(|error| error.to_string())?;
            let mut state = api.state();
            if state.vms.get(&vmid).is_some_and(|same| same.generation == vm.generation) {
                state.vms.remove(&vmid);
            }
            api.0.core.meter.end(&vm.machine_id(), api.0.core.clock.now());
            Ok(())
        });
        Ok(upid.into())
    }
}

fn is_running(vmid: u32) -> String {
    format!("VM {vmid} is running - destroy failed")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::{Options, Proxmox};
    use super::*;
    use crate::backend::NullBackend;
    use crate::clock::Clock;
    use crate::core::Core;
    use crate::faults::Struck;
    use crate::proxmox::params::Params;

    fn asked() -> Asked {
        Asked { user: "build@pve!ci".to_owned(), struck: Struck::default(), params: Params::default() }
    }

    /// A cluster with a machine 100, whose time stands.
    async fn cluster() -> (Proxmox, Api) {
        let core = Core::new(Clock::standing(jiff::Timestamp::UNIX_EPOCH), Arc::new(NullBackend::default()));
        let sim = Proxmox::start(core, Options::default()).await.unwrap();
        sim.plant(100, "pve1", &[("name", "web")]);
        sim.set_pool(100, "builds");
        let api = Api(Arc::clone(&sim.shared));
        (sim, api)
    }

    /// Lets everything go as far as it does in a second.
    async fn let_pass(sim: &Proxmox) {
        for _ in 0..10 {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            sim.core.clock.advance(Duration::from_millis(100));
        }
    }

    fn exit(api: &Api, task: &Value) -> Value {
        api.state().tasks.status("pve1", task.as_str().unwrap()).unwrap()["exitstatus"].clone()
    }

    #[tokio::test]
    async fn what_was_started_meanwhile_is_not_destroyed() {
        let (sim, api) = cluster().await;
        let task = api.destroy("pve1", 100, asked()).unwrap();
        sim.show_running(100);
        let_pass(&sim).await;
        assert_eq!(exit(&api, &task), json!("VM 100 is running - destroy failed"));
        assert!(sim.named("web").is_some() && sim.running_tasks().is_empty());
    }

    #[tokio::test]
    async fn a_machine_is_changed_by_one_task_at_a_time() {
        let (sim, api) = cluster().await;
        let turn = sim.shared.turn(100);
        let held = turn.lock().await;
        let task = api.destroy("pve1", 100, asked()).unwrap();
        let_pass(&sim).await;
        assert!(sim.named("web").is_some() && sim.running_tasks() == [task.as_str().unwrap()]);
        drop(held);
        let_pass(&sim).await;
        assert_eq!((exit(&api, &task), sim.named("web")), (json!("OK"), None));
    }
}
