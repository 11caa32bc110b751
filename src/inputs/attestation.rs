//! [`Attestations`]: what `--provenance`, `--sbom` and `--attest` ask for, in buildx's syntax.
//!
//! Nothing is attested unless somebody asks, so that an image's digest is that of a plain image. Two rules are our own: an
//! attribute that BuildKit would ignore silently is refused, and provenance without a mode is `min`, because BuildKit's own
//! default, `max`, publishes the values of build arguments.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::inputs::build_arg::KeyValue;
use crate::nearest::nearest;
use crate::registry::Reference;
use crate::solve::csv;

/// What BuildKit scans with when no generator is named (BuildKit 0.33, `frontend/attestations`).
pub const DEFAULT_SBOM_GENERATOR: &str = "docker/buildkit-syft-scanner:stable-1";

/// Build arguments with this prefix ask BuildKit for attestations, too.
const BUILD_ARG_PREFIX: &str = "BUILDKIT_ATTEST_";

/// Attributes of provenance besides its mode.
const PROVENANCE_ATTRS: &[&str] = &["builder-id", "filename", "reproducible", "inline-only", "version"];

/// How much provenance tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvenanceMode {
    /// The sources and when it was built.
    Min,
    /// Also every step, the values of build arguments and the ids of secrets.
    Max,
}

impl ProvenanceMode {
    /// The word BuildKit knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

impl FromStr for ProvenanceMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            _ => Err(Error::usage(format!("`{text}` is not a mode of provenance")).hint("modes are `min` and `max`")),
        }
    }
}

/// How the image was made, attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// How much it tells.
    pub mode: ProvenanceMode,
    /// BuildKit's other attributes (`builder-id`, `version`), in the order they were given.
    pub attrs: Vec<(String, String)>,
}

impl Provenance {
    /// The value of BuildKit's option `attest:provenance`.
    ///
    /// # Errors
    /// When an attribute's value cannot be written in buildctl's CSV.
    pub fn option(&self) -> Result<String> {
        let mode = ("mode", self.mode.as_str());
        let attrs = self.attrs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        csv::encode_pairs(&std::iter::once(mode).chain(attrs).collect::<Vec<_>>())
    }
}

/// What is in the image, attested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sbom {
    /// The image that looks into the result; `None` for BuildKit's own choice, [`DEFAULT_SBOM_GENERATOR`].
    pub generator: Option<Reference>,
}

impl Sbom {
    /// The value of BuildKit's option `attest:sbom`.
    ///
    /// # Errors
    /// When the generator's name cannot be written in buildctl's CSV.
    pub fn option(&self) -> Result<String> {
        match &self.generator {
            None => Ok(String::new()),
            Some(generator) => csv::encode_pairs(&[("generator", generator.to_string())]),
        }
    }

    /// The name of the image that looks into the result.
    pub fn image(&self) -> String {
        self.generator.as_ref().map_or_else(|| DEFAULT_SBOM_GENERATOR.to_owned(), ToString::to_string)
    }
}

/// What is attested about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attestations {
    /// How it was made.
    pub provenance: Option<Provenance>,
    /// What is in it.
    pub sbom: Option<Sbom>,
}

/// What was said about each attestation: nothing, that there is to be none, or what it is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// How the image was made.
    pub provenance: Option<Option<Provenance>>,
    /// What is in it.
    pub sbom: Option<Option<Sbom>>,
}

/// One flag's wish: an attestation, or the word that there is to be none.
enum Wish {
    Provenance(Option<Provenance>),
    Sbom(Option<Sbom>),
}

impl Asked {
    /// Reads `--provenance`, `--sbom` and every `--attest`.
    ///
    /// # Errors
    /// `Usage` for what BuildKit would refuse or ignore, and for one kind that is asked for twice.
    pub fn parse<S: AsRef<str>>(provenance: Option<&str>, sbom: Option<&str>, attest: &[S]) -> Result<Self> {
        let mut wishes = Vec::new();
        for (kind, value) in [("provenance", provenance), ("sbom", sbom)] {
            if let Some(value) = value {
                let flag = format!("--{kind}={value}");
                wishes.push((flag.clone(), wish(&flag, kind, shorthand(kind, value)?)?));
            }
        }
        for text in attest {
            let flag = format!("--attest {}", text.as_ref());
            let mut pairs = csv::decode_pairs(text.as_ref())?;
            let kind = pairs.iter().position(|(key, _)| key == "type").map(|at| pairs.remove(at).1);
            let kind = kind.ok_or_else(|| Error::usage(format!("`{flag}` has no `type=`")).hint(KINDS))?;
            wishes.push((flag.clone(), wish(&flag, &kind, pairs)?));
        }
        let mut all = Self::default();
        let mut said: [Option<String>; 2] = [None, None];
        for (flag, wish) in wishes {
            let slot = match wish {
                Wish::Provenance(provenance) => {
                    all.provenance = Some(provenance);
                    &mut said[0]
                }
                Wish::Sbom(sbom) => {
                    all.sbom = Some(sbom);
                    &mut said[1]
                }
            };
            if let Some(other) = slot.replace(flag.clone()) {
                return Err(Error::usage(format!("`{other}` and `{flag}` speak of the same attestation")));
            }
        }
        Ok(all)
    }
}

