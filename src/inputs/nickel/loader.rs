//! [`Loader`]: reads a document and everything it imports, before evaluation, and nothing else.
//!
//! Nickel's imports are static, so they can be found by parsing. The loader walks them, checks each path before it is
//! opened, and puts the texts into Nickel's table of sources as files in memory; Nickel answers imports from
//! there without touching the disk. Files on disk get virtual paths (`/__root0__/.build-spec.ncl`), so that neither an
//! absolute path nor `..` in an import can mean anything outside, and messages need not show where the context is.
//! Which imports mean an embedded file, wherever they stand, says [`super::embed`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::FileType;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nickel_lang_core::ast::{Ast, Import, InputFormat, Node};
use nickel_lang_core::cache::{CacheHub, SourceCache, SourcePath, normalize_abs_path};
use nickel_lang_core::error::{Error as NickelError, ImportErrorKind};
use nickel_lang_core::files::FileId;
use nickel_lang_core::position::TermPos;
use nickel_lang_core::traverse::{TraverseAlloc as _, TraverseControl};
use rustix::fs::OFlags;

use super::contract::Contract;
use super::embed;
use super::limits::{MAX_FILE, MAX_FILES};
use super::wire::{Document, Source};
use super::writers::Writers;
use crate::nearest::nearest;

/// Fills a [`CacheHub`] with the documents' sources.
#[derive(Default)]
pub(super) struct Loader {
    roots: Vec<Root>,
    /// Everything that is in the table, by virtual path and format.
    known: HashMap<(PathBuf, InputFormat), FileId>,
    /// Everything that is in the table, in the order in which it came there.
    texts: Vec<Text>,
    /// Virtual paths beside the projects' files at which Nickel will look for an embedded file, and that file's own.
    aliases: HashMap<PathBuf, PathBuf>,
}

/// A source.
struct Text {
    key: PathBuf,
    format: InputFormat,
    text: String,
}

/// A document that is in the table, with everything it imports.
pub(super) struct Loaded {
    /// Its virtual path.
    pub(super) path: PathBuf,
    pub(super) format: InputFormat,
    /// What its author should know about its imports.
    pub(super) warnings: Vec<String>,
    /// The files that it imports, and they do, absolute and without links.
    pub(super) imports: BTreeSet<PathBuf>,
}

/// A directory on disk and what it is called.
struct Root {
    /// Its virtual path.
    key: PathBuf,
    /// Where it is, without symlinks.
    real: PathBuf,
    /// How messages name it.
    shown: String,
    /// Who may be able to write to its files.
    writers: Writers,
    /// What an import from elsewhere is told.
    rule: &'static str,
}

/// Why a source could not be loaded.
pub(super) enum LoadError {
    /// The document itself cannot be read: completes "it …".
    Unreadable(String),
    /// Nickel's own complaints, with places in the sources.
    Nickel(Vec<NickelError>),
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

    /// A new table with all that was loaded, with other texts where `replaced` has them.
    pub(super) fn table(&self, replaced: &BTreeMap<PathBuf, String>) -> CacheHub {
        let mut hub = CacheHub::new();
        for Text { key, format, text } in &self.texts {
            let text = replaced.get(key).unwrap_or(text).clone();
            hub.sources.add_string(SourcePath::Path(key.clone(), *format), text);
        }
        for (alias, key) in &self.aliases {
            add_alias(&mut hub, alias, key);
        }
        hub.sources.add_import_paths(std::iter::once(embed::ROOT));
        hub
    }

    /// What was loaded from the file with this virtual path.
    pub(super) fn text(&self, key: &Path) -> Option<&str> {
        self.texts.iter().find(|text| text.key == key).map(|text| text.text.as_str())
    }

    /// The file with this virtual path in a table.
    pub(super) fn id_in(&self, sources: &SourceCache, key: &Path) -> Option<FileId> {
        let text = self.texts.iter().find(|text| text.key == key)?;
        sources.id_of(&SourcePath::Path(key.to_owned(), text.format))
    }

