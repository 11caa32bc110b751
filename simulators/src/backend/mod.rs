//! [`Backend`]: what stands behind a simulated server.

mod container;
mod docker;
mod guest;
mod null;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use async_trait::async_trait;

use crate::error::Result;

pub use container::ContainerBackend;
pub use guest::GuestBackend;
pub use null::NullBackend;

/// A server that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// The simulator's id for it: every other call names it by this.
    pub id: String,
    /// Its host name.
    pub name: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The snapshot that it starts from, by the name that [`Backend::snapshot`] was given; otherwise the stock image.
    pub snapshot: Option<String>,
}

/// What a server finds at its first start, as cloud-init reads it.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    /// The user data; empty when there is none.
    pub user_data: String,
    /// Public keys for the default user, one line each.
    pub ssh_keys: Vec<String>,
    /// Further entries of the meta data, such as a region.
    pub meta_data: BTreeMap<String, String>,
}

/// What stands behind a simulated server. A server is created, started and stopped any number of times, and destroyed.
#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Makes it, without starting it; yields its address, which stays.
    ///
    /// # Errors
    /// When it cannot be made; then nothing of it is left.
    async fn create(&self, machine: &Machine) -> Result<Ipv4Addr>;

    /// Starts it. Returns when its boot has begun; whoever needs SSH asks until it answers, as with a real one.
    ///
    /// # Errors
    /// When there is none of that id, or it does not start.
    async fn start(&self, id: &str, seed: &Seed) -> Result<()>;

    /// Takes its power away.
    ///
    /// # Errors
    /// When there is none of that id, or it does not stop.
    async fn stop(&self, id: &str) -> Result<()>;

    /// Whether it has power: a server can also switch itself off.
    async fn is_on(&self, id: &str) -> bool;

    /// A file in it, as an agent in a guest would read it; `None` when there is none, or it is not on.
    async fn read_file(&self, id: &str, path: &str) -> Option<Vec<u8>>;

    /// Keeps its disk under a name from which new servers can start.
    ///
    /// # Errors
    /// When there is none of that id, or the backend has no disks.
    async fn snapshot(&self, id: &str, name: &str) -> Result<()>;

    /// Forgets a snapshot.
    async fn forget_snapshot(&self, name: &str);

    /// Takes it away with all that it has. That there is none is fine.
    ///
    /// # Errors
    /// When it stays.
    async fn destroy(&self, id: &str) -> Result<()>;

    /// Takes everything away that was created, when the simulator ends. It waits, and does not need a runtime.
    fn destroy_all(&self) {}
}
