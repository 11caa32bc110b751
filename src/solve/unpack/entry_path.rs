//! [`EntryPath`]: a path within the result, and [`check_symlink`]: a link's target that stays within.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::error::Result;
use crate::sanitise;
use crate::solve::unpack::{Limits, refused};

/// What to do about a result that cannot be unpacked here.
const AS_A_FILE: &str = "write `type=tar,dest=FILE` to get the result as a file, as it is";

/// A relative path of plain names; empty for the result's own root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EntryPath(Vec<Vec<u8>>);

impl EntryPath {
    /// Checks a path as it stands in an archive. `.` and repeated `/` are dropped.
    ///
    /// # Errors
    /// For absolute paths, `..`, NUL bytes, whatever is longer or deeper than a file system takes, and what would become
    /// part of a git directory: a hook or a setting there is a command that the caller's next `git` runs.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let no = |why: &str| Err(refused(format!("the result holds the path `{}`, {why}", shown(bytes))));
        if bytes.is_empty() {
            return no("which is empty");
        }
        if bytes.len() > Limits::PATH_BYTES {
            return no(&format!("which is longer than {} bytes", Limits::PATH_BYTES));
        }
        if bytes.starts_with(b"/") {
            return no("which is absolute");
        }
        if bytes.contains(&0) {
            return no("which has a NUL byte");
        }
        let names = bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
        let names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
        if names.iter().any(|name| name == b"..") {
            return no("which leads out by `..`");
        }
        if names.iter().any(|name| name.len() > 255) {
            return no("which has a name longer than 255 bytes");
        }
        if names.iter().any(|name| is_git(name)) {
            return no("which is part of a git directory: its hooks and settings would run commands on this machine")
                .map_err(|error| error.hint(AS_A_FILE));
        }
        if names.len() > Limits::DEPTH {
            return no(&format!("which is deeper than {} directories", Limits::DEPTH));
        }
        Ok(Self(names))
    }

    /// The names from the root down.
    pub(super) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter().map(|name| OsStr::from_bytes(name))
    }

    /// The directory and the name in it; `None` for the root.
    pub(super) fn split(&self) -> Option<(Self, &OsStr)> {
        let (name, parent) = self.0.split_last()?;
        Some((Self(parent.to_vec()), OsStr::from_bytes(name)))
    }

    /// True when this is `parent`'s path and one name more.
    pub(super) fn is_in(&self, parent: &Self) -> bool {
        self.0.split_last().is_some_and(|(_, above)| above == parent.0)
    }

    /// How much memory it takes, roughly.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|name| name.len() as u64 + 24).sum()
    }
}

impl std::fmt::Display for EntryPath {
    /// Safe to show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.0.join(&b'/')))
    }
}

/// Checks that the symbolic link at `path` cannot lead out of the result, whatever other links the result holds.
///
/// The rule: the target is relative, its `..` all stand at its beginning, and there are no more of them than the link is
/// deep. The link's own directory is a real one at a known depth, so the leading `..` end within; each name after them
/// leads down, or through another link of the result, for which the same holds. A `..` behind a name could follow a link
/// first and then step out of where it led, so it is refused even where it would do no harm.
///
/// # Errors
/// For every other target.
pub(super) fn check_symlink(path: &EntryPath, target: &[u8]) -> Result<()> {
    let no = |why: &str| {
        Err(refused(format!("the result holds the link `{path}` to `{}`, {why}", shown(target))).hint(AS_A_FILE))
    };
    if target.is_empty() || target.len() >= Limits::PATH_BYTES || target.contains(&0) {
        return no("which is no path");
    }
    if target.starts_with(b"/") {
        return no("which is absolute and would lead somewhere else on this machine");
    }
    if target.split(|byte| *byte == b'/').any(is_git) {
        return no("which leads into a git directory");
    }
    let mut depth = path.0.len().saturating_sub(1);
    let mut names = false;
    for part in target.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if part != b".." {
            names = true;
        } else if names {
            return no("which has `..` behind a name");
        } else if depth == 0 {
            return no("which leads out of the result");
        } else {
            depth -= 1;
        }
    }
    Ok(())
}

/// True for the name of a repository's directory, however a file system that ignores case writes it.
fn is_git(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b".git")
}

/// A foreign path, cut and safe to show.
pub(super) fn shown(bytes: &[u8]) -> String {
    sanitise::line(&String::from_utf8_lossy(bytes).chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_taken_and_tidied() {
        let path = EntryPath::parse(b"./a//b/./c d\n/").unwrap();
        assert_eq!(path, EntryPath(vec![b"a".to_vec(), b"b".to_vec(), b"c d\n".to_vec()]));
        assert_eq!(EntryPath::parse(b"./").unwrap(), EntryPath::default());
        assert!(EntryPath::parse(b"..a/...").is_ok() && EntryPath::parse(b"\xff\xfe").is_ok());
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let deep = "a/".repeat(Limits::DEPTH + 1);
        let long = "a".repeat(256);
        for path in ["", "/", "/etc/passwd", "..", "a/../../b", "a/..", "./..", "a\0b", deep.as_str(), long.as_str()] {
            assert!(EntryPath::parse(path.as_bytes()).is_err(), "{path:?}");
        }
    }

    #[test]
    fn nothing_gets_into_a_git_directory() {
        for path in [".git", "./.git/hooks/post-checkout", "a/.git/config", "a/.GIT", ".Git/x"] {
            let error = EntryPath::parse(path.as_bytes()).unwrap_err();
            assert!(error.message().contains("git directory") && !error.hints().is_empty(), "{path}: {error:?}");
        }
        for path in [".gitignore", "git/hooks/x", "a.git/config", ".github/x"] {
            assert!(EntryPath::parse(path.as_bytes()).is_ok(), "{path}");
        }
        let link = EntryPath::parse(b"a/l").unwrap();
        for target in ["../.git/hooks", ".git", "../x/.GIT"] {
            assert!(check_symlink(&link, target.as_bytes()).is_err(), "{target}");
        }
        check_symlink(&link, b"../.gitignore").unwrap();
    }

    #[test]
    fn links_within_are_taken_and_others_refused() {
        let check =
            |path: &str, target: &str| check_symlink(&EntryPath::parse(path.as_bytes()).unwrap(), target.as_bytes());
        for (path, target) in [("l", "f"), ("a/l", "../f"), ("a/b/l", "../../c/d"), ("l", "./a//b"), ("a/l", "..")] {
            check(path, target).unwrap();
        }
        for (path, target) in
            [("l", ".."), ("a/l", "../.."), ("l", "/etc"), ("l", "a/.."), ("a/b/l", "x/../y"), ("l", ""), ("l", "a\0")]
        {
            assert!(check(path, target).is_err(), "{path} -> {target}");
        }
    }
}