    /// The texts that users wrote.
    pub(super) fn own_texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().filter(|text| self.root_of(&text.key).is_some()).map(|text| text.text.as_str())
    }

    /// The files in a table that users wrote.
    pub(super) fn own_files(&self, sources: &SourceCache) -> Vec<FileId> {
        let own = self.texts.iter().filter(|text| self.root_of(&text.key).is_some());
        own.filter_map(|text| self.id_in(sources, &text.key)).collect()
    }

    /// Loads a document with all its imports.
    pub(super) fn load(&mut self, hub: &mut CacheHub, document: &Document) -> Result<Loaded, LoadError> {
        let (path, format, id) = match &document.source {
            Source::Embedded(name) => {
                let key = Path::new(embed::ROOT).join("lian").join(name);
                let id = self.known(&key, InputFormat::Nickel);
                let id = id.ok_or_else(|| LoadError::Unreadable("is not among the embedded files".to_owned()))?;
                (key, InputFormat::Nickel, id)
            }
            Source::File { directory, name, shown, writers } => {
                self.load_main(hub, directory, name, shown, *writers, rule_of(document.contract))?
            }
        };
        let mut warnings = Vec::new();
        let imports = self.load_imports(hub, id, &path, format, &mut warnings)?;
        Ok(Loaded { path, format, warnings, imports })
    }

    /// Messages show `.build-spec.ncl`, not the virtual path.
    pub(super) fn show(&self, message: &str) -> String {
        let mut message = message.replace(&format!("{}/", embed::ROOT), "");
        for root in &self.roots {
            message = message.replace(&format!("{}/", root.key.display()), &root.shown);
        }
        message
    }

    /// The name that users know the file with this virtual path by; `None` for what is in no file that they know.
    pub(super) fn name(&self, path: &str) -> Option<String> {
        let is_ours = path.starts_with(embed::WRAPPERS);
        let is_known = path.starts_with(embed::ROOT) || self.root_of(Path::new(path)).is_some();
        (is_known && !is_ours).then(|| self.show(path))
    }

    fn root_of(&self, path: &Path) -> Option<&Root> {
        self.roots.iter().find(|root| path.starts_with(&root.key))
    }

    fn load_main(
        &mut self,
        hub: &mut CacheHub,
        directory: &OsStr,
        name: &OsStr,
        shown: &str,
        writers: Writers,
        rule: &'static str,
    ) -> Result<(PathBuf, InputFormat, FileId), LoadError> {
        let directory = Path::new(directory);
        let real = directory
            .canonicalize()
            .map_err(|error| LoadError::Unreadable(format!("cannot be read: its directory: {error}")))?;
        let root =
            Root { key: format!("/__root{}__", self.roots.len()).into(), real, shown: shown.to_owned(), writers, rule };
        let key = normalize_abs_path(&root.key.join(&*name.to_string_lossy()));
        if !key.starts_with(&root.key) {
            return Err(LoadError::Unreadable(format!("cannot be read: it is outside; {rule}")));
        }
        let text = read_inside(&root.real.join(name), &root)
            .map_err(|reason| LoadError::Unreadable(format!("cannot be read: it {reason}")))?;
        self.roots.push(root);
        let format = InputFormat::from_path(&key).unwrap_or(InputFormat::Nickel);
        let id = self.add(hub, key.clone(), format, text);
        Ok((key, format, id))
    }

    /// Follows the imports of a source, and theirs. The files on disk that they are.
    fn load_imports(
        &mut self,
        hub: &mut CacheHub,
        id: FileId,
        key: &Path,
        format: InputFormat,
        warnings: &mut Vec<String>,
    ) -> Result<BTreeSet<PathBuf>, LoadError> {
        let mut files = BTreeSet::new();
        let mut pending = vec![(id, key.to_owned(), format)];
        let mut seen = BTreeSet::new();
        let mut errors = Vec::new();
        while let Some((id, key, format)) = pending.pop() {
            if format != InputFormat::Nickel || !seen.insert(key.clone()) {
                continue;
            }
            if let Err(parse_errors) = hub.parse_to_ast(id) {
                errors.push(NickelError::ParseErrors(parse_errors));
                continue;
            }
            let mut imports = Vec::new();
            if let Some(ast) = hub.asts.get(id) {
                find_imports(ast, &mut imports);
            }
            for import in imports {
                match self.resolve(hub, &key, &import, warnings) {
                    Ok((target, id)) => {
                        files.extend(self.on_disk(&target).map(|path| path.canonicalize().unwrap_or(path)));
                        pending.push((id, target, import.format));
                    }
                    Err(reason) => {
                        let path = format!("`{}`", import.path.display());
                        let error = ImportErrorKind::IOError(path, reason, import.pos);
                        errors.push(NickelError::ImportError(Box::new(error)));
                    }
                }
            }
        }
        if errors.is_empty() { Ok(files) } else { Err(LoadError::Nickel(errors)) }
    }

    /// The source that an import means, loaded if it may be: an embedded file where it names one of ours, else the file
    /// beside the importing one. The error completes "import of `x` failed: …".
    fn resolve(
        &mut self,
        hub: &mut CacheHub,
        from: &Path,
        import: &Found,
        warnings: &mut Vec<String>,
    ) -> Result<(PathBuf, FileId), String> {
        let near = normalize_abs_path(&from.parent().unwrap_or(Path::new("/")).join(&import.path));
        if near.starts_with(embed::ROOT) {
            let id = self.known(&near, import.format).ok_or_else(|| no_such_embedded_file(&import.path))?;
            return Ok((near, id));
        }
        match embed::meant_by(&import.path) {
            Some(embedded) => self.resolve_embedded(hub, near, embedded, import, from, warnings),
            None => self.resolve_own(hub, near, import, from),
        }
    }

    /// Sees to it that Nickel, which looks beside the importing file first, finds the embedded file there.
    fn resolve_embedded(
        &mut self,
        hub: &mut CacheHub,
        near: PathBuf,
        embedded: PathBuf,
        import: &Found,
        from: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<(PathBuf, FileId), String> {
        let id = self.known(&embedded, import.format).ok_or_else(|| no_such_embedded_file(&import.path))?;
        if self.known(&near, import.format).is_some() {
            return Err(BOTH_MEANINGS.to_owned());
        }
        add_alias(hub, &near, &embedded);
        let hides = self.on_disk(&near).is_some_and(|path| path.symlink_metadata().is_ok());
        if hides && !self.aliases.contains_key(&near) {
            let (from, near) = (self.show(&from.to_string_lossy()), self.show(&near.to_string_lossy()));
            let path = import.path.display();
            warnings.push(format!(
                "`{path}` in `{from}` is lian-build's own file; `{near}` is taken only where it is named `./{path}`"
            ));
        }
        self.aliases.insert(near, embedded.clone());
        Ok((embedded, id))
    }

    fn resolve_own(
        &mut self,
        hub: &mut CacheHub,
        near: PathBuf,
        import: &Found,
        from: &Path,
    ) -> Result<(PathBuf, FileId), String> {
        if self.aliases.contains_key(&near) {
            return Err(BOTH_MEANINGS.to_owned());
        }
        // The virtual path of another document's directory can be written down, too.
        let rule = self.root_of(from).map_or(RULE, |root| root.rule);
        let root = self.root_of(&near).filter(|root| from.starts_with(&root.key)).ok_or(rule)?;
        if let Some(id) = self.known(&near, import.format) {
            return Ok((near, id));
        }
        let path = self.on_disk(&near).ok_or(rule)?;
        let text = read_inside(&path, root).map_err(|reason| match nearest_embedded(&import.path) {
            Some(near) if path.symlink_metadata().is_err() => format!("it {reason}; did you mean `{near}`?"),
            _ => format!("it {reason}"),
        })?;
        if self.known.len() >= MAX_FILES + embed::FILES.len() {
            return Err(format!("more than {MAX_FILES} files are imported"));
        }
        let id = self.add(hub, near.clone(), import.format, text);
        Ok((near, id))
    }

    /// Where the file with this virtual path is, if it is one of a project.
    fn on_disk(&self, path: &Path) -> Option<PathBuf> {
        let root = self.root_of(path)?;
        Some(root.real.join(path.strip_prefix(&root.key).ok()?))
    }

    fn add(&mut self, hub: &mut CacheHub, key: PathBuf, format: InputFormat, text: String) -> FileId {
        let id = hub.sources.add_string(SourcePath::Path(key.clone(), format), text.clone());
        self.texts.push(Text { key: key.clone(), format, text });
        self.known.insert((key, format), id);
        id
    }

    fn known(&self, key: &Path, format: InputFormat) -> Option<FileId> {
        self.known.get(&(key.to_owned(), format)).copied()
    }
}

