//! [`Limits`]: how much a result may hold.

/// Bounds that end the receiving of a result early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of a directory result, directories made on the way included.
    pub entries: u64,
    /// Bytes of content altogether.
    pub bytes: u64,
}

impl Limits {
    /// The longest path of an entry, in bytes: `PATH_MAX` of Linux.
    pub(super) const PATH_BYTES: usize = 4096;
    /// The deepest entry. Each level is an open directory while the tree is walked or deleted.
    pub(super) const DEPTH: usize = 256;
    /// The longest extended header; extended attributes, which are not kept, stand there too.
    pub(super) const EXTENSION_BYTES: u64 = 1 << 20;
    /// Extended headers before one entry: a long name, a long link and PAX records.
    pub(super) const EXTENSIONS: usize = 4;
    /// What may follow the end of the archive: padding to the writer's block size.
    pub(super) const TRAILER_BYTES: u64 = 1 << 20;
}

impl Default for Limits {
    /// Two million entries and 64 GiB: beyond any sane result, short of a full disk on most machines.
    fn default() -> Self {
        Self { entries: 2_000_000, bytes: 64 << 30 }
    }
}
