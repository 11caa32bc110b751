//! What is built: the context, its Dockerfile, and other directories and images beside it.

use std::path::{Path, PathBuf};

use super::sources::Sources;
use crate::error::{Error, Result};
use crate::inputs::build_arg::{BuildContext, ContextSource};
use crate::inputs::directives::{BuildKindTag, Directives, inner_path};
use crate::inputs::origin::{By, Origin};
use crate::inputs::resolve::{Candidates, Keyed, Ledger, Said};

/// What is built.
pub(super) struct Built {
    /// The context, absolute.
    pub(super) context: PathBuf,
    /// The Dockerfile, absolute, where one was named.
    pub(super) dockerfile: Option<PathBuf>,
    /// Named contexts.
    pub(super) contexts: Vec<BuildContext>,
}

impl Built {
    /// Every directory of the caller that is built.
    pub(super) fn directories(&self) -> Vec<&Path> {
        let named = self.contexts.iter().filter_map(|context| match &context.source {
            ContextSource::Directory(path) => Some(path.as_path()),
            ContextSource::Image(_) => None,
        });
        std::iter::once(self.context.as_path()).chain(named).chain(self.dockerfile.as_deref()).collect()
    }
}

pub(super) fn built(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Built> {
    kind(sources, ledger)?;
    let context = context(sources, ledger)?;
    let dockerfile = dockerfile(sources, &context, ledger)?;
    let contexts = contexts(sources, ledger)?;
    Ok(Built { context, dockerfile, contexts })
}

/// What is built from, where it is said.
fn kind(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<()> {
    let path = "artifact.kind";
    if let Some(directives) = sources.directives
        && let Some(kind) = directives.value.artifact.kind
    {
        kind.check().map_err(|error| directives.refuse(path, &error))?;
        ledger.note(Origin::new("build_kind", kind.as_str(), By::Directives, directives.place(path)));
    } else {
        ledger.note(Origin::new("build_kind", BuildKindTag::Dockerfile.as_str(), By::Default, "the only kind so far"));
    }
    Ok(())
}

fn context(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<PathBuf> {
    let args = sources.args;
    let flag = match (&args.context, &args.context_flag) {
        (Some(path), _) => Some(("CONTEXT", path)),
        (None, Some(path)) => Some(("--context", path)),
        (None, None) => None,
    };
    let candidates = Candidates {
        flag: flag.map(|(name, path)| Said::by_flag(name, sources.directory(path), path.display().to_string())),
        directives: inner(sources, "artifact.context", |directives| {
            let context = directives.value.artifact.context.as_ref()?;
            Some((context, inner_path::existing(&directives.root, context)))
        })?,
        variable: None,
    };
    if let Some(context) = ledger.pick_by("context", candidates, |one, other| is_same(one, other))? {
        return Ok(context);
    }
    Ok(match sources.directives {
        Some(directives) => {
            ledger.note_default("context", "the project's root");
            directives.root.clone()
        }
        None => {
            ledger.note_default("context", "the current directory");
            sources.directory(Path::new("."))
        }
    })
}

fn dockerfile(sources: &Sources<'_>, context: &Path, ledger: &mut Ledger) -> Result<Option<PathBuf>> {
    let flag = sources.args.file.as_ref();
    let candidates = Candidates {
        flag: flag.map(|file| Said::by_flag("--file", sources.file(file), file.display().to_string())),
        directives: inner(sources, "artifact.dockerfile", |directives| {
            let file = directives.value.artifact.dockerfile.as_ref()?;
            // A context that is not there is said where it is read.
            let real = context.canonicalize();
            Some((file, real.map_or_else(|_| Ok(context.join(file)), |real| inner_path::existing(&real, file))))
        })?,
        variable: None,
    };
    let picked = ledger.pick_by("dockerfile", candidates, |one, other| is_same(one, other))?;
    if picked.is_none() {
        ledger.note_default("dockerfile", "`Dockerfile` in the context");
    }
    Ok(picked)
}

fn contexts(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Vec<BuildContext>> {
    let mut flags: Vec<Keyed<BuildContext>> = Vec::new();
    for text in &sources.args.build_contexts {
        let context = BuildContext::parse(text, sources.base)?;
        if flags.iter().any(|other| other.key == context.name) {
            return Err(Error::usage(format!("`--build-context {}` stands twice", context.name)));
        }
        let said = Said::by_flag("--build-context", context.clone(), context.source.to_string());
        flags.push(Keyed { key: context.name, said });
    }
    let mut directives: Vec<Keyed<BuildContext>> = Vec::new();
    if let Some(said) = sources.directives {
        for (name, source) in &said.value.artifact.extra_contexts {
            let path = Directives::entry("artifact.extra_contexts", name);
            let context =
                inner_path::named_context(&said.root, name, source).map_err(|error| said.refuse(&path, &error))?;
            let shown = context.source.to_string();
            directives.push(Keyed { key: context.name.clone(), said: said.said(&path, context, shown) });
        }
    }
    ledger.unite("build_context", flags, directives)
}

/// A path in the directives, looked up; what is wrong with it names its place.
fn inner<'a>(
    sources: &Sources<'a>,
    path: &str,
    look_up: impl FnOnce(&'a Directives) -> Option<(&'a String, Result<PathBuf>)>,
) -> Result<Option<Said<PathBuf>>> {
    let Some(directives) = sources.directives else { return Ok(None) };
    let Some((text, found)) = look_up(directives) else { return Ok(None) };
    let found = found.map_err(|error| directives.refuse(path, &error))?;
    Ok(Some(Said { value: found, shown: text.clone(), by: By::Directives, from: directives.place(path) }))
}

/// Whether two paths lead to the same thing.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
