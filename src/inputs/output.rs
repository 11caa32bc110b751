//! [`OutputSpec`]: one `-o/--output`, in buildctl's own syntax.
//!
//! Two rules of buildctl do not hold here, because the machine that builds is destroyed and because standard output
//! carries exactly one result: an image that is not pushed is refused, and so is a destination on standard output.
//! An attribute that buildctl would ignore silently is refused with the nearest one that exists.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::registry::Reference;
use crate::solve::csv;

mod destination;

pub use destination::check_file;

/// What is made of the build's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// Pushed to a registry from the runner.
    Image,
    /// An OCI layout.
    Oci,
    /// An archive for `docker load`.
    Docker,
    /// The files of the last stage, as a directory.
    Local,
    /// The files of the last stage, as a tar file.
    Tar,
}

/// How a result reaches the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It does not: the runner pushes it.
    Registry,
    /// As one file; stream it with [`crate::solve::unpack::IncomingFile`].
    File(PathBuf),
    /// As a tar stream whose entries go into this directory; see [`crate::solve::unpack::IncomingDirectory`].
    Directory(PathBuf),
}

/// One output, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSpec {
    /// What is made.
    pub kind: OutputKind,
    /// Where it goes on the caller's machine, absolute; none for [`OutputKind::Image`].
    pub dest: Option<PathBuf>,
    /// The other attributes, in the order they were given.
    pub attrs: Vec<(String, String)>,
}

const TYPES: &[(&str, OutputKind)] = &[
    ("image", OutputKind::Image),
    ("registry", OutputKind::Image),
    ("oci", OutputKind::Oci),
    ("docker", OutputKind::Docker),
    ("local", OutputKind::Local),
    ("tar", OutputKind::Tar),
];

/// Attributes of everything that is made of layers (BuildKit 0.33, `exporter/containerimage`).
const IMAGE_ATTRS: &[&str] = &[
    "name",
    "push",
    "push-by-digest",
    "registry.insecure",
    "unpack",
    "dangling-name-prefix",
    "danging-name-empty-only",
    "name-canonical",
    "store",
    "oci-mediatypes",
    "oci-artifact",
    "attestation-inline",
    "prefer-nondist-layers",
    "source-date-epoch",
    "compression",
    "force-compression",
    "compression-level",
    "rewrite-timestamp",
];
/// Attributes of `oci` and `docker` besides those of an image that make sense for a file.
const ARCHIVE_ATTRS: &[&str] = &[
    "name",
    "tar",
    "oci-mediatypes",
    "oci-artifact",
    "attestation-inline",
    "prefer-nondist-layers",
    "source-date-epoch",
    "compression",
    "force-compression",
    "compression-level",
    "rewrite-timestamp",
];
/// Attributes of `local` and `tar`. `mode` of `local` is not among them: `copy` is what happens, `delete` is refused.
const FILES_ATTRS: &[&str] = &["platform-split", "attestation-prefix", "source-date-epoch"];

impl OutputKind {
    /// The word buildctl knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Oci => "oci",
            Self::Docker => "docker",
            Self::Local => "local",
            Self::Tar => "tar",
        }
    }

    fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Image => IMAGE_ATTRS,
            Self::Oci | Self::Docker => ARCHIVE_ATTRS,
            Self::Local | Self::Tar => FILES_ATTRS,
        }
    }
}

