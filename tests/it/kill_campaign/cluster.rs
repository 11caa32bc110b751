//! [`Cluster`]: a simulated Proxmox VE cluster that killed builds lease from, with other people's machines in it.

use std::sync::Arc;
use std::time::Duration;

use lian_build::ids::LeaseId;
use lian_simulators::bill::Line;
use lian_simulators::clock::Clock;
use lian_simulators::core::Core;
use lian_simulators::proxmox::{Options, Proxmox, Vm};
use serde_json::{Value, json};

use super::cloud::{Behind, Cloud, Common, Machines};
use super::decoys::Foreign;
use super::places::Passes;
use crate::support::{ContainerGuests, SshdBackend};

/// The pool that machines are made in. The token sees nothing beside it but the template.
const POOL: &str = "builds";

/// The first of the ids that others' machines have: among those that ours get.
const OTHERS: u32 = 700_000_000;

/// A simulated Proxmox VE cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    sim: Proxmox,
    common: Common,
}

impl Cluster {
    pub(super) fn new(machines: Machines, look_limit: u64) -> Arc<Self> {
        let (behind, options): (Arc<dyn Behind>, Options) = match machines {
            Machines::Answer => {
                let moment = Duration::from_millis(10);
                let options = Options { task_time: moment, boot_time: moment, ..Options::default() };
                (Arc::new(SshdBackend::beyond_loopback()), options)
            }
            Machines::Build => (Arc::new(ContainerGuests::new()), Options::default()),
        };
        let common = Common::new(machines, Arc::clone(&behind), look_limit);
        let sim = common.runtime.block_on(Proxmox::start(Core::new(Clock::real(), behind), options)).unwrap();
        Arc::new(Self { sim, common })
    }

    /// Other people's machines: one that describes itself much as ours do, one that says it is ours and not whose, one that has a
    /// name as ours have, one that has no name at all, as ours have none at first, one that is a runner of another owner's,
    /// leased on another machine, and runs, one out of sight; and the template.
    pub(super) fn foreign(self: &Arc<Self>, owner: &str) -> Vec<Box<dyn Foreign>> {
        let text = |value: Value| format!("do not touch\n{value}");
        let other = super::decoys::lease_of_somebody_else();
        let (name, tags) = (LeaseId::new().to_string(), format!("lian-build;{}", other.lease_id));
        let much_like = text(json!({ "lian-build": "1", "lian-managed": "no", "lian-owner": owner }));
        let unreadable = text(json!({ "lian-managed": "1", "lian-owner": owner }));
        let live = text(json!(other.labels().to_map()));
        let runner = other.lease_id.as_str();
        let planted: [&[(&str, &str)]; 5] = [
            &[("name", "lian-build-of-ann"), ("tags", "lian-build;lian-build-docs"), ("description", &much_like)],
            &[("name", "unreadable"), ("tags", "lian-build"), ("description", &unreadable)],
            &[("name", &name), ("protection", "1")],
            &[("scsi0", "local-lvm:vm-1-disk-0,size=3G")],
            &[("name", runner), ("tags", &tags), ("description", &live), ("agent", "1")],
        ];
        for (vmid, config) in (OTHERS..).zip(planted) {
            self.sim.plant(vmid, "pve1", config);
            self.sim.set_pool(vmid, POOL);
        }
        self.sim.show_running(self.sim.named(runner).unwrap().vmid);
        self.sim.plant(100, "pve1", &[("name", "web"), ("description", &unreadable)]);
        let all = self.sim.vms().into_iter();
        all.map(|vm| Box::new(Planted { cluster: Arc::clone(self), vm }) as Box<dyn Foreign>).collect()
    }
}

/// A machine as long as it is there, whatever is done to it.
fn line(vm: &Vm) -> String {
    format!("machine {} on {}, in the pool {:?}", vm.vmid, vm.node, vm.pool)
}

impl Cloud for Cluster {
    fn common(&self) -> &Common {
        &self.common
    }

    fn core(&self) -> &Core {
        &self.sim.core
    }

    fn asked_at(&self) -> &'static str {
        "/api2/json/nodes/pve1/qemu/9000/clone"
    }

    fn own_place(&self) -> Passes {
        Passes::AnyGuest
    }

    /// Of the token's secret: its id is none.
    fn secret(&self) -> String {
        self.sim.token().split_once('=').unwrap().1[..10].to_owned()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PROXMOX_VE_ENDPOINT", self.sim.origin()),
            ("PROXMOX_VE_API_TOKEN", self.sim.token()),
            ("PROXMOX_VE_FINGERPRINT", self.sim.identity.fingerprint.clone()),
            ("PROXMOX_VE_TEMPLATE", self.sim.template().to_string()),
            ("PROXMOX_VE_POOL", POOL.to_owned()),
        ]
    }

    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        let of_lease = |vm: &Vm| format!("{:?}", vm.config).contains(lease.as_str());
        self.sim.vms().iter().filter(|vm| of_lease(vm)).map(line).collect()
    }

    fn look(&self, lease: &LeaseId) -> Vec<String> {
        let mut vm = self.sim.named(lease.as_str()).unwrap_or_else(|| panic!("the machine of {lease} is gone"));
        vm.config.remove("description");
        vec![format!("{vm:?}")]
    }

    /// Machines, also those that say of no lease that they are its own, and what is being done.
    fn things(&self) -> Vec<String> {
        let tasks = self.sim.running_tasks().into_iter().map(|upid| format!("the task {upid}"));
        self.sim.vms().iter().map(line).chain(tasks).collect()
    }

    fn label(&self, lease: &LeaseId, label: &str) -> Option<String> {
        let vm = self.sim.named(lease.as_str())?;
        let labels = vm.get("description")?.lines().find_map(|line| serde_json::from_str::<Value>(line).ok())?;
        Some(labels[label].as_str()?.to_owned())
    }

    /// Nothing: nobody has prices here.
    fn promised(&self, plan: &Value) {
        assert_eq!(plan["plan"]["reach"]["money"]["each"], "unknown", "{plan}");
    }

    fn assert_paid(&self, _metered: &[Line], _new: &[&Line], _hours: u64) {}

    fn paid_in_words(&self) -> String {
        String::new()
    }
}

/// Somebody else's machine, as it looked at first.
struct Planted {
    cluster: Arc<Cluster>,
    vm: Vm,
}

impl Foreign for Planted {
    fn assert_untouched(&self) {
        let now = self.cluster.sim.vms().into_iter().find(|vm| vm.vmid == self.vm.vmid);
        assert_eq!(now.as_ref(), Some(&self.vm), "somebody else's machine was touched");
    }
}
