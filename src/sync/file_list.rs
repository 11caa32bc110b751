//! [`FileList`]: what rsync is told to send, through `--files-from=- --from0`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::inputs::context::{Context, Entry, EntryKind};

/// Names ended by NUL, the one byte that no name holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileList {
    /// The list.
    pub names: Vec<u8>,
    /// True when a directory in the list stands for everything below it.
    ///
    /// rsync is half as fast again when it finds the files itself, so a directory of which nothing is left out is named
    /// once, and a directory of which something is left out not at all: rsync makes it on the way to what it holds.
    pub recursive: bool,
}

/// What is to be sent of `context`.
pub fn file_list(context: &Context) -> FileList {
    let entries = context.entries();
    if has_hollow_directory(entries) {
        return FileList { names: joined(entries.iter()), recursive: false };
    }
    let mut covered: Option<&Path> = None;
    let names = entries.iter().filter(|entry| {
        if covered.is_some_and(|directory| entry.path.starts_with(directory)) {
            return false;
        }
        let is_directory = entry.kind == EntryKind::Directory;
        if is_directory && entry.is_whole {
            covered = Some(&entry.path);
        }
        !is_directory || entry.is_whole
    });
    FileList { names: joined(names), recursive: true }
}

/// True when there is a directory of which all content is left out: it has to be named, and must not stand for what is
/// in it.
fn has_hollow_directory(entries: &[Entry]) -> bool {
    // What a directory holds follows right behind it.
    let holds_the_next =
        |directory: &Entry, next: Option<&Entry>| next.is_some_and(|next| next.path.starts_with(&directory.path));
    entries.iter().enumerate().any(|(index, entry)| !entry.is_whole && !holds_the_next(entry, entries.get(index + 1)))
}

/// Each name with `./` before it, because rsync takes a name that starts with `#` or `;` for a comment.
fn joined<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<u8> {
    let mut names = Vec::new();
    for entry in entries {
        names.extend_from_slice(b"./");
        names.extend_from_slice(entry.path.as_os_str().as_bytes());
        names.push(0);
    }
    names
}