impl From<Asked> for Attestations {
    /// Nothing is attested unless somebody asks.
    fn from(asked: Asked) -> Self {
        Self { provenance: asked.provenance.flatten(), sbom: asked.sbom.flatten() }
    }
}

impl Attestations {
    /// True when nothing is attested.
    pub fn is_none(&self) -> bool {
        self.provenance.is_none() && self.sbom.is_none()
    }

    /// True when something is attested, be it that only a build argument asks for it.
    pub fn any(&self, build_args: &[KeyValue]) -> bool {
        !self.is_none() || ["PROVENANCE", "SBOM"].iter().any(|kind| asking_arg(build_args, kind).is_some())
    }

    /// Checks that no build argument asks for an attestation that is asked for here, or by another build argument: BuildKit
    /// would take either. What such an argument says must be readable.
    ///
    /// # Errors
    /// `Usage` with the build argument.
    pub fn check_build_args(&self, build_args: &[KeyValue]) -> Result<()> {
        for (kind, is_asked) in [("PROVENANCE", self.provenance.is_some()), ("SBOM", self.sbom.is_some())] {
            if let Some(arg) = asking_arg(build_args, kind).filter(|_| is_asked) {
                let flag = kind.to_lowercase();
                return Err(Error::usage(format!(
                    "`--build-arg {}` and `--{flag}` speak of the same attestation",
                    arg.key
                ))
                .hint("leave the build argument out"));
            }
            let mut keys = build_args.iter().filter(|arg| asks(arg, kind)).map(|arg| arg.key.as_str());
            if let Some(first) = keys.next()
                && let Some(other) = keys.find(|key| *key != first)
            {
                return Err(Error::usage(format!(
                    "`--build-arg {first}` and `--build-arg {other}` speak of the same attestation"
                )));
            }
            if let Some(arg) = asking_arg(build_args, kind) {
                fields(&arg.value).map_err(|error| {
                    Error::usage(format!("the value of `--build-arg {}` cannot be read", arg.key)).because(error)
                })?;
            }
        }
        Ok(())
    }

    /// The name of the image that makes the SBOM, where there is to be one; `build_args` can ask for one too.
    pub fn generator(&self, build_args: &[KeyValue]) -> Option<String> {
        if let Some(sbom) = &self.sbom {
            return Some(sbom.image());
        }
        let arg = asking_arg(build_args, "SBOM")?;
        // What cannot be decoded is no image's name either, and `check_build_args` refuses it.
        let Ok(fields) = fields(&arg.value) else { return Some(arg.value.clone()) };
        let mut pairs = fields.iter().rev().map(|field| field.split_once('=').unwrap_or((field, "")));
        let named = pairs.find(|(key, _)| *key == "generator").map(|(_, image)| image.to_owned());
        Some(named.unwrap_or_else(|| DEFAULT_SBOM_GENERATOR.to_owned()))
    }
}

const KINDS: &str = "attestations are `type=provenance` and `type=sbom`";

/// The build argument that asks for an attestation of this kind. BuildKit takes any case of the kind.
fn asking_arg<'a>(build_args: &'a [KeyValue], kind: &str) -> Option<&'a KeyValue> {
    build_args.iter().rev().find(|arg| asks(arg, kind))
}

fn asks(arg: &KeyValue, kind: &str) -> bool {
    arg.key.strip_prefix(BUILD_ARG_PREFIX).is_some_and(|asked| asked.eq_ignore_ascii_case(kind))
}

/// The fields of such an argument's value. BuildKit takes an empty value, and fields without `=`.
fn fields(value: &str) -> Result<Vec<String>> {
    if value.contains(char::is_control) {
        return Err(Error::usage("the value holds a control character"));
    }
    if value.is_empty() { Ok(Vec::new()) } else { csv::decode(value) }
}

