//! [`Binary`]: a program that a package makes, found as Cargo finds it.

use std::path::Path;

use super::manifest::Manifest;
use crate::inputs::context::Root;

/// A program of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The file's name: what `cargo build --bin` takes.
    pub name: String,
    /// The package that makes it.
    pub package: String,
}

/// The programs of a package.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) binaries: Vec<Binary>,
    /// Programs that a plain `cargo build` does not make, or that cannot be named in a Dockerfile, and why.
    pub(super) skipped: Vec<String>,
}

/// The programs of the package in `directory`, described ones first, then those found in `src/`.
pub(super) fn of_package(root: &Root, directory: &Path, manifest: &Manifest) -> Found {
    let mut found = Found::default();
    let Some(package) = &manifest.package else { return found };
    let mut described_paths = Vec::new();
    for target in &manifest.bin {
        let Some(name) = &target.name else { continue };
        described_paths.extend(target.path.clone());
        let missing: Vec<&str> =
            target.required_features.iter().map(String::as_str).filter(|name| !manifest.has_by_default(name)).collect();
        if missing.is_empty() {
            found.add(name, &package.name);
        } else {
            found
                .skipped
                .push(format!("`{name}` needs the feature `{}`, which is off by default", missing.join("`, `")));
        }
    }
    if package.autobins == Some(false) {
        return found;
    }
    let described: Vec<String> = manifest.bin.iter().filter_map(|target| target.name.clone()).collect();
    for (name, path) in in_sources(root, directory, &package.name) {
        if !described.contains(&name)
            && !described_paths.iter().any(|described| Path::new(described) == Path::new(&path))
        {
            found.add(&name, &package.name);
        }
    }
    found
}

impl Found {
    fn add(&mut self, name: &str, package: &str) {
        if !is_plain(name) {
            self.skipped.push(format!("`{name}` has a name that does not fit into a Dockerfile"));
        } else if !self.binaries.iter().any(|binary| binary.name == name) {
            self.binaries.push(Binary { name: name.to_owned(), package: package.to_owned() });
        }
    }
}

/// `src/main.rs`, `src/bin/NAME.rs` and `src/bin/NAME/main.rs`, sorted: each program's name and path.
fn in_sources(root: &Root, directory: &Path, package: &str) -> Vec<(String, String)> {
    let package_dir = root.path().join(directory);
    let mut found = Vec::new();
    if package_dir.join("src/main.rs").is_file() {
        found.push((package.to_owned(), "src/main.rs".to_owned()));
    }
    let Ok(entries) = std::fs::read_dir(package_dir.join("src/bin")) else { return found };
    let mut named: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.file_name().into_string().ok()?;
            if let Some(name) = file.strip_suffix(".rs")
                && entry.path().is_file()
            {
                return Some((name.to_owned(), format!("src/bin/{file}")));
            }
            entry.path().join("main.rs").is_file().then(|| (file.clone(), format!("src/bin/{file}/main.rs")))
        })
        .collect();
    named.sort();
    found.extend(named);
    found
}

/// True for a name that needs no quoting anywhere.
fn is_plain(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !name.is_empty() && name.len() <= 128 && !name.starts_with(['-', '.']) && name.bytes().all(fits)
}
