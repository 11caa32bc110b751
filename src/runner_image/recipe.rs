//! The files of `runner/`, and the tar that mmdebstrap puts into the new root before `install.sh` runs in it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::binaries::Binaries;
use super::release::Release;
use crate::error::{Context as _, ErrorKind, Result};

/// Where the recipe is in a root.
pub(crate) const DIRECTORY: &str = "usr/share/lian-build/runner";

/// The time of every file that comes from us, and of mmdebstrap's: the same recipe gives the same bytes.
pub(super) const EPOCH: u64 = 1_700_000_000;

macro_rules! files {
    ($($name:literal $mode:literal),+ $(,)?) => {
        &[$(RecipeFile { name: $name, mode: $mode, text: include_str!(concat!("../../runner/", $name)) }),+]
    };
}

/// One file of the recipe.
pub(crate) struct RecipeFile {
    pub(crate) name: &'static str,
    pub(crate) mode: u32,
    pub(crate) text: &'static str,
}

const PACKAGES: &str = include_str!("../../runner/packages");

/// The files of the recipe.
pub(crate) const FILES: &[RecipeFile] = files![
    "packages" 0o644,
    "install.sh" 0o755,
    "runner-init" 0o755,
    "deadman" 0o755,
    "sshd.conf" 0o644,
    "lian-deadman.service" 0o644,
    "lian-deadman.timer" 0o644,
];

/// The Debian packages of a runner.
pub(super) fn packages() -> Vec<&'static str> {
    PACKAGES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Names the recipe by what is in it: 64 hexadecimal digits.
pub(crate) fn hash() -> String {
    let mut hasher = Sha256::new();
    for file in FILES {
        hasher.update(format!("{} {:o} {}\n", file.name, file.mode, file.text.len()));
        hasher.update(file.text);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the tar: the recipe, what the root says of itself, and BuildKit's programs.
///
/// # Errors
/// [`ErrorKind::State`] when a program cannot be read or the tar cannot be written.
pub(super) fn write_archive(to: &Path, binaries: &Binaries, release: &Release) -> Result<()> {
    let pack = || -> std::io::Result<()> {
        let mut archive = tar::Builder::new(File::create(to)?);
        // Directories first: without them they would get the mode of whoever unpacks.
        for directory in [
            "usr",
            "usr/lib",
            "usr/lib/lian-build",
            "usr/local",
            "usr/local/bin",
            "usr/share",
            "usr/share/lian-build",
            DIRECTORY,
        ] {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            archive.append_data(&mut header, format!("{directory}/"), std::io::empty())?;
        }
        let text = release.to_string();
        append(&mut archive, super::release::PATH, 0o644, text.len() as u64, text.as_bytes())?;
        for file in FILES {
            let name = format!("{DIRECTORY}/{}", file.name);
            append(&mut archive, &name, file.mode, file.text.len() as u64, file.text.as_bytes())?;
        }
        for (name, path) in [("buildctl", &binaries.buildctl), ("buildkitd", &binaries.buildkitd)] {
            let program = File::open(path)?;
            let size = program.metadata()?.len();
            append(&mut archive, &format!("usr/local/bin/{name}"), 0o755, size, program)?;
        }
        archive.into_inner()?.flush()
    };
    pack().context(ErrorKind::State, || format!("cannot pack the runner's files into `{}`", to.display()))
}

fn append(
    archive: &mut tar::Builder<File>,
    name: &str,
    mode: u32,
    size: u64,
    data: impl std::io::Read,
) -> std::io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Regular, mode, size), name, data)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(EPOCH);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_recipe() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("runner");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            // The Dockerfile is the other way to the same root, and the page is for people.
            .filter(|name| name != "Dockerfile" && name != "README.md")
            .collect();
        let mut ours: Vec<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        there.sort();
        ours.sort();
        assert_eq!(there, ours);
    }

    #[test]
    fn comments_are_no_packages() {
        let packages = packages();
        assert!(packages.contains(&"openssh-server") && packages.contains(&"runc"), "{packages:?}");
        for package in packages {
            assert!(
                package
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)),
                "{package}"
            );
        }
    }

    #[test]
    fn the_archive_has_the_programs_and_is_always_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let binaries = Binaries { buildctl: program("buildctl"), buildkitd: program("buildkitd") };
        let release = Release { version: "1".into(), recipe: hash(), buildkit: "v0".into() };
        let pack = |name: &str| {
            let path = dir.path().join(name);
            write_archive(&path, &binaries, &release).unwrap();
            std::fs::read(path).unwrap()
        };
        let bytes = pack("a.tar");
        assert_eq!(bytes, pack("b.tar"));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        for name in ["usr/local/bin/buildkitd", "usr/lib/lian-build/release", "usr/share/lian-build/runner/install.sh"]
        {
            assert!(names.iter().any(|other| other == name), "{name} in {names:?}");
        }
    }
}