/// The attributes that the value of `--provenance` or `--sbom` stands for.
fn shorthand(kind: &str, value: &str) -> Result<Vec<(String, String)>> {
    let one = |key: &str, value: &str| Ok(vec![(key.to_owned(), value.to_owned())]);
    match (boolean(value), kind) {
        (Some(on), _) => one("disabled", if on { "false" } else { "true" }),
        (None, "provenance") if matches!(value, "min" | "max") => one("mode", value),
        (None, _) => csv::decode_pairs(value),
    }
}

/// As Go reads it, which buildx does.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn wish(flag: &str, kind: &str, pairs: Vec<(String, String)>) -> Result<Wish> {
    let mut is_disabled = false;
    let mut attrs: Vec<(String, String)> = Vec::new();
    for (key, value) in pairs {
        if key == "disabled" {
            is_disabled = boolean(&value)
                .ok_or_else(|| Error::usage(format!("`disabled={value}` of `{flag}` is neither `true` nor `false`")))?;
        } else if attrs.iter().any(|(other, _)| *other == key) {
            return Err(Error::usage(format!("`{key}` stands twice in `{flag}`")));
        } else {
            attrs.push((key, value));
        }
    }
    match kind {
        "provenance" => provenance(flag, attrs).map(|wish| Wish::Provenance(Some(wish).filter(|_| !is_disabled))),
        "sbom" => sbom(flag, attrs).map(|wish| Wish::Sbom(Some(wish).filter(|_| !is_disabled))),
        _ => Err(Error::usage(format!("`{kind}` of `{flag}` is not an attestation")).hint(KINDS)),
    }
}

fn provenance(flag: &str, mut attrs: Vec<(String, String)>) -> Result<Provenance> {
    let mode = match attrs.iter().position(|(key, _)| key == "mode") {
        Some(at) => attrs.remove(at).1.parse()?,
        None => ProvenanceMode::Min,
    };
    for (key, value) in &attrs {
        let fits = match key.as_str() {
            "reproducible" | "inline-only" => boolean(value).is_some(),
            "version" => matches!(value.as_str(), "v1" | "v0.2"),
            known if PROVENANCE_ATTRS.contains(&known) => !value.is_empty(),
            _ => return Err(unknown(flag, key, std::iter::once("mode").chain(PROVENANCE_ATTRS.iter().copied()))),
        };
        if !fits {
            return Err(Error::usage(format!("`{value}` is no value for `{key}` of `{flag}`")));
        }
    }
    Ok(Provenance { mode, attrs })
}

fn sbom(flag: &str, attrs: Vec<(String, String)>) -> Result<Sbom> {
    let mut generator = None;
    for (key, value) in attrs {
        if key != "generator" {
            return Err(unknown(flag, &key, std::iter::once("generator")));
        }
        generator = Some(Reference::parse(&value)?);
    }
    Ok(Sbom { generator })
}

