//! [`Target`]: a file to check, and the directory that it belongs to.

use std::path::{Path, PathBuf};

use super::kind::Kind;
use crate::dirs::Dirs;
use crate::env_vars::Environment;
use crate::error::Result;
use crate::inputs::directives::ProjectRoot;
use crate::inputs::nickel::{Diagnostic, Document, Rule};
use crate::inputs::policy::PolicyPath;
use crate::inputs::spec;
use crate::nearest::nearest;

/// What a project may have to be checked, from its directory.
const IN_A_PROJECT: [&str; 6] =
    [spec::FILE_NAME, "ci/directives.ncl", "dev/session.ncl", "directives.ncl", "session.ncl", "policy.ncl"];

/// A file to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is meant to say.
    pub kind: Kind,
    /// The directory that its paths count from.
    pub root: PathBuf,
    /// The document to evaluate.
    pub document: Document,
    /// What its name, and those of its imports, begin with when they are below the current directory all the same:
    /// `../shop/`.
    detour: Option<String>,
    /// Why it is not worth evaluating: there is nothing to evaluate.
    pub(super) fault: Option<Diagnostic>,
}

impl Target {
    /// The file `path`, which may be relative to `current`. Directives may import from all of their repository, as they
    /// may when they are built; other files from their own directory.
    async fn new(kind: Kind, path: &Path, current: &Path, environment: &Environment) -> Self {
        let whole = current.join(path);
        let parent = whole.parent().unwrap_or(Path::new("/"));
        // Links to the file itself are the loader's business.
        let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        let found = match kind {
            Kind::Directives => ProjectRoot::find(path, current, environment).ok(),
            Kind::Spec | Kind::Policy | Kind::Serve | Kind::Tiers => None,
        };
        let (root, inner) = found.map_or((parent, name), |found| (found.directory, found.file));
        let written = path.to_string_lossy();
        let before = written.strip_suffix(&*inner.to_string_lossy()).filter(|_| path.ends_with(&inner));
        let below = current.strip_prefix(&root).ok();
        let shown = match (before, below) {
            // What was written before the path inside of the root leads to the root.
            (Some(before), _) => before.to_owned(),
            (None, Some(below)) => "../".repeat(below.components().count()),
            (None, None) => format!("{}/", root.display()),
        };
        let detour = below.filter(|_| shown.starts_with("..")).map(|below| format!("{shown}{}/", below.display()));
        let document = Document::file(&root, inner, &shown, kind.contract());
        Self { kind, root, document, detour, fault: None }
    }

    /// What was named and is not there, or has nothing to check: it is answered like any other.
    fn nothing(kind: Kind, path: &Path, current: &Path, reason: &str, hint: Option<String>) -> Self {
        let shown = path.to_string_lossy().into_owned();
        let mut fault = Diagnostic::of_file(shown.clone(), Rule::Unreadable, format!("`{shown}` {reason}"));
        fault.hint = hint;
        let document = Document::file(current, path, "", kind.contract());
        Self { kind, root: current.to_owned(), document, detour: None, fault: Some(fault) }
    }

    /// `text` with names as they are from the current directory.
    pub(super) fn seen_from_here(&self, text: &str) -> String {
        match &self.detour {
            Some(detour) => text.replace(detour, ""),
            None => text.to_owned(),
        }
    }
}

/// The targets that were named: files, and directories with what belongs to a project in them. `kind` says what they
/// are, else their names do. What is not there is a target too, with its fault, so that every name gets an answer.
pub async fn named(paths: &[PathBuf], kind: Option<Kind>, current: &Path, environment: &Environment) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for path in paths {
        let whole = current.join(path);
        let own_kind = kind.unwrap_or_else(|| kind_of(path));
        let mut found = match whole.symlink_metadata() {
            Err(error) => {
                let reason = format!("cannot be found: {error}");
                vec![Target::nothing(own_kind, path, current, &reason, nearest_name(&whole))]
            }
            Ok(_) if whole.is_dir() => of_the_project(Some(path), kind, current, environment).await,
            Ok(_) => vec![Target::new(own_kind, path, current, environment).await],
        };
        if found.is_empty() {
            let hint = format!("looked for {}, and for `*tiers*.ncl`", list(&IN_A_PROJECT));
            found.push(Target::nothing(own_kind, path, current, "has nothing to check", Some(hint)));
        }
        found.retain(|target| !targets.contains(target));
        targets.append(&mut found);
    }
    targets
}

