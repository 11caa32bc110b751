//! [`Release`]: what a runner's root says of itself, in `/usr/lib/lian-build/release`.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::error::{Context as _, Error, ErrorKind, Result};

/// Where the file is in a root.
pub(super) const PATH: &str = "usr/lib/lian-build/release";

/// The most of the file that is read, in bytes.
const MAX_LENGTH: u64 = 4096;

/// What a runner's root was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The version of lian-build that made it.
    pub version: String,
    /// The hash of the recipe.
    pub recipe: String,
    /// BuildKit's version: `v0.33.1`.
    pub buildkit: String,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "VERSION={}\nRECIPE={}\nBUILDKIT={}", self.version, self.recipe, self.buildkit)
    }
}

impl Release {
    /// Reads the file's text; `None` when something is missing or odd.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                // These become labels of an image: nothing that could end a line or a word there.
                .filter(|value| {
                    (1..=80).contains(&value.len())
                        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte))
                })
                .map(str::to_owned)
        };
        Some(Self { version: value("VERSION")?, recipe: value("RECIPE")?, buildkit: value("BUILDKIT")? })
    }

    /// Looks the file up in a root's tar.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when it is not a tar, or not a runner's root.
    pub fn of_tar(tar: &Path) -> Result<Self> {
        let broken = || format!("`{}` is not a tar", tar.display());
        let file = File::open(tar).context(ErrorKind::Usage, || format!("cannot read `{}`", tar.display()))?;
        let mut archive = tar::Archive::new(file);
        for entry in archive.entries_with_seek().context(ErrorKind::Usage, broken)? {
            let entry = entry.context(ErrorKind::Usage, broken)?;
            let path = entry.path().context(ErrorKind::Usage, broken)?;
            if path.strip_prefix(".").unwrap_or(&path) != Path::new(PATH) {
                continue;
            }
            let mut text = String::new();
            entry.take(MAX_LENGTH).read_to_string(&mut text).context(ErrorKind::Usage, broken)?;
            return Self::parse(&text).ok_or_else(|| not_ours(tar));
        }
        Err(not_ours(tar))
    }
}

fn not_ours(tar: &Path) -> Error {
    Error::usage(format!("`{}` is not a runner's root: it has no `{PATH}` that can be read", tar.display()))
        .hint("`lian-build runners image --output FILE` makes one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        Release { version: "0.1.0".into(), recipe: "ab12".into(), buildkit: "v0.33.1".into() }
    }

    fn tar_with(name: &str, text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = tar::Builder::new(file.reopen().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        archive.finish().unwrap();
        file
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Release::parse(&release().to_string()), Some(release()));
        assert_eq!(Release::of_tar(tar_with(&format!("./{PATH}"), &release().to_string()).path()).unwrap(), release());
    }

    #[test]
    fn nothing_odd_becomes_a_label() {
        for bad in ["", "VERSION=1\nRECIPE=a b\nBUILDKIT=c", "VERSION=1\nRECIPE=\"\nBUILDKIT=c", "VERSION=1\nRECIPE=a"]
        {
            assert_eq!(Release::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_tar_is_refused() {
        for file in [tar_with("etc/passwd", "root"), tar_with(PATH, "RECIPE=x")] {
            let error = Release::of_tar(file.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains("not a runner's root"), "{error}");
        }
        let junk = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(junk.path(), [b'x'; 2000]).unwrap();
        assert!(Release::of_tar(junk.path()).unwrap_err().message().contains("not a tar"));
    }
}