impl OutputSpec {
    /// Reads one `-o` value: `type=…,dest=…,key=value…`, or a directory alone as in buildx. A relative destination
    /// counts from `base`. Nothing on the disk is looked at: see [`OutputSpec::parse_all`].
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for anything that buildctl, or the rules of this module, refuse.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        if let Some(directory) = shorthand(text)? {
            return Ok(Self { kind: OutputKind::Local, dest: Some(base.join(directory)), attrs: Vec::new() });
        }
        let mut kind = None;
        let mut dest = None;
        let mut attrs: Vec<(String, String)> = Vec::new();
        for (key, value) in csv::decode_pairs(text)? {
            match key.as_str() {
                "type" if kind.is_none() => {
                    kind = Some(parse_kind(text, &value)?);
                    if value == "registry" {
                        attrs.push(("push".to_owned(), "true".to_owned()));
                    }
                }
                "dest" if dest.is_none() => dest = Some(value),
                "output" => {
                    return Err(Error::usage(format!("`output={value}` in `{text}` is not an attribute"))
                        .hint(format!("write `dest={value}`")));
                }
                "push" if value == "true" && attrs.iter().any(|(key, _)| key == "push") => {}
                "type" | "dest" => return Err(twice(text, &key)),
                _ if attrs.iter().any(|(other, _)| *other == key) => return Err(twice(text, &key)),
                _ => attrs.push((key, value)),
            }
        }
        let Some(kind) = kind else {
            return Err(Error::usage(format!("`--output {text}` has no `type=`"))
                .hint(format!("types are {}", type_names().join(", "))));
        };
        let mut spec = Self { kind, dest: None, attrs };
        spec.check_attributes(text)?;
        spec.dest = spec.check_dest(text, dest, base)?;
        Ok(spec)
    }

    /// Reads every `-o` value and looks at the destinations: each must be writable now, before anything is paid for,
    /// and no two may be the same.
    ///
    /// # Errors
    /// As [`OutputSpec::parse`], and for destinations that cannot be written or are named twice.
    pub fn parse_all<S: AsRef<str>>(texts: &[S], base: &Path) -> Result<Vec<Self>> {
        let mut specs: Vec<Self> = Vec::with_capacity(texts.len());
        for text in texts {
            let mut spec = Self::parse(text.as_ref(), base)?;
            spec.dest = match spec.delivery() {
                Delivery::Registry => None,
                Delivery::File(path) => Some(destination::check_file(&path)?),
                Delivery::Directory(path) => Some(destination::check_directory(&path)?),
            };
            spec.check_distinct(&specs, &format!("--output {}", text.as_ref()))?;
            specs.push(spec);
        }
        Ok(specs)
    }

    /// Checks that this output, which `place` asks for, does not go where one of `others` goes.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] when it does.
    pub fn check_distinct(&self, others: &[Self], place: &str) -> Result<()> {
        if self.dest.is_some() && others.iter().any(|other| other.dest == self.dest) {
            return Err(Error::usage(format!("`{place}`: its destination is named twice")));
        }
        Ok(())
    }

    /// How the result reaches the caller.
    pub fn delivery(&self) -> Delivery {
        match (&self.dest, self.kind) {
            (None, _) | (_, OutputKind::Image) => Delivery::Registry,
            (Some(dest), OutputKind::Local) => Delivery::Directory(dest.clone()),
            (Some(dest), OutputKind::Oci | OutputKind::Docker) if !self.is_tar() => Delivery::Directory(dest.clone()),
            (Some(dest), _) => Delivery::File(dest.clone()),
        }
    }

    /// The names an image is pushed under; for `oci` and `docker` the names written into the archive.
    ///
    /// # Errors
    /// For an invalid image name.
    pub fn references(&self) -> Result<Vec<Reference>> {
        let Some(names) = self.attr("name") else { return Ok(Vec::new()) };
        names.split(',').map(Reference::parse_push_target).collect()
    }

    /// The value of an attribute.
    pub fn attr(&self, key: &str) -> Option<&str> {
        self.attrs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The `--output` argument for buildctl on the runner. A directory is asked for as a tar stream, because every
    /// result passes our own unpacker. `dest` is a path on the runner; without it buildctl writes to its standard
    /// output.
    ///
    /// # Errors
    /// When a value cannot be carried in buildctl's syntax.
    pub fn to_buildctl(&self, dest: Option<&str>) -> Result<String> {
        let kind = if self.kind == OutputKind::Local { OutputKind::Tar } else { self.kind };
        let mut pairs = vec![("type".to_owned(), kind.as_str().to_owned())];
        pairs.extend(self.attrs.iter().filter(|(key, _)| key != "tar").cloned());
        if let (Some(dest), true) = (dest, self.kind != OutputKind::Image) {
            pairs.push(("dest".to_owned(), dest.to_owned()));
        }
        csv::encode_pairs(&pairs)
    }

    /// `tar=false` asks for a directory instead of a file; anything that is no boolean counts as true, as in buildctl.
    fn is_tar(&self) -> bool {
        self.attr("tar").and_then(parse_bool).unwrap_or(true)
    }

    fn check_attributes(&self, text: &str) -> Result<()> {
        let known = self.kind.attributes();
        for (key, value) in &self.attrs {
            if key == "mode" && self.kind == OutputKind::Local {
                if value != "copy" {
                    return Err(Error::usage(format!("`mode={value}` in `--output {text}` is not supported"))
                        .hint("the result is copied over what is there; empty the directory yourself first"));
                }
                continue;
            }
            let annotation = key.starts_with("annotation") && !matches!(self.kind, OutputKind::Local | OutputKind::Tar);
            if annotation || known.contains(&key.as_str()) {
                continue;
            }
            let error = Error::usage(format!(
                "`{key}` in `--output {text}` is not an attribute of `type={}`",
                self.kind.as_str()
            ));
            return Err(match nearest(key, known.iter().copied()) {
                Some(word) => error.hint(format!("did you mean `{word}`?")),
                None => error,
            });
        }
        if matches!(self.kind, OutputKind::Image | OutputKind::Oci | OutputKind::Docker) {
            self.references()?;
        }
        if self.kind == OutputKind::Image {
            if self.attr("push").and_then(parse_bool) != Some(true) {
                return Err(Error::usage(format!("`--output {text}` would leave the image on the runner"))
                    .hint("add `push=true`, or use `type=oci,dest=FILE` to get it as a file"));
            }
            if self.attr("name").is_none() {
                return Err(Error::usage(format!("`--output {text}` pushes an image without a name"))
                    .hint("add `name=HOST/PATH:TAG`"));
            }
        }
        Ok(())
    }

    fn check_dest(&self, text: &str, dest: Option<String>, base: &Path) -> Result<Option<PathBuf>> {
        match dest.as_deref() {
            None if self.kind == OutputKind::Image => Ok(None),
            Some(_) if self.kind == OutputKind::Image => {
                Err(Error::usage(format!("`dest` in `--output {text}` is not supported by `type=image`"))
                    .hint("to get the image as a file, write `type=oci,dest=FILE`"))
            }
            None | Some("" | "-") => {
                Err(Error::usage(format!("`--output {text}` has no destination: standard output carries the result"))
                    .hint("add `dest=PATH`"))
            }
            Some(dest) => Ok(Some(base.join(dest))),
        }
    }
}

