//! [`RunnersImage`]: what `runners image` says.

use schemars::JsonSchema;
use serde::Serialize;

use crate::report::CommandBody;

/// The image that runners in containers start from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct RunnersImage {
    /// The name that Docker has it under, or the snapshot's description; `null` when it was not loaded.
    pub image: Option<String>,
    /// Docker's id of it, or the snapshot's; `null` when it was not loaded.
    pub image_id: Option<String>,
    /// True when it is a snapshot at a provider, and not an image of Docker's.
    pub is_snapshot: bool,
    /// The tar of the root that was written; `null` when none was asked for.
    pub file: Option<String>,
    /// The hash of the recipe it was made with.
    pub recipe: Option<String>,
    /// BuildKit's version in it.
    pub buildkit: Option<String>,
}

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub enum RunnersImageSchema {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/runners-image/v1")]
    V1,
}

impl CommandBody for RunnersImage {
    type Schema = RunnersImageSchema;
    const COMMAND: &'static str = "runners image";
}
