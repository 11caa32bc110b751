//! Whole machines: QEMU guests with a kernel, systemd and cloud-init of their own, given the user data that runners get. They
//! take minutes each, so that only `ci/faults guest` runs them.

mod build;
mod cloud;
mod dead_man;
mod first_boot;
mod memory;
mod world;
