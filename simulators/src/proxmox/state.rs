//! [`State`]: nodes, machines, pools, tokens and tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Acl;
use super::answer::Refused;
use super::tasks::Tasks;
use super::vm::Vm;

/// Everything that the cluster has.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) vms: BTreeMap<u32, Vm>,
    pub(super) pools: BTreeSet<String>,
    pub(super) storages: BTreeSet<String>,
    pub(super) tasks: Tasks,
    /// Ids with their secrets.
    pub(super) tokens: BTreeMap<String, String>,
    pub(super) acl: Acl,
    pub(super) made: u64,
}

/// One node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    /// As `uname -m` says it.
    pub(super) machine: String,
    pub(super) cpus: u64,
    pub(super) memory: u64,
}

impl State {
    /// The node of this name.
    pub(super) fn node(&self, name: &str) -> Result<&Node, Refused> {
        let found = self.nodes.iter().find(|node| node.name == name);
        found.ok_or_else(|| Refused {
            status: 596,
            words: format!("no such cluster node '{name}'"),
            ..Refused::default()
        })
    }

    /// The machine with this id on this node.
    pub(super) fn vm(&self, node: &str, vmid: u32) -> Result<&Vm, Refused> {
        self.vms.get(&vmid).filter(|vm| vm.node == node).ok_or_else(|| Refused::no_vm(node, vmid))
    }

    /// The machine with this id on this node.
    pub(super) fn vm_mut(&mut self, node: &str, vmid: u32) -> Result<&mut Vm, Refused> {
        self.vms.get_mut(&vmid).filter(|vm| vm.node == node).ok_or_else(|| Refused::no_vm(node, vmid))
    }

    /// The machine, when nothing else is being done to it.
    pub(super) fn unlocked(&mut self, node: &str, vmid: u32) -> Result<&mut Vm, Refused> {
        let vm = self.vm_mut(node, vmid)?;
        match vm.get("lock") {
            Some(lock) => Err(Refused::fault(format!("VM is locked ({lock})"))),
            None => Ok(vm),
        }
    }
}
