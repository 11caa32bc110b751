//! [`IncomingDirectory`]: a directory result (`local`, and `oci` with `tar=false`) on its way to its destination.

use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Result;
use crate::solve::unpack::archive::{Archive, Kind, Member};
use crate::solve::unpack::entry_path::{EntryPath, check_symlink, shown};
use crate::solve::unpack::tree::{Attributes, Tree};
use crate::solve::unpack::{Limits, TEMPORARY_PREFIX, refused, unwritable};

/// A result that is unpacked, near its destination. Dropping it deletes it.
///
/// What is taken: files, directories, symbolic links that cannot lead out, hard links to files of the same result, with
/// their permission bits and times. Owners, extended attributes, setuid, setgid and sticky bits are not kept. Anything
/// else (absolute paths, `..`, `.git`, devices, FIFOs, sparse files, a path twice) refuses the whole result.
#[derive(Debug)]
pub struct IncomingDirectory {
    temporary: TempDir,
    dest: PathBuf,
    unpacked: Unpacked,
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Entries made.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Entries that lost a setuid, setgid or sticky bit.
    pub stripped: u64,
}

/// The name of the result within its temporary directory.
const RESULT: &str = "result";
/// The most memory the paths of directories may take until their attributes are set.
const PENDING_BYTES: u64 = 64 << 20;

impl IncomingDirectory {
    /// Unpacks the tar stream `reader` into a fresh directory within `dest`, or beside it when it does not exist yet.
    /// Blocks: call it within `spawn_blocking`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Build`] for a result that is not taken, [`crate::error::ErrorKind::Runner`] for a stream
    /// that breaks off, [`crate::error::ErrorKind::State`] when it cannot be written.
    pub fn receive(reader: impl Read, dest: &Path, limits: &Limits) -> Result<Self> {
        // On the same file system as the destination, so that moving is renaming.
        let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let near = if dest.is_dir() { dest } else { parent };
        fs::create_dir_all(near).map_err(|error| unwritable(near, error))?;
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempdir_in(near)
            .map_err(|error| unwritable(near, error))?;
        let root = temporary.path().join(RESULT);
        fs::create_dir(&root).map_err(|error| unwritable(&root, error))?;
        let unpacked = unpack(reader, &root, limits)?;
        Ok(Self { temporary, dest: dest.to_owned(), unpacked })
    }

    /// Moves what was unpacked to the destination. Into a directory that exists, it is merged as buildctl does: files and
    /// links are replaced, each in one step, directories are merged, and what the result does not hold stays.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::State`] when a directory would have to replace something else or the reverse (nothing
    /// was moved then), or a move fails.
    pub fn commit(self) -> Result<Unpacked> {
        let Self { temporary, dest, unpacked } = self;
        let root = temporary.path().join(RESULT);
        if !dest.exists() {
            fs::rename(&root, &dest).map_err(|error| unwritable(&dest, error))?;
            return Ok(unpacked);
        }
        for (from, to) in plan_moves(&root, &dest)? {
            fs::rename(&from, &to).map_err(|error| unwritable(&to, error))?;
        }
        Ok(unpacked)
    }
}

fn unpack(reader: impl Read, root: &Path, limits: &Limits) -> Result<Unpacked> {
    let mut archive = Archive::new(BufReader::with_capacity(256 << 10, reader));
    let mut tree = Tree::open(root)?;
    let mut unpacked = Unpacked::default();
    let mut pending_bytes = 0;
    let mut members = 0_u64;
    while let Some(Member { path: raw, kind, mode, mtime }) = archive.next()? {
        let path = EntryPath::parse(&raw)?;
        let attributes = Attributes { mode: plain_mode(mode), mtime };
        unpacked.stripped += u64::from(mode & 0o7000 != 0);
        match kind {
            Kind::File(size) => {
                if size > limits.bytes.saturating_sub(unpacked.bytes) {
                    return Err(refused(format!("the result is larger than the limit of {} bytes", limits.bytes)));
                }
                unpacked.bytes += tree.file(&path, archive.content(), attributes)?;
            }
            Kind::Directory => {
                pending_bytes += path.bytes() + size_of::<(EntryPath, Attributes)>() as u64;
                if pending_bytes > PENDING_BYTES {
                    return Err(refused("the result holds too many directories"));
                }
                tree.directory(path, attributes)?;
            }
            Kind::Symlink(target) => {
                check_symlink(&path, &target)?;
                tree.symlink(&path, &target)?;
            }
            Kind::HardLink(target) => {
                let target = EntryPath::parse(&target)
                    .map_err(|error| refused(format!("a hard link `{}` leads out", shown(&raw))).because(error))?;
                tree.hard_link(&path, &target)?;
            }
        }
        members += 1;
        if members.max(tree.made()) > limits.entries {
            return Err(refused(format!("the result holds more than {} entries", limits.entries)));
        }
    }
    unpacked.entries = tree.made();
    tree.finish()?;
    Ok(unpacked)
}

/// The permission bits without setuid, setgid and sticky. Others may write into a sticky directory because they cannot
/// delete what is not theirs; without the bit they could, so that right goes with it.
fn plain_mode(mode: u32) -> u32 {
    if mode & 0o1000 == 0 { mode & 0o777 } else { mode & 0o755 }
}

/// Which renames merge `from` into `to`; looks at everything before anything is moved. Links are never followed: a link
/// in the destination is replaced, not written through.
fn plan_moves(from: &Path, to: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut moves = Vec::new();
    let mut directories = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = directories.pop() {
        for entry in fs::read_dir(&from).map_err(|error| unwritable(&from, error))? {
            let entry = entry.map_err(|error| unwritable(&from, error))?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let is_directory = entry.file_type().map_err(|error| unwritable(&source, error))?.is_dir();
            match target.symlink_metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => moves.push((source, target)),
                Err(error) => return Err(unwritable(&target, error)),
                Ok(there) if is_directory && there.is_dir() => directories.push((source, target)),
                Ok(there) if is_directory || there.is_dir() => {
                    let what = if is_directory { "a directory" } else { "no directory" };
                    return Err(crate::error::Error::new(
                        crate::error::ErrorKind::State,
                        format!("cannot replace `{}`: it is {what} in the result, but not there", shown_path(&target)),
                    )
                    .hint("remove it, or name another destination"));
                }
                Ok(_) => moves.push((source, target)),
            }
        }
    }
    Ok(moves)
}

fn shown_path(path: &Path) -> String {
    crate::sanitise::line(&path.to_string_lossy())
}
