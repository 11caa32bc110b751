//! [`Images`]: the images that a Dockerfile names.

use std::collections::BTreeSet;

use super::expand::{PLATFORMS, Variables};
use super::flags::{Named, named_image};
use super::instructions::{Instruction, instructions};
use super::{is_builtin_frontend, syntax};
use crate::inputs::build_arg::KeyValue;
use crate::registry::Reference;

/// The build argument that names a frontend and goes before the Dockerfile's own `# syntax=` line.
pub const SYNTAX_ARG: &str = "BUILDKIT_SYNTAX";

/// Images that a build pulls, as far as a text says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// Those whose names can be told.
    pub known: BTreeSet<Reference>,
    /// The text of those whose names only BuildKit can tell, or nobody.
    pub unknown: Vec<String>,
}

impl Images {
    /// Adds the image of this name.
    pub fn add(&mut self, name: &str) {
        match Reference::parse(name) {
            Ok(reference) => {
                self.known.insert(reference);
            }
            Err(_) => self.unknown.push(name.to_owned()),
        }
    }

    /// The registries of the known ones.
    pub fn hosts(&self) -> BTreeSet<String> {
        self.known.iter().map(|reference| reference.host().to_owned()).collect()
    }
}

/// The images that a Dockerfile names: its frontend, `FROM`, `COPY --from=` and `RUN --mount=…,from=`, with variables filled
/// in from `ARG` lines and `build_args`. Named contexts (`contexts`, in Docker's short form) stand before images of the same
/// name. Triggers (`ONBUILD`) of its base images are not in its text. What may name an image and cannot be understood is
/// unknown.
pub fn images(dockerfile: &[u8], build_args: &[KeyValue], contexts: &[&str]) -> Images {
    let text = String::from_utf8_lossy(dockerfile);
    let mut found = Images::default();
    let given = build_args.iter().rev().find(|arg| arg.key == SYNTAX_ARG).map(|arg| arg.value.clone());
    let frontend = given.or_else(|| syntax(dockerfile)).filter(|image| !is_builtin_frontend(image));
    if let Some(image) = frontend.as_deref().and_then(|image| image.split_whitespace().next()) {
        found.add(image);
    }
    let mut names = Names {
        variables: PLATFORMS.map(|platform| Variables::new(build_args, &platform)),
        contexts,
        stages: Vec::new(),
    };
    let (instructions, escape) = instructions(&text);
    let mut copied = Vec::new();
    let mut is_global = true;
    for instruction in &instructions {
        let Some(inner) = instruction.triggered(escape) else { continue };
        if !(instruction.is_clear && inner.is_clear) {
            found.unknown.push(instruction.text());
        }
        match inner.name.as_str() {
            "ARG" if is_global => inner.words(escape).into_iter().for_each(|word| names.declare(word)),
            "FROM" => {
                is_global = false;
                if inner.flags.iter().any(|flag| flag.contains(['\\', '`'])) {
                    found.unknown.push(instruction.text());
                }
                if let Some(image) = inner.arguments().next() {
                    names.add(&mut found, image, Place::From);
                }
                names.stages.extend(stage_name(&inner));
            }
            name => {
                let place = if name == "COPY" { Place::Copy } else { Place::Mount };
                copied.extend(inner.flags.iter().map(|flag| (place, named_image(name, flag), flag.clone())));
            }
        }
    }
    // These know every stage of the file, and a trigger runs in a later one.
    for (place, named, flag) in copied {
        match named {
            Named::None => {}
            Named::Image(image) => names.add(&mut found, &image, place),
            Named::Unclear => found.unknown.push(flag),
        }
    }
    found
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    From,
    Copy,
    Mount,
}

/// What names in a Dockerfile may mean.
struct Names<'a> {
    /// On either platform.
    variables: [Variables<'a>; 2],
    contexts: &'a [&'a str],
    /// Those seen so far.
    stages: Vec<String>,
}

