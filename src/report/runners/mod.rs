//! What the commands of the group `runners` write to stdout.

mod gc;
mod image;
mod list;
mod no_body;
mod release;

pub use gc::{GcAction, GcItem, RunnersGc, RunnersGcSchema};
pub use image::{RunnersImage, RunnersImageSchema};
pub use list::{
    GcAdvice, GcVerdict, HolderWord, OwnerInfo, RunnerInfo, RunnersList, RunnersListSchema, UnreadableRecord,
};
pub use no_body::{NoBody, RunnersSchema};
pub use release::{ReleaseItem, ReleaseOutcome, RunnersRelease, RunnersReleaseSchema};