fn unknown<'a>(flag: &str, key: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.collect();
    let error = Error::usage(format!("`{key}` is not an attribute of `{flag}`"));
    match nearest(key, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("attributes are: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(provenance: Option<&str>, sbom: Option<&str>, attest: &[&str]) -> Result<Attestations> {
        Asked::parse(provenance, sbom, attest).map(Attestations::from)
    }

    fn option_of(provenance: &str) -> Option<String> {
        parse(Some(provenance), None, &[]).unwrap().provenance.map(|provenance| provenance.option().unwrap())
    }

    #[test]
    fn nothing_is_attested_unless_somebody_asks() {
        assert!(parse(None, None, &[]).unwrap().is_none());
        for off in ["false", "0", "mode=max,disabled=true"] {
            assert!(parse(Some(off), Some("false"), &[]).unwrap().is_none(), "{off}");
        }
        assert!(parse(None, None, &["type=sbom,disabled=1", "type=provenance,disabled=true"]).unwrap().is_none());
    }

    #[test]
    fn provenance_is_read_as_buildx_reads_it_and_without_a_mode_it_is_the_small_one() {
        for (text, option) in [
            ("true", "mode=min"),
            ("min", "mode=min"),
            ("max", "mode=max"),
            ("mode=max", "mode=max"),
            (
                "mode=max,builder-id=https://ci.example/1,version=v0.2",
                "mode=max,builder-id=https://ci.example/1,version=v0.2",
            ),
            ("\"builder-id=a,b\"", "mode=min,\"builder-id=a,b\""),
        ] {
            assert_eq!(option_of(text).as_deref(), Some(option), "{text}");
        }
        let long = parse(None, None, &["type=provenance,mode=max"]).unwrap();
        assert_eq!(long, parse(Some("max"), None, &[]).unwrap());
    }

    #[test]
    fn an_sbom_names_where_its_generator_comes_from() {
        let by_default = parse(None, Some("true"), &[]).unwrap().sbom.unwrap();
        assert_eq!(
            (by_default.option().unwrap().as_str(), by_default.image()),
            ("", DEFAULT_SBOM_GENERATOR.to_owned())
        );
        let named = parse(None, Some("generator=r.example/scan:1"), &[]).unwrap();
        assert_eq!(named.sbom.as_ref().unwrap().option().unwrap(), "generator=r.example/scan:1");
        assert_eq!(named.generator(&[]).as_deref(), Some("r.example/scan:1"));
    }

    #[test]
    fn build_arguments_that_ask_for_attestations_are_seen() {
        let arg = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
        let (none, sbom) = (Attestations::default(), parse(None, Some("true"), &[]).unwrap());
        let args = [arg("BUILDKIT_ATTEST_sbom", "generator=s.example/x")];
        assert_eq!(none.generator(&args).as_deref(), Some("s.example/x"));
        assert_eq!(none.generator(&[arg("BUILDKIT_ATTEST_SBOM", "")]).as_deref(), Some(DEFAULT_SBOM_GENERATOR));
        assert_eq!(none.generator(&[arg("SBOM", "x")]), None);
        assert!(none.check_build_args(&args).is_ok());
        assert!(none.any(&args) && sbom.any(&[]) && !none.any(&[arg("SBOM", "x")]));
        assert!(sbom.check_build_args(&args).unwrap_err().message().contains("BUILDKIT_ATTEST_sbom"));
        assert!(sbom.check_build_args(&[arg("BUILDKIT_ATTEST_PROVENANCE", "")]).is_ok());
    }

    #[test]
    fn the_generator_of_a_build_argument_is_the_one_buildkit_takes() {
        let arg = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
        let none = Attestations::default();
        for (value, generator) in [
            ("x,generator=e.example/x", "e.example/x"),
            ("generator=a,generator=e.example/x", "e.example/x"),
            ("generator=e.example/x,Generator=a", "e.example/x"),
            ("\"generator=e.example/x\"", "e.example/x"),
            ("generator", ""),
            ("true", DEFAULT_SBOM_GENERATOR),
        ] {
            let args = [arg("BUILDKIT_ATTEST_SBOM", value)];
            assert_eq!(none.generator(&args).as_deref(), Some(generator), "{value}");
            assert!(none.check_build_args(&args).is_ok(), "{value}");
        }
        for bad in ["x\",generator=e.example/x", "\"generator=e.example/x", "generator=a\n", "\"a\"b"] {
            let error = none.check_build_args(&[arg("BUILDKIT_ATTEST_SBOM", bad)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{bad:?}");
        }
        let twice = [arg("BUILDKIT_ATTEST_SBOM", "generator=e.example/x"), arg("BUILDKIT_ATTEST_sbom", "")];
        assert!(none.check_build_args(&twice).unwrap_err().message().contains("same attestation"));
    }

    #[test]
    fn what_buildkit_would_ignore_or_refuse_is_refused_here() {
        for (provenance, sbom, attest, word) in [
            (Some("mod=max"), None, &[][..], "did you mean `mode`"),
            (Some("maximal"), None, &[], "key=value"),
            (Some("mode=full"), None, &[], "`min` and `max`"),
            (Some("version=v2"), None, &[], "`version`"),
            (Some("reproducible=perhaps"), None, &[], "`reproducible`"),
            (Some("mode=min,mode=max"), None, &[], "stands twice"),
            (None, Some("image=x"), &[], "attributes are: generator"),
            (None, Some("generator=A B"), &[], "A B"),
            (None, None, &["mode=max"], "no `type=`"),
            (None, None, &["type=vex"], "`vex`"),
            (None, None, &["type=sbom,disabled=perhaps"], "neither"),
            (Some("max"), None, &["type=provenance,mode=min"], "the same attestation"),
            (None, Some("false"), &["type=sbom"], "the same attestation"),
        ] {
            let error = parse(provenance, sbom, attest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            let said = format!("{error} {}", error.hints().join(" "));
            assert!(said.contains(word), "`{word}` in {said}");
        }
    }
}
