//! A Proxmox VE cluster: what `lian-build` and `proxmoxer` use of its API, with its words for what it refuses.
//!
//! Over TLS only, with a certificate that signs itself. State is kept per machine with its lock; whatever takes time is a task
//! with a UPID that runs by the simulator's clock. Facts behind it: the sources of qemu-server 9.2 and of pve-http-server.

mod access;
mod agent;
mod answer;
mod api;
mod clone;
mod cluster;
mod config;
mod params;
mod power;
mod sim;
mod state;
mod tasks;
mod vm;

pub use access::{Acl, FULL_ROLE};
pub use sim::{Options, Proxmox};
pub use vm::Vm;
