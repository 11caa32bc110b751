//! [`Limits`]: how much a pool gives to anybody, whatever their token says.

/// How much a pool gives to anybody, whatever their token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time between two renewals, in seconds.
    pub ttl_s: u64,
    /// The longest life of a lease, in seconds.
    pub max_ttl_s: u64,
    /// Most leases of all tokens together.
    pub leases: usize,
}

impl Default for Limits {
    /// Two hours between renewals; a day, the longest time budget, and what comes before and after it; 5,000 leases.
    fn default() -> Self {
        Self { ttl_s: 2 * 3600, max_ttl_s: 26 * 3600, leases: 5_000 }
    }
}
