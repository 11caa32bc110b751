//! [`Limits`]: how much a result may hold.

/// Bounds that end an unpacking early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries, directories made on the way included.
    pub entries: u64,
    /// Bytes of file content altogether; also the size of a single file.
    pub bytes: u64,
}

impl Default for Limits {
    /// Two million entries and 64 GiB: beyond any sane result, short of a full disk on most machines.
    fn default() -> Self {
        Self { entries: 2_000_000, bytes: 64 << 30 }
    }
}
