//! `'vm_pool`: runners that a vm-pool leases to us over its HTTP API (`pool_api`), whatever it takes them from.
//!
//! The pool is not trusted with more than making machines: whatever it answers is checked before it is used, and what cannot
//! be used is given back. Its address alone gets the token. The key that opens a runner is made here and stays here; a runner
//! whose host key the pool does not name is no runner.

mod address;
mod body;
mod client;
mod config;
mod document;
mod failure;
mod held_pool_lease;
mod ownership;
mod pool_provider;
mod reached;
mod token;

pub use address::PoolAddress;
pub(crate) use client::PoolClient;
pub use config::VmPoolConfig;
pub use pool_provider::VmPoolProvider;
pub use token::Token;

/// Where leases have their directories in the runtime directory.
const DIR: &str = "pool";
