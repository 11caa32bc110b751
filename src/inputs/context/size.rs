//! Where a context's bytes are, said before a large one is sent.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::contents::{Context, EntryKind};
use crate::{sanitise, units};

/// From this size on (in bytes) a context says where its bytes are.
pub const LARGE_CONTEXT_BYTES: u64 = 200 << 20;

/// How many places are named.
const NAMED_PLACES: usize = 5;

/// One place of the context and how much is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Relative to the context's root.
    pub path: PathBuf,
    /// True for a directory.
    pub is_directory: bool,
    /// Bytes in regular files, itself or below.
    pub bytes: u64,
    /// Regular files, itself or below.
    pub files: u64,
}

impl Context {
    /// The `count` largest places. A directory that is large only because of one thing in it is replaced by that
    /// thing, so the answer is as precise as it is useful.
    pub fn largest(&self, count: usize) -> Vec<Share> {
        let mut shares = self.children_of(Path::new(""));
        for share in &mut shares {
            self.descend(share);
        }
        shares.truncate(count);
        shares
    }

    /// Goes down while one child holds nearly all of the bytes.
    fn descend(&self, share: &mut Share) {
        while share.is_directory {
            match self.children_of(&share.path).into_iter().next() {
                Some(child)
                    if child.is_directory && child.bytes.saturating_mul(10) >= share.bytes.saturating_mul(9) =>
                {
                    *share = child;
                }
                _ => return,
            }
        }
    }

    /// What stands directly in `directory`, the largest first.
    fn children_of(&self, directory: &Path) -> Vec<Share> {
        let mut by_name: HashMap<&OsStr, Share> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.kind == EntryKind::File) {
            let Ok(below) = entry.path.strip_prefix(directory) else { continue };
            let mut names = below.iter();
            let Some(name) = names.next() else { continue };
            let share = by_name.entry(name).or_insert_with(|| Share {
                path: directory.join(name),
                is_directory: names.next().is_some(),
                bytes: 0,
                files: 0,
            });
            share.bytes += entry.bytes;
            share.files += 1;
        }
        let mut shares: Vec<Share> = by_name.into_values().collect();
        shares.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.path.cmp(&other.path)));
        shares
    }
}

/// What to tell the user before a large context is sent; `None` for one below [`LARGE_CONTEXT_BYTES`].
pub fn large_context_warning(context: &Context) -> Option<String> {
    warning(context, LARGE_CONTEXT_BYTES)
}

fn warning(context: &Context, threshold: u64) -> Option<String> {
    let totals = context.totals();
    if totals.bytes < threshold {
        return None;
    }
    let mut text =
        format!("the context holds {} in {} files; the most of it is in", units::bytes(totals.bytes), totals.files);
    for share in context.largest(NAMED_PLACES) {
        let slash = if share.is_directory { "/" } else { "" };
        let path = sanitise::line(&share.path.to_string_lossy());
        let _ = write!(text, "\n  {:>9}  {path}{slash}", units::bytes(share.bytes));
    }
    let file = context.ignore().map_or_else(|| context.root().given().join(".dockerignore"), |file| file.path.clone());
    let _ = write!(text, "\nwhat the build does not need can be left out in `{}`", file.display());
    Some(text)
}
