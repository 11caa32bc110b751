//! The walk over the context's directory: what is ignored is left out, what cannot be sent is refused.

use std::ffi::OsStr;
use std::fs::FileType;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::contents::{Context, Entry, EntryKind, Totals, Traits};
use super::dockerignore::{IgnoreFile, Matcher, Parent};
use super::root::Root;
use crate::error::{Error, Result};

impl Context {
    /// Walks `root` and keeps what `ignore` does not exclude.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for a malformed pattern, and for an entry that is not ignored and cannot be
    /// sent: unreadable, a FIFO, a socket, a device.
    pub fn walk(root: Root, ignore: Option<IgnoreFile>) -> Result<Self> {
        let matcher = ignore.as_ref().map(Matcher::new).transpose()?;
        let mut walk = Walk {
            root: root.path().to_owned(),
            ignore_name: ignore.as_ref().map_or_else(|| root.given().join(".dockerignore"), |file| file.path.clone()),
            matcher,
            ancestors: Vec::new(),
            entries: Vec::new(),
            totals: Totals::default(),
            traits: Traits::default(),
            ignored: 0,
        };
        walk.run()?;
        let Walk { entries, totals, traits, ignored, .. } = walk;
        Ok(Self { root, ignore, entries, totals, traits, ignored })
    }
}

/// A directory on the way to the current entry.
struct Ancestor {
    path: PathBuf,
    parent: Parent,
    /// Its place in the entries; `None` for an ignored directory of which nothing was kept so far.
    kept_as: Option<usize>,
    /// See [`Entry::is_whole`].
    is_whole: bool,
}

struct Walk {
    root: PathBuf,
    ignore_name: PathBuf,
    matcher: Option<Matcher>,
    /// The chain of directories above the current entry, the root left out.
    ancestors: Vec<Ancestor>,
    entries: Vec<Entry>,
    totals: Totals,
    traits: Traits,
    ignored: u64,
}

impl Walk {
    fn run(&mut self) -> Result<()> {
        let mut walker = WalkDir::new(&self.root).min_depth(1).follow_links(false).sort_by_file_name().into_iter();
        while let Some(found) = walker.next() {
            let entry = match found {
                Ok(entry) => entry,
                Err(error) => {
                    self.unreadable_directory(error)?;
                    continue;
                }
            };
            if !self.visit(&entry)? {
                walker.skip_current_dir();
            }
        }
        Ok(())
    }

    /// Looks at one entry; false for a directory that need not be entered.
    fn visit(&mut self, entry: &DirEntry) -> Result<bool> {
        self.ancestors.truncate(entry.depth().saturating_sub(1));
        let path = entry.path().strip_prefix(&self.root).unwrap_or(entry.path());
        let is_directory = entry.file_type().is_dir();
        let (ignored, parent) = self.is_ignored(path)?;
        let enter = !ignored || self.matcher.as_ref().is_none_or(|matcher| matcher.may_except_below(as_bytes(path)));
        if ignored {
            self.ignored += 1;
            self.leave_out();
        } else {
            self.keep_ancestors();
            self.keep(entry, path.to_owned())?;
        }
        if is_directory && enter {
            let kept_as = (!ignored).then(|| self.entries.len().saturating_sub(1));
            self.ancestors.push(Ancestor { path: path.to_owned(), parent, kept_as, is_whole: !ignored });
        }
        Ok(enter || !is_directory)
    }

    /// Notes that something below every directory above is left out.
    fn leave_out(&mut self) {
        for ancestor in self.ancestors.iter_mut().rev().take_while(|ancestor| ancestor.is_whole) {
            ancestor.is_whole = false;
            if let Some(entry) = ancestor.kept_as.and_then(|index| self.entries.get_mut(index)) {
                entry.is_whole = false;
            }
        }
    }

    fn is_ignored(&self, path: &Path) -> Result<(bool, Parent)> {
        let Some(matcher) = &self.matcher else { return Ok((false, Parent::default())) };
        match self.ancestors.last() {
            Some(ancestor) => matcher.check(as_bytes(path), &ancestor.parent),
            None => matcher.check(as_bytes(path), &Parent::default()),
        }
    }

