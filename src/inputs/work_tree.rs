//! [`WorkTree`]: the repository that a directory belongs to, found without asking git.
//!
//! git also takes a directory for a repository that holds what a bare one has (`HEAD`, `objects`, `refs`), and follows its
//! `config`: any commit can carry such files. It cannot carry an entry of the name `.git`, so only that one counts.

use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The name of the entry that makes a directory a repository's top.
const ENTRY: &str = ".git";
/// A `.git` file holds one path.
const MAX_FILE: u64 = 16 << 10;

/// A directory with a `.git` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkTree {
    /// The directory, absolute and without links.
    pub top: PathBuf,
}

impl WorkTree {
    /// The nearest one that contains `directory`, or is it.
    pub fn containing(directory: &Path) -> Option<Self> {
        let directory = directory.canonicalize().ok()?;
        let top = directory.ancestors().find(|ancestor| ancestor.join(ENTRY).symlink_metadata().is_ok())?;
        Some(Self { top: top.to_owned() })
    }

    /// The entry that makes it one: `.git`, a directory or a file.
    pub fn entry(&self) -> PathBuf {
        self.top.join(ENTRY)
    }

    /// Where the repository itself is, without links: `.git`, or where a file of this name points, as in submodules and
    /// further work trees.
    pub fn repository(&self) -> Option<PathBuf> {
        let entry = self.entry();
        let meta = entry.metadata().ok()?;
        if meta.is_dir() {
            return entry.canonicalize().ok();
        }
        if !meta.is_file() {
            return None;
        }
        let mut text = Vec::new();
        std::fs::File::open(&entry).ok()?.take(MAX_FILE).read_to_end(&mut text).ok()?;
        let path = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
        self.top.join(std::ffi::OsString::from_vec(path.to_owned())).canonicalize().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_entry_counts_and_a_bare_repository_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        for inner in [".git/modules/sub", "ci/objects", "ci/refs", "sub/a"] {
            std::fs::create_dir_all(top.join(inner)).unwrap();
        }
        std::fs::write(top.join("ci/HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(top.join("sub/.git"), "gitdir: ../.git/modules/sub\n").unwrap();
        let outer = WorkTree::containing(&top.join("ci")).unwrap();
        assert_eq!((outer.repository(), outer.top), (Some(top.join(".git")), top.clone()));
        let inner = WorkTree::containing(&top.join("sub/a")).unwrap();
        assert_eq!((inner.repository(), inner.top), (Some(top.join(".git/modules/sub")), top.join("sub")));
        std::fs::remove_dir_all(top.join(".git")).unwrap();
        assert_eq!(WorkTree::containing(&top.join("ci")), None);
    }
}
