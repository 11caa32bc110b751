//! [`Loader`]: reads a document and everything it imports, before evaluation, and nothing else.
//!
//! Nickel's imports are static, so they can be found by parsing. The loader walks them, checks each path before it is
//! opened, and puts the texts into Nickel's table of sources as files in memory; Nickel answers imports from
//! there without touching the disk. Files on disk get virtual paths (`/__root0__/.build-spec.ncl`), so that neither an
//! absolute path nor `..` in an import can mean anything outside, and messages need not show where the context is.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::FileType;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nickel_lang_core::ast::{Ast, Import, InputFormat, Node};
use nickel_lang_core::cache::{CacheHub, SourcePath, normalize_abs_path};
use nickel_lang_core::error::{Error as NickelError, ImportErrorKind};
use nickel_lang_core::files::FileId;
use nickel_lang_core::position::TermPos;
use nickel_lang_core::traverse::{TraverseAlloc as _, TraverseControl};
use rustix::fs::OFlags;

use super::embed;
use super::limits::{MAX_FILE, MAX_FILES};
use super::wire::{Document, Source};

/// Fills a [`CacheHub`] with the documents' sources.
#[derive(Default)]
pub(super) struct Loader {
    roots: Vec<Root>,
    /// Everything that is in the table, by virtual path and format.
    known: HashMap<(PathBuf, InputFormat), FileId>,
}

/// A directory on disk and what it is called.
struct Root {
    /// Its virtual path.
    key: PathBuf,
    /// Where it is, without symlinks.
    real: PathBuf,
    /// How messages name it.
    shown: String,
}

/// Why a source could not be loaded.
pub(super) enum LoadError {
    /// The document itself cannot be read: completes "it …".
    Unreadable(String),
    /// Nickel's own complaint, with a place in the source.
    Nickel(NickelError),
}

/// An import as it stands in a source.
struct Found {
    path: PathBuf,
    format: InputFormat,
    pos: TermPos,
}

impl Loader {
    /// Puts the embedded files into the table.
    pub(super) fn new(hub: &mut CacheHub) -> Self {
        let mut loader = Self::default();
        for (path, text) in embed::FILES {
            loader.add(hub, PathBuf::from(path), InputFormat::Nickel, (*text).to_owned());
        }
        hub.sources.add_import_paths(std::iter::once(embed::ROOT));
        loader
    }

    /// Loads a document with all its imports; its virtual path and format.
    pub(super) fn load(
        &mut self,
        hub: &mut CacheHub,
        document: &Document,
    ) -> Result<(PathBuf, InputFormat), LoadError> {
        let (key, format, id) = match &document.source {
            Source::Embedded(name) => {
                let key = Path::new(embed::ROOT).join("lian").join(name);
                let id = self.known(&key, InputFormat::Nickel);
                let id = id.ok_or_else(|| LoadError::Unreadable("is not among the embedded files".to_owned()))?;
                (key, InputFormat::Nickel, id)
            }
            Source::File { directory, name, shown } => self.load_main(hub, directory, name, shown)?,
        };
        self.load_imports(hub, id, &key, format)?;
        Ok((key, format))
    }

    /// Messages show `.build-spec.ncl`, not the virtual path.
    pub(super) fn show(&self, message: &str) -> String {
        let mut message = message.replace(&format!("{}/", embed::ROOT), "");
        for root in &self.roots {
            message = message.replace(&format!("{}/", root.key.display()), &root.shown);
        }
        message
    }

    fn load_main(
        &mut self,
        hub: &mut CacheHub,
        directory: &OsStr,
        name: &OsStr,
        shown: &str,
    ) -> Result<(PathBuf, InputFormat, FileId), LoadError> {
        let directory = Path::new(directory);
        let real = directory
            .canonicalize()
            .map_err(|error| LoadError::Unreadable(format!("cannot be read: its directory: {error}")))?;
        let root = Root { key: format!("/__root{}__", self.roots.len()).into(), real, shown: shown.to_owned() };
        let key = root.key.join(&*name.to_string_lossy());
        let text = read_inside(&root.real.join(name), &root.real)
            .map_err(|reason| LoadError::Unreadable(format!("cannot be read: it {reason}")))?;
        self.roots.push(root);
        let format = InputFormat::from_path(&key).unwrap_or(InputFormat::Nickel);
        let id = self.add(hub, key.clone(), format, text);
        Ok((key, format, id))
    }