/// What an import of anything else is told.
const RULE: &str = "a document can only import files inside of its own directory, and the embedded `lian/…`";

/// The same for directives, whose directory is the whole repository's.
const RULE_OF_DIRECTIVES: &str = "directives can only import files of their own repository (the nearest directory with a `.git`; \
    without one, what is below the current directory), and the embedded `lian/…`";

fn rule_of(contract: Contract) -> &'static str {
    if contract == Contract::Directives { RULE_OF_DIRECTIVES } else { RULE }
}

/// What an import is told that would need Nickel to find two files at one place.
const BOTH_MEANINGS: &str = "the embedded file and the project's own file of this name are both imported from here; name the embedded one `lian/…`";

/// What an import of an unknown embedded file is told.
fn no_such_embedded_file(path: &Path) -> String {
    let near = nearest(&path.to_string_lossy(), embed::names());
    match near {
        Some(near) => format!("there is no such embedded file; did you mean `{near}`?"),
        None => format!("there is no such embedded file; there are {}", embed::names().collect::<Vec<_>>().join(", ")),
    }
}

/// The embedded file that an import of nothing was probably meant to be, by one of its names.
fn nearest_embedded(path: &Path) -> Option<&'static str> {
    let name = |name: &'static str| name.strip_prefix("lian/").unwrap_or(name);
    nearest(&path.to_string_lossy(), embed::names().map(name))
}

