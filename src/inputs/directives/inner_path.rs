//! Paths in directives: they stay below the directory that they count from, links included.

use std::io::ErrorKind as Io;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::inputs::build_arg::{BuildContext, ContextSource};
use crate::nearest::nearest;

/// What `relative` means below `root`, which has no links: something that is there.
///
/// # Errors
/// `Usage` when it is not there, or is outside of `root`, or in a `.git`.
pub fn existing(root: &Path, relative: &str) -> Result<PathBuf> {
    check_text(relative)?;
    let whole = root.join(relative);
    let found = whole.canonicalize().map_err(|error| {
        let missing = Error::usage(format!("`{relative}` cannot be found")).because(error);
        near(root, &whole).into_iter().fold(missing, |error, near| error.hint(format!("did you mean `{near}`?")))
    })?;
    inside(root, relative, found)
}

/// The path from `root` to what stands beside a missing name and is most like it.
fn near(root: &Path, missing: &Path) -> Option<String> {
    let (parent, name) = (missing.parent()?, missing.file_name()?.to_str()?);
    let entries = parent.read_dir().ok()?.flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(parent.join(near).strip_prefix(root).ok()?.display().to_string())
}

/// What `relative` means below `root`, which has no links: something that need not be there yet.
///
/// # Errors
/// `Usage` when it would be outside of `root`, or in a `.git`, and for a link that leads nowhere.
pub fn destination(root: &Path, relative: &str) -> Result<PathBuf> {
    check_text(relative)?;
    let mut missing = Vec::new();
    let whole = root.join(relative);
    let mut path = whole.as_path();
    loop {
        match path.symlink_metadata() {
            Ok(_) => break,
            Err(error) if error.kind() == Io::NotFound => {}
            Err(error) => return Err(Error::usage(format!("`{relative}` cannot be used")).because(error)),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::usage(format!("`{relative}` names no file")));
        };
        missing.push(name);
        path = parent;
    }
    let found = path
        .canonicalize()
        .map_err(|error| Error::usage(format!("`{relative}` is a link that leads nowhere")).because(error))?;
    inside(root, relative, missing.iter().rev().fold(found, |path, name| path.join(name)))
}

/// A named context, whose directory has to be inside of `root`, which has no links.
///
/// # Errors
/// `Usage` for a name or an image that is none, for a directory that is not there or is outside, and for any other kind of
/// source.
pub fn named_context(root: &Path, name: &str, source: &str) -> Result<BuildContext> {
    if ContextSource::is_directory(source) {
        existing(root, source)?;
    }
    BuildContext::new(&format!("the named context `{name}`"), name, source, root)
}

/// Refuses what leads out by its very text, before anything is looked for on the disk.
fn check_text(relative: &str) -> Result<()> {
    if relative.contains("://") {
        return Err(Error::usage(format!("`{relative}` is an address, and only what is in the repository is built"))
            .hint("check it out beside the directives, and name the directory"));
    }
    let is_inner = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !relative.is_empty() && Path::new(relative).components().all(is_inner) {
        return Ok(());
    }
    Err(Error::usage(format!("`{relative}` is not a path in the repository: relative, without `..`")))
}

fn inside(root: &Path, relative: &str, path: PathBuf) -> Result<PathBuf> {
    let Ok(inner) = path.strip_prefix(root) else {
        return Err(Error::usage(format!(
            "`{relative}` leads to `{}`, outside of `{}`",
            path.display(),
            root.display()
        ))
        .hint("what directives name has to be inside; say other paths with flags"));
    };
    let is_git = |part: Component<'_>| part.as_os_str().eq_ignore_ascii_case(".git");
    if inner.components().any(is_git) {
        return Err(Error::usage(format!("`{relative}` leads into `.git`")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_leads_out_of_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        let root = top.join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir_all(root.join(".git/hooks")).unwrap();
        std::fs::create_dir(top.join("other")).unwrap();
        symlink("../other", root.join("out")).unwrap();
        symlink("a", root.join("in")).unwrap();
        symlink(".git", root.join("git")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        assert_eq!(existing(&root, "in/b").unwrap(), root.join("a/b"));
        assert_eq!(existing(&root, ".").unwrap(), root);
        assert_eq!(destination(&root, "in/new/file").unwrap(), root.join("a/new/file"));
        assert_eq!(destination(&root, "new").unwrap(), root.join("new"));
        for bad in
            ["", "out", "../other", "a/../../other", "/etc", ".git/hooks", "git", "git/hooks", "dangling", "none"]
        {
            assert!(existing(&root, bad).is_err(), "{bad}");
        }
        for bad in [
            "out/x",
            "../other/x",
            "/etc/x",
            ".git/hooks/pre-commit",
            "git/x",
            ".GIT/x",
            "new/../../x",
            "dangling",
            "dangling/x",
        ] {
            assert!(destination(&root, bad).is_err(), "{bad}");
        }
    }
}
