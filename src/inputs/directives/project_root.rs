//! [`ProjectRoot`]: the directory that a directives file, and all that it names, has to be in.

use std::path::{Path, PathBuf};

use crate::env_vars::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::work_tree::WorkTree;

/// A directives file with the directory that its paths count from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRoot {
    /// The directory, absolute and without links.
    pub directory: PathBuf,
    /// The file, from there.
    pub file: PathBuf,
}

impl ProjectRoot {
    /// Finds the root for `file`, which may be relative to `current`: the git repository that contains it; else the
    /// current directory, when that contains it and is a project's; else the file's own directory. git is not asked: its
    /// answer may come from files of the project, and where it has none the current directory may be far above.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when there is no such file.
    pub fn find(file: &Path, current: &Path, environment: &Environment) -> Result<Self> {
        let path = current.join(file);
        let missing = |error: std::io::Error| {
            Error::new(ErrorKind::Spec, format!("the directives `{}` cannot be found", file.display())).because(error)
        };
        path.metadata().map_err(missing)?;
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return Err(Error::usage(format!("`--directives {}` does not name a file", file.display())));
        };
        let parent = parent.canonicalize().map_err(missing)?;
        let directory = match WorkTree::containing(&parent) {
            Some(tree) => tree.top,
            None => {
                let current = current.canonicalize().ok();
                let home = environment.home().and_then(|home| home.canonicalize().ok());
                let project = current.filter(|current| current.parent().is_some() && Some(current) != home.as_ref());
                project.filter(|current| parent.starts_with(current)).unwrap_or_else(|| parent.clone())
            }
        };
        let file = parent.strip_prefix(&directory).unwrap_or(Path::new("")).join(name);
        Ok(Self { directory, file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(file: &str, current: &Path, environment: &Environment) -> (PathBuf, PathBuf) {
        let root = ProjectRoot::find(Path::new(file), current, environment).unwrap();
        (root.directory, root.file)
    }

    #[test]
    fn without_git_it_is_the_current_directory_or_the_files_own() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("a/ci")).unwrap();
        std::fs::create_dir(top.join("b")).unwrap();
        std::fs::write(top.join("a/ci/x.ncl"), "{}").unwrap();
        let none = Environment::default();
        let inside = root("ci/x.ncl", &top.join("a"), &none);
        assert_eq!(inside, (top.join("a"), PathBuf::from("ci/x.ncl")));
        let outside = root("../a/ci/x.ncl", &top.join("b"), &none);
        assert_eq!(outside, (top.join("a/ci"), PathBuf::from("x.ncl")));
        let error = ProjectRoot::find(Path::new("none.ncl"), &top, &none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
    }

    #[test]
    fn a_repository_is_the_root_whatever_git_would_say() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("work/ci/objects")).unwrap();
        std::fs::create_dir_all(top.join("work/ci/refs")).unwrap();
        std::fs::create_dir(top.join("work/.git")).unwrap();
        std::fs::write(top.join("work/ci/HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(top.join("work/ci/config"), "[core]\nbare = false\nworktree = /\n").unwrap();
        std::fs::write(top.join("work/ci/x.ncl"), "{}").unwrap();
        let expected = (top.join("work"), PathBuf::from("ci/x.ncl"));
        // There is no git to be asked.
        assert_eq!(root("work/ci/x.ncl", &top, &Environment::default()), expected);
        assert_eq!(root("x.ncl", &top.join("work/ci"), &Environment::from_process()), expected);
    }

    #[test]
    fn neither_the_home_directory_nor_the_file_systems_root_is_a_project() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("ci")).unwrap();
        std::fs::write(top.join("ci/x.ncl"), "{}").unwrap();
        let expected = (top.join("ci"), PathBuf::from("x.ncl"));
        let at_home = Environment::from_pairs([("HOME", &top)]);
        assert_eq!(root("ci/x.ncl", &top, &at_home), expected);
        let file = top.join("ci/x.ncl");
        let from_root = file.strip_prefix("/").unwrap().to_str().unwrap();
        assert_eq!(root(from_root, Path::new("/"), &Environment::default()), expected);
    }
}
