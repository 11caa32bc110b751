//! [`NullBackend`]: servers that are nothing but state.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Backend, Machine, Seed};
use crate::error::{Error, Result};

/// Servers that are nothing but state. Their addresses are of the network for benchmarks (198.18.0.0/15), where nobody is.
#[derive(Debug, Default)]
pub struct NullBackend(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many were ever created.
    created: u32,
    /// Whether each is on, by its id.
    on: BTreeMap<String, bool>,
    /// What an agent in them would read, by path.
    files: BTreeMap<String, Vec<u8>>,
}

impl NullBackend {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every server has this file from now on.
    pub fn put_file(&self, path: &str, content: &[u8]) {
        self.state().files.insert(path.to_owned(), content.to_owned());
    }

    fn switch(&self, id: &str, on: bool) -> Result<()> {
        let mut state = self.state();
        let server = state.on.get_mut(id).ok_or_else(|| Error::new(format!("there is no server {id}")))?;
        *server = on;
        Ok(())
    }
}

#[async_trait]
impl Backend for NullBackend {
    async fn create(&self, machine: &Machine) -> Result<Ipv4Addr> {
        let mut state = self.state();
        state.created += 1;
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + state.created % (1 << 17));
        state.on.insert(machine.id.clone(), false);
        Ok(address)
    }

    async fn start(&self, id: &str, _seed: &Seed) -> Result<()> {
        self.switch(id, true)
    }

    async fn stop(&self, id: &str) -> Result<()> {
        self.switch(id, false)
    }

    async fn is_on(&self, id: &str) -> bool {
        self.state().on.get(id).copied().unwrap_or_default()
    }

    async fn read_file(&self, id: &str, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        if state.on.get(id).copied().unwrap_or_default() { state.files.get(path).cloned() } else { None }
    }

    async fn snapshot(&self, id: &str, _name: &str) -> Result<()> {
        let known = self.state().on.contains_key(id);
        if known { Ok(()) } else { Err(Error::new(format!("there is no server {id}"))) }
    }

    async fn forget_snapshot(&self, _name: &str) {}

    async fn destroy(&self, id: &str) -> Result<()> {
        self.state().on.remove(id);
        Ok(())
    }
}
