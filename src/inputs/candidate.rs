//! [`Candidate`]: one provider that may lease the runner, as somebody said it.

use super::directives::ComputeProviderRef;
use super::origin::By;

/// One provider that may lease the runner, with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which, and with what options.
    pub provider: ComputeProviderRef,
    /// What said so: `--provider`, a file of directives.
    pub from: String,
    /// What sort of thing that is.
    pub by: By,
}