    /// Follows the imports of a source, and theirs.
    fn load_imports(
        &mut self,
        hub: &mut CacheHub,
        id: FileId,
        key: &Path,
        format: InputFormat,
    ) -> Result<(), LoadError> {
        let mut pending = vec![(id, key.to_owned(), format)];
        let mut seen = BTreeSet::new();
        while let Some((id, key, format)) = pending.pop() {
            if format != InputFormat::Nickel || !seen.insert(key.clone()) {
                continue;
            }
            hub.parse_to_ast(id).map_err(|errors| LoadError::Nickel(NickelError::ParseErrors(errors)))?;
            let mut imports = Vec::new();
            if let Some(ast) = hub.asts.get(id) {
                find_imports(ast, &mut imports);
            }
            for import in imports {
                let (target, id) = self.resolve(hub, &key, &import).map_err(|reason| {
                    let path = format!("`{}`", import.path.display());
                    LoadError::Nickel(NickelError::ImportError(Box::new(ImportErrorKind::IOError(
                        path, reason, import.pos,
                    ))))
                })?;
                pending.push((id, target, import.format));
            }
        }
        Ok(())
    }

    /// The source that an import means, by Nickel's own order (the importing file's directory, then the embedded
    /// files), loaded if it may be. The error completes "import of `x` failed: …".
    fn resolve(&mut self, hub: &mut CacheHub, from: &Path, import: &Found) -> Result<(PathBuf, FileId), String> {
        let near = normalize_abs_path(&from.parent().unwrap_or(Path::new("/")).join(&import.path));
        let embedded = normalize_abs_path(&Path::new(embed::ROOT).join(&import.path));
        let root = self.roots.iter().find(|root| from.starts_with(&root.key));
        let allowed = near.starts_with(embed::ROOT) || root.is_some_and(|root| near.starts_with(&root.key));
        if !allowed {
            return Err(RULE.to_owned());
        }
        if let Some(id) = self.known(&near, import.format) {
            return Ok((near, id));
        }
        let real = root.and_then(|root| Some((root.real.join(near.strip_prefix(&root.key).ok()?), &root.real)));
        if real.as_ref().is_none_or(|(path, _)| path.symlink_metadata().is_err())
            && let Some(id) = self.known(&embedded, import.format)
        {
            return Ok((embedded, id));
        }
        let (path, root) = real.ok_or("there is no such embedded file")?;
        let text = read_inside(&path, root).map_err(|reason| format!("it {reason}"))?;
        if self.known.len() >= MAX_FILES + embed::FILES.len() {
            return Err(format!("more than {MAX_FILES} files are imported"));
        }
        let id = self.add(hub, near.clone(), import.format, text);
        Ok((near, id))
    }

    fn add(&mut self, hub: &mut CacheHub, key: PathBuf, format: InputFormat, text: String) -> FileId {
        let id = hub.sources.add_string(SourcePath::Path(key.clone(), format), text);
        self.known.insert((key, format), id);
        id
    }

    fn known(&self, key: &Path, format: InputFormat) -> Option<FileId> {
        self.known.get(&(key.to_owned(), format)).copied()
    }
}

/// What an import of anything else is told.
const RULE: &str = "a document can only import files inside of its own directory, and the embedded `lian/…`";

/// All imports in a source.
fn find_imports<'ast>(ast: &'ast Ast<'ast>, found: &mut Vec<Found>) {
    ast.traverse_ref::<(), ()>(
        &mut |node: &Ast<'ast>, (): &()| {
            if let Node::Import(import) = &node.node {
                let (path, format) = match import {
                    Import::Path { path, format } => (PathBuf::from(path), *format),
                    // There is no package manifest: the path's refusal says so with the place.
                    Import::Package { id } => (PathBuf::from(format!("/package/{id}")), InputFormat::Nickel),
                };
                found.push(Found { path, format, pos: node.pos });
            }
            TraverseControl::Continue
        },
        &(),
    );
}

/// Reads a file that has to be inside of `root` (which is without symlinks). The error completes "it …".
fn read_inside(path: &Path, root: &Path) -> Result<String, String> {
    let real = path.canonicalize().map_err(|error| match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => format!("is a symlink that leads nowhere ({error})"),
        Ok(_) => error.to_string(),
        Err(_) => "does not exist".to_owned(),
    })?;
    if !real.starts_with(root) {
        return Err(format!("is a symlink that leads outside; {RULE}"));
    }
    // Looked at before it is opened: opening a FIFO would wait, opening a device may do anything.
    let meta = real.symlink_metadata().map_err(|error| error.to_string())?;
    if let Some(kind) = odd_kind(meta.file_type()) {
        return Err(format!("is a {kind}, not a file"));
    }
    if meta.len() > MAX_FILE {
        return Err(format!("has {} bytes; at most {MAX_FILE} are read", meta.len()));
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(&real)
        .map_err(|error| format!("cannot be opened: {error}"))?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err("was replaced by something that is no file while it was read".to_owned());
    }
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("has more than {MAX_FILE} bytes"));
    }
    String::from_utf8(text).map_err(|error| format!("is not UTF-8 text ({error})"))
}

/// What a file that is no regular file is.
fn odd_kind(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("directory")
    } else if kind.is_fifo() {
        Some("FIFO")
    } else if kind.is_socket() {
        Some("socket")
    } else {
        Some("device")
    }
}