/// The name beside a missing file that was probably meant.
fn nearest_name(missing: &Path) -> Option<String> {
    let entries = std::fs::read_dir(missing.parent()?).ok()?.flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let near = nearest(missing.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{near}`?"))
}

/// What belongs to the project in `directory`, or in the current one.
pub async fn of_the_project(
    directory: Option<&Path>,
    kind: Option<Kind>,
    current: &Path,
    environment: &Environment,
) -> Vec<Target> {
    let prefix = directory.unwrap_or(Path::new(""));
    let mut paths: Vec<PathBuf> = IN_A_PROJECT.iter().map(|name| prefix.join(name)).collect();
    paths.extend(tiers_files(&current.join(prefix)).into_iter().map(|name| prefix.join(name)));
    // Anything of such a name counts, a dangling link too: what cannot be read is an error, not missing.
    paths.retain(|path| current.join(path).symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()));
    let mut targets = Vec::new();
    for path in paths.iter().filter(|path| kind.is_none_or(|kind| kind == kind_of(path))) {
        targets.push(Target::new(kind_of(path), path, current, environment).await);
    }
    targets
}

/// The policies that count on this machine.
///
/// # Errors
/// As [`PolicyPath::find`].
pub fn policies_of_this_machine(dirs: &Dirs) -> Result<Vec<Target>> {
    let target = |path: &PolicyPath| Target {
        kind: Kind::Policy,
        root: PathBuf::from("/"),
        document: path.document(),
        detour: None,
        fault: None,
    };
    Ok(PolicyPath::find(dirs)?.iter().map(target).collect())
}

fn kind_of(path: &Path) -> Kind {
    Kind::of_name(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// The names of tiers files in a directory, sorted.
fn tiers_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            (name.ends_with(".ncl") && Kind::of_name(&name) == Kind::Tiers).then(|| name.into())
        })
        .collect();
    names.sort();
    names
}

/// Names in words.
fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["ci", "sub/deep"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in [".build-spec.ncl", "ci/directives.ncl", "our-tiers.ncl", "sub/directives.ncl", "sub/other.txt"] {
            std::fs::write(root.join(name), "{}").unwrap();
        }
        (directory, root)
    }

    fn seen(targets: &[Target]) -> Vec<String> {
        let one =
            |target: &Target| format!("{} {}", target.kind.words(), target.seen_from_here(&target.document.shown()));
        targets.iter().map(one).collect()
    }

    #[tokio::test]
    async fn a_project_is_known_by_its_names() {
        let (_directory, root) = project();
        let none = Environment::default();
        let expected = ["spec .build-spec.ncl", "directives ci/directives.ncl", "tiers our-tiers.ncl"];
        assert_eq!(seen(&of_the_project(None, None, &root, &none).await), expected);
        assert_eq!(seen(&of_the_project(None, Some(Kind::Tiers), &root, &none).await), expected[2..]);
    }

    #[tokio::test]
    async fn every_name_is_a_target() {
        let (_directory, root) = project();
        let names = ["sub/deep", "ci/directive.ncl", ".build-spec.ncl", "none"].map(PathBuf::from);
        let targets = named(&names, None, &root, &Environment::default()).await;
        let faults: Vec<_> = targets.iter().map(|target| target.fault.clone()).collect();
        let said = |number: usize| faults[number].as_ref().map(|fault| (fault.message.as_str(), fault.hint.as_deref()));
        assert_eq!(said(0).unwrap().0, "`sub/deep` has nothing to check");
        let (message, hint) = said(1).unwrap();
        assert!(message.starts_with("`ci/directive.ncl` cannot be found: "), "{message}");
        assert_eq!(hint, Some("did you mean `directives.ncl`?"));
        assert_eq!((said(2), said(3).unwrap().1), (None, None));
        assert_eq!(seen(&targets)[1], "directives ci/directive.ncl");
    }

    #[tokio::test]
    async fn files_are_shown_as_they_were_named() {
        let (_directory, root) = project();
        let none = Environment::default();
        let absolute = root.join(".build-spec.ncl").display().to_string();
        for (current, path, expected) in [
            ("", "sub", "directives sub/directives.ncl"),
            ("", "./sub/directives.ncl", "directives ./sub/directives.ncl"),
            ("sub", "directives.ncl", "directives directives.ncl"),
            ("sub", "../ci/directives.ncl", "directives ../ci/directives.ncl"),
            ("sub", &absolute, &format!("spec {absolute}")),
        ] {
            let targets = named(&[path.into()], None, &root.join(current), &none).await;
            assert_eq!(seen(&targets), [expected], "{current} {path}");
        }
    }
}
