//! Clouds in memory: what `lian-build` is tested against where no account is.
//!
//! A simulator is the cloud's HTTP API over a state machine, with what a test needs beside it: a [`clock`] that can be moved,
//! [`faults`] on demand, a [log of every request](audit), and the [bill]. What stands behind a server is a
//! [`backend`]: nothing, or a container that the server's user data has made a machine of.
//!
//! ```no_run
//! # async fn example() -> lian_simulators::error::Result<()> {
//! use lian_simulators::faults::Fault;
//! use lian_simulators::hcloud::{Hcloud, Options};
//!
//! let sim = Hcloud::start(Options::default()).await?;
//! sim.faults().script(Fault::out_of_stock().of_type("cax11").at("fsn1"));
//! // … a client is given `sim.url()` and `sim.token()` …
//! assert_eq!(sim.bill().total.to_string(), "0.00");
//! assert!(sim.servers().is_empty());
//! # Ok(())
//! # }
//! ```

pub mod admin;
pub mod audit;
pub mod backend;
pub mod bill;
pub mod call;
pub mod clock;
pub mod core;
pub mod error;
pub mod faults;
pub mod hcloud;
pub mod money;
pub mod proxmox;
pub mod serve;
pub mod tls;
