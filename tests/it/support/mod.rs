//! What the tests share.
#![allow(dead_code, unused_imports, reason = "each test uses its part")]

mod docker_machine;
pub mod docker_registry;
mod dockerd;
mod fake_cloud;
mod fake_provider;
mod gate;
mod held_build;
pub mod http_server;
mod leftovers;
mod machine;
mod manual_clock;
pub mod nats_server;
mod needles;
mod own_run;
mod runner;
mod sandbox;
mod schema;
mod small_disk;
pub mod tarball;
mod victim;

use lian_build::env_vars::Environment;

pub(crate) use docker_machine::{DockerMachine, TestImage};
pub(crate) use dockerd::{Dockerd, RunnerContainer};
pub(crate) use fake_cloud::{FakeCloud, Fault, LabelMap};
pub(crate) use fake_provider::FakeProvider;
pub(crate) use gate::{Gate, Step};
pub(crate) use held_build::HeldBuild;
pub(crate) use leftovers::Leftovers;
pub(crate) use machine::{LocalMachine, tier, variable};
pub(crate) use manual_clock::ManualClock;
pub(crate) use needles::Needles;
pub(crate) use runner::Runner;
pub(crate) use sandbox::{Finished, Running, Sandbox};
pub(crate) use schema::assert_follows;
pub(crate) use small_disk::SmallDisk;
pub(crate) use victim::Victim;

/// The environment the tests were started with: where the real parts are (`ci/setup` prints it).
pub fn environment() -> Environment {
    Environment::from_process()
}

/// Installs the process-wide TLS provider, as the command line does. Repeating it is harmless.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