impl Names<'_> {
    fn declare(&mut self, word: &str) {
        self.variables.iter_mut().for_each(|variables| variables.declare(word));
    }

    /// Adds what `text` names, unless that is no image. A name that tells one repository on every platform is known.
    fn add(&self, found: &mut Images, text: &str, place: Place) {
        let [Some(one), Some(other)] = self.variables.each_ref().map(|variables| variables.expand(text)) else {
            found.unknown.push(text.to_owned());
            return;
        };
        if !(one.varies || other.varies) {
            if !self.is_other(&one.text, place) {
                found.add(&one.text);
            }
            return;
        }
        // A stage's name hides nothing but an official image of Docker Hub.
        if self.is_stage(&one.text) && self.is_stage(&other.text) {
            return;
        }
        match (Reference::parse(&one.text), Reference::parse(&other.text)) {
            (Ok(one), Ok(other)) if one.name() == other.name() => found.known.extend([one, other]),
            _ => found.unknown.push(text.to_owned()),
        }
    }

    /// True for what is no image: a stage by name, and in `COPY` by number, a named context, or nothing at all.
    fn is_other(&self, name: &str, place: Place) -> bool {
        name == "scratch"
            || (place == Place::Copy && name.parse::<usize>().is_ok())
            || self.is_stage(name)
            || self.is_context(name)
    }

    fn is_stage(&self, name: &str) -> bool {
        self.stages.iter().any(|stage| stage.eq_ignore_ascii_case(name))
    }

    /// True when a named context stands before the image. BuildKit has two names that never are one.
    fn is_context(&self, name: &str) -> bool {
        !name.eq_ignore_ascii_case("context")
            && !name.eq_ignore_ascii_case("scratch")
            && Reference::parse(name).is_ok_and(|reference| self.contexts.contains(&reference.familiar().as_str()))
    }
}

