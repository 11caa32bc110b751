//! [`CacheWish`]: what was asked of the shared caches.

use super::directives::Disposition;
use super::resolve::Said;

/// What was asked of the shared caches. What may be had is the plan's matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheWish {
    /// What becomes of the cache that the run makes.
    pub disposition: Disposition,
    /// The only namespaces that are to be read; `None` for all that may be.
    pub read: Option<Vec<Said<String>>>,
    /// The only namespaces that are to be written; `None` for all that may be.
    pub write: Option<Vec<Said<String>>>,
}