/// buildx: a single field that does not begin with `type=` is the directory of `type=local`.
fn shorthand(text: &str) -> Result<Option<String>> {
    let fields = csv::decode(text)?;
    match fields.as_slice() {
        [field] if field == "-" => {
            Err(Error::usage("`--output -` is not supported: standard output carries the result")
                .hint("write `type=tar,dest=FILE`"))
        }
        [field] if !field.starts_with("type=") => {
            if field.is_empty() {
                return Err(Error::usage("`--output` is empty"));
            }
            Ok(Some(field.clone()))
        }
        _ => Ok(None),
    }
}

fn parse_kind(text: &str, word: &str) -> Result<OutputKind> {
    if let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == word) {
        return Ok(*kind);
    }
    let names = type_names();
    Err(Error::usage(format!("`type={word}` in `--output {text}` is not known")).hint(
        match nearest(word, names.iter().copied()) {
            Some(name) => format!("did you mean `type={name}`?"),
            None => format!("types are {}", names.join(", ")),
        },
    ))
}

fn type_names() -> Vec<&'static str> {
    TYPES.iter().map(|(name, _)| *name).collect()
}

fn twice(text: &str, key: &str) -> Error {
    Error::usage(format!("`{key}` stands twice in `--output {text}`"))
}

/// Booleans as Go's `strconv.ParseBool` reads them.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(text: &str) -> Result<OutputSpec> {
        OutputSpec::parse(text, Path::new("/base"))
    }

    #[track_caller]
    fn assert_refused(text: &str, word: &str) {
        let error = parse(text).unwrap_err();
        let all = format!("{error}\n{}", error.hints().join("\n"));
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(all.contains(word), "{text}: {all}");
    }

    #[test]
    fn buildctls_syntax_and_the_directory_alone_are_read() {
        let oci = parse("type=oci,dest=out.tar,\"name=a,b\"").unwrap();
        assert_eq!(oci.delivery(), Delivery::File(PathBuf::from("/base/out.tar")));
        assert_eq!(oci.references().unwrap().len(), 2);
        let short = parse("out/dir").unwrap();
        assert_eq!((short.kind, short.delivery()), (OutputKind::Local, Delivery::Directory("/base/out/dir".into())));
        let layout = parse("type=oci,tar=false,dest=/layout").unwrap();
        assert_eq!(layout.delivery(), Delivery::Directory("/layout".into()));
        let push = parse("type=registry,name=r.example.com/a").unwrap();
        assert_eq!(
            (push.kind, push.delivery(), push.attr("push")),
            (OutputKind::Image, Delivery::Registry, Some("true"))
        );
        let annotated = parse("type=image,name=a,push=true,annotation-index.org.example=x").unwrap();
        assert_eq!(annotated.attr("annotation-index.org.example"), Some("x"));
    }

    #[test]
    fn what_buildctl_gets_holds_no_path_of_ours() {
        let oci = parse("type=oci,dest=/home/me/a,compression=zstd").unwrap();
        assert_eq!(oci.to_buildctl(None).unwrap(), "type=oci,compression=zstd");
        assert_eq!(oci.to_buildctl(Some("/r/a,b")).unwrap(), "type=oci,compression=zstd,\"dest=/r/a,b\"");
        assert_eq!(parse("dir").unwrap().to_buildctl(None).unwrap(), "type=tar");
        assert_eq!(parse("type=oci,tar=false,dest=d").unwrap().to_buildctl(None).unwrap(), "type=oci");
        let image = parse("type=image,\"name=a,b\",push=true").unwrap();
        assert_eq!(image.to_buildctl(Some("/ignored")).unwrap(), "type=image,\"name=a,b\",push=true");
    }

    #[test]
    fn each_bad_output_says_what_is_wrong() {
        for (text, word) in [
            ("", "empty"),
            ("-", "standard output"),
            ("type=oci", "no destination"),
            ("type=tar,dest=-", "standard output"),
            ("type=locla,dest=a", "did you mean `type=local`?"),
            ("type=zip,dest=a", "types are image"),
            ("dest=a,push=true", "no `type=`"),
            ("type=oci,output=a", "write `dest=a`"),
            ("type=oci,dest=a,dest=b", "twice"),
            ("type=oci,type=tar,dest=a", "twice"),
            ("type=oci,dest=a,compresion=zstd", "did you mean `compression`?"),
            ("type=local,dest=a,mode=delete", "not supported"),
            ("type=image,name=a", "leave the image on the runner"),
            ("type=image,push=true", "without a name"),
            ("type=image,push=true,name=A", "did you mean `a`?"),
            ("type=image,push=true,name=a,dest=x", "not supported by `type=image`"),
            ("type=oci,dest=\"a", "quote"),
            ("type=oci,dest", "not `key=value`"),
        ] {
            assert_refused(text, word);
        }
    }

    #[test]
    fn destinations_are_looked_at_before_anything_is_built() {
        let base = tempfile::tempdir().unwrap();
        let all = |texts: &[&str]| OutputSpec::parse_all(texts, base.path());
        std::fs::write(base.path().join("file"), "").unwrap();
        std::fs::create_dir(base.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("file", base.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", base.path().join("dangling")).unwrap();
        let good = all(&["type=oci,dest=link", "type=tar,dest=dir/new.tar", "dir", "new/deep"]).unwrap();
        let real = base.path().canonicalize().unwrap();
        assert_eq!(good[0].dest.as_deref(), Some(real.join("file").as_path()), "the file behind a link is replaced");
        assert_eq!(good[3].dest.as_deref(), Some(real.join("new/deep").as_path()));
        for (texts, word) in [
            (&["type=oci,dest=no/such/a.tar"][..], "does not exist"),
            (&["type=oci,dest=dir"], "is a directory"),
            (&["type=oci,dest=/dev/null"], "not a regular file"),
            (&["type=oci,dest=dangling"], "leads nowhere"),
            (&["file"], "is a file"),
            (&["file/below"], "cannot be used"),
            (&["type=oci,dest=file", "type=tar,dest=./link"], "named twice"),
        ] {
            let error = all(texts).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(word), "{texts:?}: {error}");
        }
        assert!(!base.path().join("new").exists(), "looking makes nothing");
    }
}