/// `NAME` of `FROM image AS NAME`.
fn stage_name(instruction: &Instruction) -> Option<String> {
    let mut words = instruction.arguments().skip(1);
    let is_named = words.next()?.eq_ignore_ascii_case("as");
    words.next().filter(|_| is_named).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_hosts(text: &[u8], build_args: &[KeyValue]) -> Vec<String> {
        images(text, build_args, &[]).hosts().into_iter().collect()
    }

    fn arg(key: &str, value: &str) -> KeyValue {
        KeyValue { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn hosts_come_from_every_image_that_is_named() {
        let text = b"ARG REG=ghcr.io\nARG V=\"1\"\nFROM ${REG}/a/b:$V AS base\nFROM --platform=$BUILDPLATFORM alpine\n\
            COPY --from=base / /\nCOPY --from=quay.io/x/y:${NONE:-2} / /\nFROM scratch\nCOPY --from=0 / /\n";
        assert_eq!(image_hosts(text, &[]), ["docker.io", "ghcr.io", "quay.io"]);
        assert_eq!(image_hosts(text, &[arg("REG", "localhost:5000")]), ["docker.io", "localhost:5000", "quay.io"]);
        assert!(image_hosts(b"FROM $\nFROM ${\n\xff", &[]).is_empty());
    }

    #[test]
    fn mounts_continued_lines_and_every_form_of_a_default_count() {
        let text = b"ARG REG\nFROM \\\n  a.example/x AS one\nRUN --network=none --mount=type=bind,from=b.example/x,target=/b \\\n  true\n\
            FROM ${NONE-c.example}/x\nFROM ${REG:+d.example/}x:$TARGETARCH\nRUN --mount=from=one,target=/x y\n";
        assert_eq!(image_hosts(text, &[arg("REG", "r")]), ["a.example", "b.example", "c.example", "d.example"]);
    }

    #[test]
    fn a_stage_named_like_its_image_does_not_hide_it() {
        assert_eq!(image_hosts(b"FROM localhost:5000/x AS localhost:5000/x\n", &[]), ["localhost:5000"]);
    }

    #[test]
    fn text_that_is_no_instruction_names_no_image() {
        let text = b"FROM scratch\nRUN <<EOF\nFROM a.example/x\nEOF\nCOPY <<-'EOF' /f\nFROM b.example/x\n\tEOF\n\
            RUN echo --mount=from=c.example/x\nARG R=e.example\nRUN $R\n";
        assert_eq!(image_hosts(text, &[]), [""; 0]);
    }

    #[test]
    fn the_frontend_is_an_image_too_unless_it_is_built_in() {
        assert_eq!(image_hosts(b"# syntax=f.example/front:1\nFROM scratch\n", &[]), ["f.example"]);
        assert_eq!(image_hosts(b"# syntax=docker/dockerfile:1\nFROM scratch\n", &[]), [""; 0]);
        let given = [arg(SYNTAX_ARG, "g.example/front x=y")];
        assert_eq!(image_hosts(b"# syntax=f.example/front:1\nFROM scratch\n", &given), ["g.example"]);
    }

    #[test]
    fn a_name_that_cannot_be_told_is_not_forgotten() {
        let text = b"ARG A\nFROM ${A%x}/y\nFROM r.example/UPPER\nFROM r.example/z:1\nCOPY --from=${B?no} / /\n";
        let found = images(text, &[], &[]);
        assert_eq!(found.unknown, ["${A%x}/y", "r.example/UPPER", "${B?no}"]);
        assert_eq!(found.known.iter().map(ToString::to_string).collect::<Vec<_>>(), ["r.example/z:1"]);
    }

    #[test]
    fn a_named_context_is_no_image() {
        let text = b"FROM base\nCOPY --from=other /x /x\nCOPY --from=debian:12 / /\n";
        let found = images(text, &[], &["base", "other"]);
        assert_eq!(found.known.iter().map(ToString::to_string).collect::<Vec<_>>(), ["docker.io/library/debian:12"]);
    }

    /// The names of the known ones, and the unknown.
    fn named(text: &str, build_args: &[KeyValue], contexts: &[&str]) -> (Vec<String>, Vec<String>) {
        let found = images(text.as_bytes(), build_args, contexts);
        (found.known.iter().map(ToString::to_string).collect(), found.unknown)
    }

    #[test]
    fn no_way_of_writing_hides_an_image() {
        const EVIL: &[&str] = &["e.example/x"];
        for (text, known) in [
            ("ARG R=good.example\nARG R=e.example\nFROM $R/x\n", EVIL),
            ("ARG TARGETARCH=e.example\nFROM $TARGETARCH/x\n", EVIL),
            ("FROM ${GIVEN:-e.example}/x\n", EVIL),
            ("RUN --mount=type=bind,from=e.example/x,target=/e,ro true\n", EVIL),
            ("RUN --mount=from=a,from=e.example/x true\n", EVIL),
            ("COPY --\"from=e.example/x\" / /\n", EVIL),
            ("ONBUILD COPY --from=e.example/x / /\n", EVIL),
            ("ONBUILD RUN --mount=from=e.example/x true\n", EVIL),
            ("RUN echo \"\\\" <<A x\"\nFROM e.example/x\n", EVIL),
            ("RUN a \\\u{a0}\nFROM e.example/x\n", EVIL),
            ("FROM scratch AS a-amd64\nFROM scratch AS a-arm64\nFROM a-${TARGETARCH}\n", &[]),
            ("FROM 123\n", &["docker.io/library/123"]),
            ("RUN --mount=from=0 true\n", &["docker.io/library/0"]),
            ("FROM x:$TARGETARCH\n", &["docker.io/library/x:amd64", "docker.io/library/x:arm64"]),
            ("FROM scratch AS a\nFROM scratch\nCOPY --from=0 / /\nCOPY --from=a / /\nCOPY --from= a /\n", &[]),
            ("FROM scratch\nONBUILD COPY --from=later / /\nFROM scratch AS later\n", &[]),
        ] {
            assert_eq!(
                named(text, &[arg("GIVEN", "good.example")], &[]),
                (known.iter().map(|&name| name.to_owned()).collect(), vec![]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_understood_is_unknown() {
        for (text, unknown) in [
            ("FROM $TARGETARCH/debian\n", "$TARGETARCH/debian"),
            ("FROM ${TARGETVARIANT:+e.example/}x\n", "${TARGETVARIANT:+e.example/}x"),
            ("ARG R=a\\b\nFROM $R/x\n", "$R/x"),
            ("FROM a\\b\n", "a\\b"),
            ("FROM --platform=a\\ b x\n", "FROM --platform=a\\ b x"),
            ("COPY --fr\\om=e.example/x / /\n", "--fr\\om=e.example/x"),
            ("RUN --mount=\"from=e true\n", "--mount=\"from=e true"),
            ("RUN --mount=x,\\\"from=e true\n", "--mount=x,\\\"from=e"),
            ("RUN <<A\nFROM x\n", "RUN <<A"),
            ("RUN ${X%y} <<A\nA\n", "RUN ${X%y} <<A"),
            ("COPY --chown=\u{e0} --from=e.example/x / /\n", "COPY --chown=\u{e0} --from=e.example/x / /"),
        ] {
            assert_eq!(named(text, &[], &[]).1, [unknown], "{text}");
        }
    }

    #[test]
    fn a_context_stands_for_images_of_its_short_name_only() {
        for (text, contexts, known) in [
            ("FROM docker.io/evil/x\n", &["evil/x"][..], &[][..]),
            ("FROM index.docker.io/library/a:latest\n", &["a"], &[]),
            ("FROM evil/x\n", &["docker.io/evil/x"], &["docker.io/evil/x"]),
            ("FROM a:2\n", &["a"], &["docker.io/library/a:2"]),
            ("FROM r.example/x:T\n", &["r.example/x:t"], &["r.example/x:T"]),
            ("FROM context\n", &["context"], &["docker.io/library/context"]),
        ] {
            assert_eq!(
                named(text, &[], contexts),
                (known.iter().map(|&name: &&str| name.to_owned()).collect(), vec![]),
                "{text}"
            );
        }
    }
}
