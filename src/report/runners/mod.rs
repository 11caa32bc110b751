//! What the commands of the group `runners` write to stdout.

mod document;
mod gc;
mod image;
mod list;
mod release;

pub use document::{NoBody, RunnersBody, RunnersDocument, RunnersSchema};
pub use gc::{GcAction, GcItem, RunnersGc, RunnersGcSchema};
pub use image::{RunnersImage, RunnersImageSchema};
pub use list::{
    GcAdvice, GcVerdict, HolderWord, OwnerInfo, RunnerInfo, RunnersList, RunnersListSchema, UnreadableRecord,
};
pub use release::{ReleaseItem, ReleaseOutcome, RunnersRelease, RunnersReleaseSchema};