/// Makes an embedded file found beside a file that imports it, too.
fn add_alias(hub: &mut CacheHub, alias: &Path, key: &Path) {
    // Embedded files are Nickel, all of them.
    let source = |path: &Path| SourcePath::Path(path.to_owned(), InputFormat::Nickel);
    if let Some(entry) = hub.sources.file_ids.get(&source(key)).copied() {
        hub.sources.file_ids.insert(source(alias), entry);
    }
}

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

/// Reads a file that has to be inside of `root`. The error completes "it …".
fn read_inside(path: &Path, root: &Root) -> Result<String, String> {
    let real = path.canonicalize().map_err(|error| match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => format!("is a symlink that leads nowhere ({error})"),
        Ok(_) => error.to_string(),
        Err(_) => "does not exist".to_owned(),
    })?;
    if !real.starts_with(&root.real) {
        return Err(format!("is a symlink that leads outside; {}", root.rule));
    }
    let inner = real.strip_prefix(&root.real).unwrap_or(&real);
    if inner.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
        return Err("is in `.git`: what is there, logins say, is no part of the project".to_owned());
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
    let opened = file.metadata().ok().filter(std::fs::Metadata::is_file);
    let opened = opened.ok_or("was replaced by something that is no file while it was read")?;
    root.writers.check(&opened, &real)?;
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
