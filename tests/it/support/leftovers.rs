//! [`Leftovers`]: looks, independently of the product's own check, for anything a lease may have left behind.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What is looked for: names and directories that only one lease, or one test, uses.
#[derive(Debug)]
pub(crate) struct Leftovers {
    needle: String,
    dirs: Vec<PathBuf>,
}

impl Leftovers {
    /// Looks for `needle` (a lease id, or a test's private directory) in processes, mounts and cgroups, and for the
    /// existence of `dirs`.
    pub(crate) fn of(needle: impl Into<String>, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { needle: needle.into(), dirs: dirs.into_iter().collect() }
    }

    /// Everything that is left, each as one line; empty when all is gone.
    pub(crate) fn find(&self) -> Vec<String> {
        let mut left = Vec::new();
        left.extend(self.processes());
        left.extend(self.mounts());
        left.extend(self.cgroups());
        for dir in &self.dirs {
            for name in entries_naming(dir, &self.needle) {
                left.push(format!("entry {}", name.display()));
            }
        }
        left
    }

    /// Fails the test when anything is left.
    pub(crate) fn assert_none(&self) {
        let left = self.find();
        assert!(left.is_empty(), "left of `{}`: {left:#?}", self.needle);
    }

    /// Waits, bounded, for what only the kernel or an asynchronous sweep takes away.
    pub(crate) fn assert_none_soon(&self) {
        for _ in 0..400 {
            if self.find().is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.assert_none();
    }

    fn processes(&self) -> Vec<String> {
        let line = |process: PathBuf| {
            let cmdline = std::fs::read(process.join("cmdline")).unwrap_or_default();
            let pid = process.file_name().unwrap_or_default().to_string_lossy();
            format!("process {pid}: {}", String::from_utf8_lossy(&cmdline).replace('\0', " "))
        };
        self.process_dirs().into_iter().map(line).collect()
    }

    /// The directories in `/proc` of the processes that are found.
    pub(crate) fn process_dirs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let cgroup = String::from_utf8_lossy(&read("cgroup")).contains(&self.needle);
            let named = memchr::memmem::find(&read("cmdline"), self.needle.as_bytes()).is_some();
            if pid != std::process::id() && (cgroup || named) {
                found.push(entry.path());
            }
        }
        found
    }

    fn mounts(&self) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().filter(|line| line.contains(&self.needle)).map(|line| format!("mount {line}")).collect()
    }

    fn cgroups(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in walk(Path::new("/sys/fs/cgroup"), 4) {
            if entry.file_name().is_some_and(|name| name.as_bytes() == self.needle.as_bytes()) {
                found.push(format!("cgroup {}", entry.display()));
            }
        }
        found
    }
}

/// The directories below `dir`, `depth` levels down.
fn walk(dir: &Path, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth > 1 {
                found.extend(walk(&entry.path(), depth - 1));
            }
            found.push(entry.path());
        }
    }
    found
}

fn entries_naming(dir: &Path, needle: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(needle)).collect()
}
