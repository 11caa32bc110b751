//! [`PolicyPath`]: where a policy stands. Found before anything is evaluated; fails closed.

use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use crate::dirs::Dirs;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::nickel::{Contract, Document, Writers};

/// A policy's file name, in the system's directory and in the user's.
pub const FILE_NAME: &str = "policy.ncl";

/// A policy file that is there. Who could write to its directory could replace it, so that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPath {
    /// Absolute, without symlinks.
    path: PathBuf,
    writers: Writers,
}

impl PolicyPath {
    /// The policies that count: the system's first, then the user's. Never one of a repository.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when it cannot be told whether there is one, or when others could replace it: what cannot be
    /// read is never taken for missing.
    pub fn find(dirs: &Dirs) -> Result<Vec<Self>> {
        let user = Writers::User(rustix::process::geteuid().as_raw());
        let places = [(&dirs.system_config, Writers::Root), (&dirs.config, user)];
        let found =
            places.into_iter().filter_map(|(directory, writers)| at(&directory.join(FILE_NAME), writers).transpose());
        let mut found = found.collect::<Result<Vec<_>>>()?;
        // A user may have made one of the other: it counts once, and as the system's.
        found.dedup_by(|later, earlier| later.path == earlier.path);
        Ok(found)
    }

    /// The document to evaluate. It may import what lies beside it, and `lian/…`.
    pub fn document(&self) -> Document {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let shown = directory.join("").to_string_lossy().into_owned();
        let name = self.path.file_name().unwrap_or_default();
        Document::file(directory, name, &shown, Contract::Policy).written_by(self.writers)
    }

    /// The file as messages name it.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The policy at `path`; `None` when nothing of that name is there.
fn at(path: &Path, writers: Writers) -> Result<Option<PolicyPath>> {
    let cannot = |why: String| {
        Error::new(ErrorKind::Spec, format!("the policy `{}` cannot be used: it {why}", path.display()))
            .hint("nothing is built while a policy cannot be read: it may forbid the build")
    };
    match path.symlink_metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(format!("cannot be looked for ({error})"))),
    }
    let real = path.canonicalize().map_err(|error| cannot(format!("leads nowhere ({error})")))?;
    let directory = real.parent().unwrap_or(Path::new("/"));
    let metadata =
        directory.metadata().map_err(|error| cannot(format!("has a directory that cannot be read ({error})")))?;
    writers.check(&metadata, directory).map_err(|why| cannot(format!("lies in a directory that {why}")))?;
    Ok(Some(PolicyPath { path: real, writers }))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn dirs(root: &Path) -> Dirs {
        let of = |name: &str| root.join(name);
        Dirs { state: of("state"), cache: of("cache"), config: of("config"), system_config: of("system") }
    }

    #[test]
    fn only_what_is_not_there_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        assert_eq!(PolicyPath::find(&dirs).unwrap(), []);
        std::fs::create_dir(&dirs.config).unwrap();
        assert_eq!(PolicyPath::find(&dirs).unwrap(), []);
        symlink("/nowhere/policy.ncl", dirs.config.join(FILE_NAME)).unwrap();
        let error = PolicyPath::find(&dirs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
        assert!(error.message().contains("leads nowhere"), "{error}");
        std::fs::remove_dir_all(&dirs.config).unwrap();
        std::fs::write(&dirs.config, "").unwrap();
        assert!(PolicyPath::find(&dirs).unwrap_err().message().contains("cannot be looked for"));
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused_and_a_link_counts_as_what_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let real = root.path().canonicalize().unwrap().join("elsewhere");
        for directory in [&dirs.config, &real] {
            std::fs::create_dir(directory).unwrap();
            std::fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::write(real.join("mine.ncl"), "{}").unwrap();
        symlink("../elsewhere/mine.ncl", dirs.config.join(FILE_NAME)).unwrap();
        let found = PolicyPath::find(&dirs).unwrap();
        assert_eq!(
            found.iter().map(PolicyPath::name).collect::<Vec<_>>(),
            [real.join("mine.ncl").display().to_string()]
        );
        std::fs::set_permissions(&real, Permissions::from_mode(0o775)).unwrap();
        let error = PolicyPath::find(&dirs).unwrap_err();
        assert!(error.message().contains(&format!("`chmod go-w {}`", real.display())), "{error}");
    }
}
