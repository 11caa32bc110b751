//! `POST …/clone`: a new machine from a template. What is wrong with the request is said at once; that the id is taken may also
//! come out when the task is at it.

use std::time::Duration;

use serde_json::Value;

use super::answer::Refused;
use super::api::{Api, Asked};
use super::vm::Vm;
use crate::bill::Metered;

impl Api {
    pub(super) fn clone_vm(&self, node: &str, template: u32, mut asked: Asked) -> Result<Value, Refused> {
        let params = &mut asked.params;
        let newid = params
            .number("newid")?
            .ok_or_else(|| Refused::parameter("newid", "property is missing and it is not optional"))?;
        let newid = u32::try_from(newid).ok().filter(|id| (100..=999_999_999).contains(id));
        let newid = newid.ok_or_else(|| {
            Refused::parameter("newid", "value must have a minimum value of 100 and a maximum value of 999999999")
        })?;
        let (name, description, pool) = (params.take("name"), params.take("description"), params.take("pool"));
        let (full, storage, target) = (params.switch("full")?, params.take("storage"), params.take("target"));
        std::mem::take(params).end()?;
        if let Some(name) = name.as_deref().filter(|name| !is_dns_name(name)) {
            return Err(Refused::parameter(
                "name",
                format!("invalid format - value does not look like a valid DNS name: {name}"),
            ));
        }
        if description.as_ref().is_some_and(|text| text.len() > 8192) {
            return Err(Refused::parameter("description", "value may only be 8192 characters long"));
        }
        let now = self.0.core.clock.now();
        let mut state = self.state();
        let target = match target {
            Some(target) => state.node(&target)?.name.clone(),
            None => node.to_owned(),
        };
        let source = state.vm(node, template)?.clone();
        state.acl.need_on_vm(template, source.pool.as_deref(), "VM.Clone")?;
        match &pool {
            Some(pool) if !state.pools.contains(pool) => {
                return Err(Refused::fault(format!("pool '{pool}' does not exist")));
            }
            Some(pool) => state.acl.need(&format!("/pool/{pool}"), "VM.Allocate")?,
            None => state.acl.need(&format!("/vms/{newid}"), "VM.Allocate")?,
        }
        let full = full.unwrap_or(!source.is("template"));
        if storage.is_some() && !full {
            return Err(Refused::parameter("storage", "'storage' is only allowed for full clones"));
        }
        let storage = storage.unwrap_or_else(|| "local-lvm".to_owned());
        if !state.storages.contains(&storage) {
            return Err(Refused::fault(format!("storage '{storage}' does not exist")));
        }
        state.acl.need(&format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
        let taken = || format!("unable to create VM {newid}: config file already exists");
        if state.vms.contains_key(&newid) {
            return Err(Refused::fault(taken()));
        }
        let (upid, stop) = state.tasks.begin(node, "qmclone", &template.to_string(), &asked.user, now);
        if asked.struck.collides() {
            // Somebody else's request, in the moment between the check and the task.
            state.made += 1;
            let generation = state.made;
            let config = [("name", "somebody-elses"), ("description", "do not touch"), ("cores", "2")];
            let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            state.vms.insert(
                newid,
                Vm {
                    vmid: newid,
                    node: target,
                    config,
                    pool,
                    is_on: true,
                    created: now,
                    up_from: None,
                    address: None,
                    generation,
                },
            );
            state.tasks.end(&upid, &taken());
            return Ok(upid.into());
        }
        state.made += 1;
        let mut config = source.config.clone();
        config.remove("template");
        config.insert("lock".to_owned(), "clone".to_owned());
        config.insert("name".to_owned(), name.unwrap_or_else(|| format!("Copy-of-VM-{template}")));
        config.insert(
            "net0".to_owned(),
            format!(
                "virtio=BC:24:11:{:02X}:{:02X}:{:02X},bridge=vmbr0",
                newid >> 16 & 255,
                newid >> 8 & 255,
                newid & 255
            ),
        );
        config.insert("scsi0".to_owned(), format!("{storage}:base-{template}-disk-0/vm-{newid}-disk-0,size=3G"));
        config.insert("ide2".to_owned(), format!("{storage}:vm-{newid}-cloudinit,media=cdrom"));
        config.remove("description");
        if let Some(description) = description {
            config.insert("description".to_owned(), description);
        }
        let vm = Vm {
            vmid: newid,
            node: target,
            config,
            pool,
            is_on: false,
            created: now,
            up_from: None,
            address: None,
            generation: state.made,
        };
        self.0.core.meter.begin(Metered {
            kind: crate::bill::Kind::Server,
            id: vm.machine_id(),
            name: vm.get("name").unwrap_or_default().to_owned(),
            server_type: "qemu".to_owned(),
            location: vm.node.clone(),
            labels: serde_json::from_str(vm.get("description").unwrap_or_default()).unwrap_or_default(),
            hourly: "0".parse().unwrap_or_default(),
            created: now,
        });
        let generation = vm.generation;
        state.vms.insert(newid, vm);
        drop(state);
        self.run(upid.clone(), stop, asked.struck.clone(), move |api, failed| async move {
            let mut state = api.state();
            let Some(vm) = state.vms.get_mut(&newid).filter(|vm| vm.generation == generation) else { return Ok(()) };
            match failed {
                // What was begun is taken away again.
                Some(why) => {
                    let machine = vm.machine_id();
                    state.vms.remove(&newid);
                    api.0.core.meter.end(&machine, api.0.core.clock.now());
                    Err(format!("clone failed: {why}"))
                }
                None => {
                    vm.config.remove("lock");
                    Ok(())
                }
            }
        });
        Ok(upid.into())
    }

    /// Runs a task that has a machine to itself, as the lock on its configuration gives it to one: what was begun before ends
    /// first. `done` is told how the machine is by then.
    pub(super) fn run_in_turn<F, D>(
        &self,
        vm: Vm,
        upid: String,
        stop: tokio_util::sync::CancellationToken,
        struck: crate::faults::Struck,
        done: D,
    ) where
        D: FnOnce(Api, Vm, Option<String>) -> F + Send + 'static,
        F: Future<Output = Result<(), String>> + Send,
    {
        self.run(upid, stop, struck, move |api, failed| async move {
            let turn = api.0.turn(vm.vmid);
            let _turn = turn.lock().await;
            let now = api.state().vms.get(&vm.vmid).filter(|now| now.generation == vm.generation).cloned();
            match now {
                Some(now) => done(api, now, failed).await,
                None => Err(Refused::no_vm(&vm.node, vm.vmid).words),
            }
        });
    }

    /// Runs a task: its time passes, and then `done` is told whether it failed before that. Goes on when the client does not.
    pub(super) fn run<F, D>(
        &self,
        upid: String,
        stop: tokio_util::sync::CancellationToken,
        struck: crate::faults::Struck,
        done: D,
    ) where
        D: FnOnce(Api, Option<String>) -> F + Send + 'static,
        F: Future<Output = Result<(), String>> + Send,
    {
        let api = self.clone();
        tokio::spawn(async move {
            let time = api.0.options.task_time + Duration::from_secs(struck.slow_seconds());
            let failed = tokio::select! {
                () = api.0.core.clock.sleep(time) => struck.action_error().map(|(_, message)| message),
                () = stop.cancelled() => Some("interrupted by signal".to_owned()),
            };
            let ended = done(api.clone(), failed).await;
            api.state().tasks.end(&upid, ended.as_ref().err().map_or("OK", String::as_str));
        });
    }
}

fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.split('.').all(is_label)
}
