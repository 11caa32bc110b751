//! Tests with real parts, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in test functions; helpers of tests are tests too"
)]

mod architecture;
mod bad_input;
mod build;
mod build_events;
mod build_results;
mod conformance;
mod context;
mod context_dockerignore;
mod context_project;
mod custody_journal;
mod custody_reaper;
mod custody_reaper_process;
mod docker_build;
mod docker_lease;
mod docker_secrets;
mod events;
mod faults_connection;
mod faults_docker;
mod faults_memory;
mod faults_runner;
mod faults_together;
mod faults_transfer;
mod help;
mod kill_campaign;
mod local;
mod local_hostile;
mod local_leaks;
mod local_memory;
mod local_rootless;
mod local_secrets;
mod nickel;
mod oom;
mod oom_probe;
mod oom_shapes;
mod plan;
mod plan_effects;
mod progress;
mod readme;
mod record_sampler;
mod record_store;
mod registry;
mod runner_image;
mod runners_gc;
mod runners_keep;
mod runners_list;
mod runners_owners;
mod runners_release;
mod runners_ssh;
mod signals;
mod spec;
mod supervised;
mod support;
mod sync;
mod unpack;
