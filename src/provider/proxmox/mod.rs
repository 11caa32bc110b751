//! `'proxmox`: runners that are machines of a Proxmox VE cluster, cloned from a template.
//!
//! A machine's name is the lease's id and its description has the lease's labels; both are in the request that makes it. Its id
//! is a number that anybody may take in between, so name, labels and tags are read again before anything is done with it. The
//! host key comes from inside of it, through the guest agent, over the API's own pinned connection.

mod agent;
mod check;
mod client;
mod cluster;
mod config;
mod create;
mod description;
mod failure;
mod guest;
mod held_vm;
mod node;
mod privileges;
mod proxmox_provider;
mod removal;
mod settings;
mod task;
mod template;
#[cfg(test)]
mod test_labels;
mod token;
mod trust;
mod upid;
mod vm_config;
mod vmid_range;

/// Where its leases are in the runtime directory.
const DIR: &str = "proxmox";

pub use config::ProxmoxConfig;
pub use proxmox_provider::ProxmoxProvider;
pub use token::ApiToken;
pub use trust::Trust;
pub use vmid_range::VmidRange;
