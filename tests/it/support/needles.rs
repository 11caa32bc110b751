//! [`Needles`]: looks for secret bytes wherever a build could leave them.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::Dockerd;

/// Secrets, in the ways they may be written.
#[derive(Debug)]
pub(crate) struct Needles {
    forms: Vec<Vec<u8>>,
}

/// What a search found, and where it looked: a search that saw nothing proves nothing.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) found: Vec<String>,
    pub(crate) seen: Vec<String>,
}

impl Search {
    /// Fails when something was found, or when no place that was looked at has one of `places` in its name.
    #[track_caller]
    pub(crate) fn assert_clean(&self, places: &[&str]) {
        assert!(self.found.is_empty(), "secrets in {:#?}", self.found);
        for place in places {
            assert!(self.seen.iter().any(|seen| seen.contains(place)), "{place} was not looked at: {:#?}", self.seen);
        }
    }
}

impl Needles {
    /// These secrets, and their base64 at each of its three alignments.
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            forms.push(secret.as_bytes().to_vec());
            for alignment in 0..3 {
                let padded = [vec![b' '; alignment], secret.as_bytes().to_vec()].concat();
                let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(padded);
                // The first and the last characters depend on what stands beside.
                let inner = text.get(if alignment == 0 { 0 } else { 4 }..text.len() - 2).unwrap();
                assert!(inner.len() > 12, "too short to be told from chance");
                forms.push(inner.as_bytes().to_vec());
            }
        }
        Self { forms }
    }

    fn look(&self, search: &mut Search, place: String, bytes: &[u8]) {
        if self.forms.iter().any(|form| memchr::memmem::find(bytes, form).is_some()) {
            search.found.push(place.clone());
        }
        search.seen.push(place);
    }

    /// The arguments and environments of all processes of this machine, those in containers too.
    pub(crate) fn in_processes(&self) -> Search {
        let mut search = Search::default();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            for file in ["cmdline", "environ"] {
                // One that ended meanwhile has nothing any more.
                if let Ok(bytes) = std::fs::read(entry.path().join(file)) {
                    self.look(&mut search, format!("{}/{file} of {}", entry.path().display(), name.trim()), &bytes);
                }
            }
        }
        search
    }

    /// What Docker says of a container, its image and its volumes.
    pub(crate) fn in_docker(&self, dockerd: &Dockerd, container: &str) -> Search {
        let mut search = Search::default();
        let said = dockerd.inspect(container);
        let image = said["Image"].as_str().unwrap().to_owned();
        self.look(&mut search, format!("inspect container {container}"), said.to_string().as_bytes());
        self.look(&mut search, format!("inspect image {image}"), dockerd.inspect(&image).to_string().as_bytes());
        for volume in volumes(&said) {
            self.look(&mut search, format!("inspect volume {volume}"), dockerd.inspect(&volume).to_string().as_bytes());
        }
        let log = dockerd.try_docker(&["logs", container]);
        self.look(&mut search, format!("log of {container}"), &[log.stdout, log.stderr].concat());
        search
    }

    /// The disk of a container that runs: what it wrote to its root, its volumes, and what Docker keeps of it. A tmpfs is
    /// in none of these.
    pub(crate) fn on_disk_of(&self, dockerd: &Dockerd, container: &str) -> Search {
        let said = dockerd.inspect(container);
        let mut dirs = vec![PathBuf::from(said["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap())];
        dirs.extend(
            said["Mounts"].as_array().unwrap().iter().filter_map(|mount| mount["Source"].as_str()).map(PathBuf::from),
        );
        dirs.push(Path::new(said["LogPath"].as_str().unwrap()).parent().unwrap().to_owned());
        assert!(dirs.iter().all(|dir| dir.is_absolute() && dir.is_dir()), "{dirs:?}");
        self.in_files(&dirs, &[])
    }

    /// The regular files below some directories, other than `except`.
    pub(crate) fn in_files(&self, dirs: &[PathBuf], except: &[PathBuf]) -> Search {
        self.in_files_where(dirs, |file| !except.iter().any(|path| path == file.path()))
    }

    /// The regular files below a directory that changed after `witness` was made.
    pub(crate) fn in_files_newer_than(&self, witness: &Path, dir: &Path) -> Search {
        let made = witness.metadata().unwrap().created().unwrap();
        let made = made.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        self.in_files_where(&[dir.to_owned()], |file| {
            file.metadata().is_ok_and(|metadata| u64::try_from(metadata.ctime()).is_ok_and(|changed| changed >= made))
        })
    }

    fn in_files_where(&self, dirs: &[PathBuf], wanted: impl Fn(&walkdir::DirEntry) -> bool) -> Search {
        let mut search = Search::default();
        for entry in dirs.iter().flat_map(walkdir::WalkDir::new).flatten() {
            if entry.file_type().is_file()
                && wanted(&entry)
                && let Ok(bytes) = std::fs::read(entry.path())
            {
                self.look(&mut search, entry.path().display().to_string(), &bytes);
            }
        }
        search
    }
}

fn volumes(container: &serde_json::Value) -> Vec<String> {
    let mounts = container["Mounts"].as_array().into_iter().flatten();
    mounts.filter_map(|mount| mount["Name"].as_str()).map(str::to_owned).collect()
}
