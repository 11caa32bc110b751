//! [`Context`]: what is sent, after ignoring.

use std::path::{Path, PathBuf};

use super::dockerignore::IgnoreFile;
use super::root::Root;

/// What an entry is. Nothing else can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory, also an empty one.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, sent as it is and never followed.
    Symlink,
}

/// One thing that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the context's root, any bytes but NUL.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file's content; 0 for anything else.
    pub bytes: u64,
    /// False for a directory below which something is left out.
    pub is_whole: bool,
}

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
}

/// What the transfer has to keep besides contents, modes and times. Looked for so that a context without them does not
/// pay for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits {
    /// Two or more of the files may be one inode.
    pub hard_links: bool,
    /// A file has extended attributes (a capability, say), which BuildKit sends too.
    pub xattrs: bool,
}

/// A context that was walked: every entry that is sent, parents before children.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) root: Root,
    pub(super) ignore: Option<IgnoreFile>,
    pub(super) entries: Vec<Entry>,
    pub(super) totals: Totals,
    pub(super) traits: Traits,
    pub(super) ignored: u64,
}

impl Context {
    /// The directory, absolute and without links.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The checked directory.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The ignore file that was applied, if there is one.
    pub fn ignore(&self) -> Option<&IgnoreFile> {
        self.ignore.as_ref()
    }

    /// Everything that is sent, sorted as BuildKit walks it: by name within a directory, parents first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How much is sent.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What the transfer has to keep.
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// How many entries were left out; an ignored directory that was not entered counts once.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// True when a file of that name is at the root and not ignored.
    pub fn has_root_file(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.kind != EntryKind::Directory && entry.path.as_os_str() == name)
    }
}
