//! What the tests share.
#![allow(dead_code, unused_imports, reason = "each test uses its part")]

mod blocking;
mod container_guests;
mod docker_machine;
pub mod docker_registry;
mod dockerd;
mod fake_cloud;
mod fake_pool;
mod fake_provider;
mod gate;
mod git;
mod hcloud_world;
mod held_build;
pub mod http_server;
mod leftovers;
mod lent_address;
mod machine;
mod machine_containers;
mod manual_clock;
pub(crate) mod memory_pool;
pub(crate) mod memory_provider;
pub mod nats_server;
mod needles;
mod own_run;
mod proxmox_cluster;
mod request;
mod runner;
mod sandbox;
mod schema;
mod served;
mod server_containers;
mod small_disk;
mod ssh_agent;
mod sshd_backend;
mod stub_images;
pub mod tarball;
mod victim;
mod wait;

use lian_build::env_vars::Environment;

pub(crate) use blocking::block_on;
pub(crate) use container_guests::ContainerGuests;
pub(crate) use docker_machine::{DockerMachine, TestImage};
pub(crate) use dockerd::{Dockerd, RunnerContainer};
pub(crate) use fake_cloud::{FakeCloud, Fault, LabelMap};
pub(crate) use fake_pool::{FakePool, HOST_KEY, TOKEN, Trick, json_answer, pool_config, refusal};
pub(crate) use fake_provider::FakeProvider;
pub(crate) use gate::{Gate, Step};
pub(crate) use git::{commit, git};
pub(crate) use hcloud_world::HcloudWorld;
pub(crate) use held_build::HeldBuild;
pub(crate) use leftovers::Leftovers;
pub(crate) use machine::{LocalMachine, tier, variable};
pub(crate) use manual_clock::ManualClock;
pub(crate) use needles::Needles;
pub(crate) use proxmox_cluster::ProxmoxCluster;
pub(crate) use request::request;
pub(crate) use runner::Runner;
pub(crate) use sandbox::{Finished, Running, Sandbox};
pub(crate) use schema::assert_follows;
pub(crate) use served::Served;
pub(crate) use server_containers::ServerContainers;
pub(crate) use small_disk::SmallDisk;
pub(crate) use ssh_agent::SshAgent;
pub(crate) use sshd_backend::{SshdBackend, SshdServers};
pub(crate) use stub_images::StubImages;
pub(crate) use victim::Victim;
pub(crate) use wait::{wait_until, wait_until_async};

/// The environment the tests were started with: where the real parts are (`ci/setup` prints it).
pub fn environment() -> Environment {
    Environment::from_process()
}

/// Installs the process-wide TLS provider, as the command line does. Repeating it is harmless.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
