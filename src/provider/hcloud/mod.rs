//! `'hcloud`: runners that are servers of Hetzner Cloud, rented for one build each.
//!
//! A server is made with all labels in the request, under the lease's name; cloud-init makes a runner of it (`own_machine`),
//! with a host key that was made for this lease. Every started hour is billed until the server is deleted, so a release
//! believes only the API's own "not found". Nothing that is not labelled with the lease is ever touched. What goes wrong is
//! told apart by the API's codes, never by its words, and those are shown without the token.

mod api;
mod config;
mod create;
mod failure;
mod firewall;
mod hcloud_provider;
mod held_server;
mod removal;
mod server;
mod snapshot;
mod ssh_answer;
mod stock;
mod wire;

pub use config::{HcloudConfig, Pace};
pub use hcloud_provider::HcloudProvider;
