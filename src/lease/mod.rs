//! The right to a runner, with a deadline: its states, its journal, the labels every runner carries, and what may be
//! destroyed. What every provider yields is an SSH endpoint.

mod authorized_key;
mod endpoint;
mod holder;
mod journal;
mod labels;
mod owner;
mod price;
mod record;
mod request;
mod state;

pub use authorized_key::AuthorizedKey;
pub use endpoint::{CgroupVersion, Endpoint, Isolation, MemoryLimit, RunnerPaths};
pub use holder::{Holder, HolderState};
pub use journal::{Admit, Journal, JournalEntry, Recorded, Unreadable};
pub use labels::{LEASE as LEASE_LABEL, Labels, MANAGED as MANAGED_LABEL};
pub use owner::OwnerId;
pub use price::{HourlyPrice, Made};
pub use record::{LeaseRecord, RECORD_VERSION};
pub use request::LeaseRequest;
pub use state::{InvalidStep, LeaseState};
