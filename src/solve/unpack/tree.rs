//! [`Tree`]: writes entries below one directory and nowhere else.
//!
//! Every directory on the way is opened by its name from the one above it, without following links (`O_NOFOLLOW`), and
//! files are only ever created (`O_EXCL`). So no link, whoever made it, is written through, and nothing that exists is
//! changed. This needs no Linux-only call.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::solve::unpack::entry_path::EntryPath;
use crate::solve::unpack::{broken, refused, unwritable};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const BUFFER: usize = 128 << 10;

/// Mode and time of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    /// Permission bits, at most `0o777`.
    pub(super) mode: u32,
    pub(super) mtime: (i64, u32),
}

/// A directory that entries are written into.
pub(super) struct Tree {
    root: OwnedFd,
    /// Where the root is, for errors.
    place: PathBuf,
    /// The directory that was written to last.
    last: Option<(EntryPath, OwnedFd)>,
    /// Directories whose attributes are set at the end: a read-only one must take its entries first.
    pending: Vec<(EntryPath, Attributes)>,
    buffer: Vec<u8>,
    made: u64,
}

impl Tree {
    /// A tree below the directory at `place`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(place: &Path) -> Result<Self> {
        let root = rustix::fs::open(place, DIRECTORY, Mode::empty()).map_err(|error| unwritable(place, error))?;
        let place = place.to_owned();
        Ok(Self { root, place, last: None, pending: Vec::new(), buffer: vec![0; BUFFER], made: 0 })
    }

    /// How many entries were made, directories on the way included.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Makes a directory; one that is there already gets the new attributes.
    pub(super) fn directory(&mut self, path: EntryPath, attributes: Attributes) -> Result<()> {
        if path == EntryPath::default() {
            return Ok(());
        }
        self.enter(&path)?;
        self.pending.push((path, attributes));
        Ok(())
    }

    /// Makes a file with the content of `content`. Gives its size.
    pub(super) fn file(&mut self, path: &EntryPath, content: impl Read, attributes: Attributes) -> Result<u64> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let make = |parent: &OwnedFd, name: &OsStr| rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(self.make(path, make)?);
        let written = self.copy(path, content, &mut file)?;
        set_attributes(&file, attributes).map_err(|error| self.failed(path, error))?;
        Ok(written)
    }

    /// Makes a symbolic link. The caller has checked the target.
    pub(super) fn symlink(&mut self, path: &EntryPath, target: &[u8]) -> Result<()> {
        self.make(path, |parent, name| rustix::fs::symlinkat(target, parent, name))
    }

    /// Makes another name for a file that was made earlier.
    pub(super) fn hard_link(&mut self, path: &EntryPath, target: &EntryPath) -> Result<()> {
        let no = || refused(format!("the result holds `{path}`, a hard link to `{target}`, which is no file in it"));
        let (parent, target_name) = target.split().ok_or_else(no)?;
        let target_parent = self.walk(&parent, false)?.ok_or_else(no)?;
        let found = rustix::fs::statat(&target_parent, target_name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| no())?;
        if !FileType::from_raw_mode(found.st_mode as _).is_file() {
            return Err(no());
        }
        self.make(path, |parent, name| rustix::fs::linkat(&target_parent, target_name, parent, name, AtFlags::empty()))
    }

    /// Sets the attributes of directories, the deepest first.
    pub(super) fn finish(mut self) -> Result<()> {
        self.last = None;
        for (path, attributes) in std::mem::take(&mut self.pending).into_iter().rev() {
            if let Some(directory) = self.walk(&path, false)? {
                // The owner keeps all rights on a directory, so that what is in it can be moved and deleted.
                let attributes = Attributes { mode: attributes.mode | 0o700, ..attributes };
                set_attributes(&directory, attributes).map_err(|error| self.failed(&path, error))?;
            }
        }
        Ok(())
    }

    /// Makes one new entry by `create`, in its directory.
    fn make<T>(&mut self, path: &EntryPath, create: impl FnOnce(&OwnedFd, &OsStr) -> Result<T, Errno>) -> Result<T> {
        let Some((parent, name)) = path.split() else {
            return Err(refused("the result holds an entry in place of its own root"));
        };
        let inside = self.last.as_ref().is_some_and(|(last, _)| path.is_in(last));
        if !inside {
            self.enter(&parent)?;
        }
        let directory = self.last.as_ref().map_or(&self.root, |(_, directory)| directory);
        let made = create(directory, name).map_err(|error| match error {
            Errno::EXIST => refused(format!("the result holds `{path}` twice")),
            error => self.failed(path, error),
        })?;
        self.made += 1;
        Ok(made)
    }

    /// Opens the directory at `path`, making what is missing, and remembers it.
    fn enter(&mut self, path: &EntryPath) -> Result<()> {
        self.last = None;
        if let Some(directory) = self.walk(path, true)? {
            self.last = Some((path.clone(), directory));
        }
        Ok(())
    }

    /// Opens the directory at `path` name by name. `None` when it is not there and shall not be made.
    fn walk(&mut self, path: &EntryPath, make: bool) -> Result<Option<OwnedFd>> {
        let mut directory = self.root.as_fd().try_clone_to_owned().map_err(|error| unwritable(&self.place, error))?;
        for name in path.names() {
            let next = match rustix::fs::openat(&directory, name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755))
                        .map_err(|error| self.failed(path, error))?;
                    self.made += 1;
                    rustix::fs::openat(&directory, name, DIRECTORY, Mode::empty())
                }
                other => other,
            };
            directory = match next {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                    return Err(refused(format!(
                        "the result holds `{path}`, but `{}` on the way is no directory",
                        crate::sanitise::line(&name.to_string_lossy())
                    )));
                }
                Err(error) => return Err(self.failed(path, error)),
            };
        }
        Ok(Some(directory))
    }

    /// Copies, telling a stream that breaks off from a disk that cannot be written.
    fn copy(&mut self, path: &EntryPath, mut content: impl Read, file: &mut File) -> Result<u64> {
        let mut written = 0;
        loop {
            let count = match content.read(&mut self.buffer) {
                Ok(0) => return Ok(written),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken("broke off within a file").because(error)),
            };
            let part = self.buffer.get(..count).unwrap_or_default();
            file.write_all(part).map_err(|error| self.failed(path, error))?;
            written += count as u64;
        }
    }

    fn failed(&self, path: &EntryPath, error: impl Into<std::io::Error>) -> Error {
        unwritable(&self.place.join(path.to_string()), error)
    }
}

fn set_attributes(entry: impl AsFd, attributes: Attributes) -> Result<(), Errno> {
    rustix::fs::fchmod(&entry, Mode::from_raw_mode((attributes.mode & 0o777) as _))?;
    let (seconds, nanoseconds) = attributes.mtime;
    let time = Timespec { tv_sec: seconds as _, tv_nsec: nanoseconds as _ };
    match rustix::fs::futimens(&entry, &Timestamps { last_access: time, last_modification: time }) {
        // A time that this file system cannot hold is no reason to lose the result.
        Err(Errno::INVAL | Errno::OVERFLOW | Errno::RANGE) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}
