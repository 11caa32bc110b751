//! `serve`: the vm-pool API over any provider, for callers that hold a token and no cloud's credential.
//!
//! ```text
//! http (connections, routes, tokens) ──► pool (leases, quotas, deadlines) ──► custody (journal, release) ──► provider
//!                                          └── ledger (pool.sqlite: what outlives the process)
//! ```
//!
//! A lease is on the disk before its provider hears of it, and is one task from then on. The pool's clock ends it, whatever
//! becomes of the client; a pool that was killed takes its leases up when it is started again.

mod audit;
mod history;
mod http;
mod keeper;
mod ledger;
mod limits;
mod look;
mod numbers;
mod pool;
mod reach;
mod refusal;
mod row;
mod scope;
mod server;
mod slot;
mod token;
mod tokens;
mod wanted;

pub use http::Tls;
pub use limits::Limits;
pub use scope::TokenScope;
pub use server::{Server, ServerParts};
pub use token::Token;
pub use tokens::{Tokens, TokensFile};