    /// The directories above something that is kept are kept too, even when they are ignored themselves.
    fn keep_ancestors(&mut self) {
        for ancestor in self.ancestors.iter_mut().filter(|ancestor| ancestor.kept_as.is_none()) {
            ancestor.kept_as = Some(self.entries.len());
            self.ignored = self.ignored.saturating_sub(1);
            self.totals.directories += 1;
            let path = ancestor.path.clone();
            self.entries.push(Entry { path, kind: EntryKind::Directory, bytes: 0, is_whole: false });
        }
    }

    fn keep(&mut self, entry: &DirEntry, path: PathBuf) -> Result<()> {
        let file_type = entry.file_type();
        let (kind, bytes) = if file_type.is_dir() {
            self.totals.directories += 1;
            (EntryKind::Directory, 0)
        } else if file_type.is_symlink() {
            self.totals.symlinks += 1;
            (EntryKind::Symlink, 0)
        } else if file_type.is_file() {
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) => return self.unreadable(&path, error.into()),
            };
            self.check_readable(&path, metadata.mode())?;
            self.traits.hard_links |= metadata.nlink() > 1;
            self.totals.files += 1;
            self.totals.bytes += metadata.len();
            (EntryKind::File, metadata.len())
        } else {
            return Err(self.not_sendable(&path, file_type));
        };
        self.traits.xattrs = self.traits.xattrs || has_xattrs(entry.path());
        self.entries.push(Entry { path, kind, bytes, is_whole: true });
        Ok(())
    }

    /// A file that everybody may read needs no second look.
    fn check_readable(&self, path: &Path, mode: u32) -> Result<()> {
        if mode & 0o444 == 0o444 {
            return Ok(());
        }
        let absolute = self.root.join(path);
        rustix::fs::accessat(rustix::fs::CWD, &absolute, rustix::fs::Access::READ_OK, rustix::fs::AtFlags::EACCESS)
            .or_else(|error| self.unreadable(path, error.into()))
    }

    fn unreadable_directory(&mut self, error: walkdir::Error) -> Result<()> {
        let path = error.path().unwrap_or(&self.root);
        let path = path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        self.ancestors.truncate(error.depth());
        // Entered only because an exception might have named something below: then it is no loss, as in BuildKit.
        let is_ignored =
            self.ancestors.last().is_some_and(|ancestor| ancestor.path == path && ancestor.kept_as.is_none());
        if is_ignored { Ok(()) } else { self.unreadable(&path, error.into()) }
    }

    /// What vanished while we looked is no error; what cannot be read is.
    fn unreadable(&self, path: &Path, error: std::io::Error) -> Result<()> {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Ok(());
        }
        let error = Error::usage(format!("`{}` in the context cannot be read", path.display())).because(error);
        Err(error.hint(format!("change its permissions, or add it to `{}`", self.ignore_name.display())))
    }

    fn not_sendable(&self, path: &Path, file_type: FileType) -> Error {
        let kind = if file_type.is_fifo() {
            "a FIFO (named pipe)"
        } else if file_type.is_socket() {
            "a socket"
        } else {
            "a device"
        };
        Error::usage(format!("`{}` in the context is {kind}, which cannot be sent", path.display()))
            .hint(format!("remove it, or add it to `{}`", self.ignore_name.display()))
    }
}

/// The bytes BuildKit matches: the path with `/`.
fn as_bytes(path: &Path) -> &[u8] {
    let path: &OsStr = path.as_os_str();
    path.as_bytes()
}

/// True when the entry has extended attributes that BuildKit would send.
#[cfg(target_os = "linux")]
fn has_xattrs(path: &Path) -> bool {
    // An attribute list that cannot be read is BuildKit's own matter to complain about, not ours.
    rustix::fs::llistxattr_query(path).is_ok_and(|length| length > 0)
}

/// Other systems put attributes of their own on every file; BuildKit leaves those behind as well.
#[cfg(not(target_os = "linux"))]
fn has_xattrs(_path: &Path) -> bool {
    false
}
