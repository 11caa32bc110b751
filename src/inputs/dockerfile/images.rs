//! [`image_hosts`]: where the images come from that a Dockerfile names.

use std::collections::BTreeSet;

use super::expand::Variables;
use super::instructions::{Instruction, instructions};
use super::{is_builtin_frontend, syntax};
use crate::inputs::build_arg::KeyValue;
use crate::registry::Reference;
use crate::solve::csv;

/// The build argument that names a frontend and goes before the Dockerfile's own `# syntax=` line.
pub const SYNTAX_ARG: &str = "BUILDKIT_SYNTAX";

/// The registries that a Dockerfile's images come from, as far as its text says: its frontend, `FROM`, `COPY --from=` and
/// `RUN --mount=…,from=`, with variables filled in from `ARG` lines and `build_args`.
pub fn image_hosts(dockerfile: &[u8], build_args: &[KeyValue]) -> Vec<String> {
    let text = String::from_utf8_lossy(dockerfile);
    let mut variables = Variables::new(build_args);
    let mut stages: Vec<String> = Vec::new();
    let mut hosts = BTreeSet::new();
    let given = build_args.iter().rev().find(|arg| arg.key == SYNTAX_ARG).map(|arg| arg.value.clone());
    hosts.extend(given.or_else(|| syntax(dockerfile)).filter(|image| !is_builtin_frontend(image)).and_then(host));
    let mut is_global = true;
    for instruction in instructions(&text) {
        let mut images = Vec::new();
        match instruction.name.as_str() {
            "ARG" if is_global => instruction.words.iter().for_each(|word| variables.declare(word)),
            "FROM" => {
                is_global = false;
                images.extend(instruction.arguments().next().map(str::to_owned));
            }
            "COPY" => {
                images.extend(instruction.flags().filter_map(|flag| flag.strip_prefix("--from=")).map(str::to_owned))
            }
            "RUN" => images.extend(instruction.flags().filter_map(mounted_from)),
            _ => {}
        }
        let named = images.iter().filter_map(|image| variables.expand(image));
        hosts.extend(named.filter(|image| !is_stage(image, &stages)).filter_map(host));
        stages.extend(stage_name(&instruction));
    }
    hosts.into_iter().collect()
}

/// `NAME` of `FROM image AS NAME`.
fn stage_name(instruction: &Instruction) -> Option<String> {
    let mut words = instruction.arguments().skip(1);
    let is_named = instruction.name == "FROM" && words.next()?.eq_ignore_ascii_case("as");
    words.next().filter(|_| is_named).map(str::to_owned)
}

/// The image of `--mount=type=…,from=IMAGE`.
fn mounted_from(flag: &str) -> Option<String> {
    let pairs = csv::decode_pairs(flag.strip_prefix("--mount=")?).ok()?;
    pairs.into_iter().find(|(key, _)| key == "from").map(|(_, image)| image)
}

/// True for what is no image: an earlier stage by name or number, or nothing at all.
fn is_stage(image: &str, stages: &[String]) -> bool {
    image == "scratch" || image.parse::<usize>().is_ok() || stages.iter().any(|stage| stage.eq_ignore_ascii_case(image))
}

fn host(image: String) -> Option<String> {
    let image = image.split_whitespace().next()?;
    Reference::parse(image).ok().map(|reference| reference.host().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let text = b"FROM \\\n  a.example/x AS one\nRUN --network=none --mount=type=bind,from=b.example/x,target=/b \\\n  true\n\
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
            RUN echo --mount=from=c.example/x\nONBUILD COPY --from=d.example/x / /\nARG R=e.example\nRUN $R\n";
        assert_eq!(image_hosts(text, &[]), [""; 0]);
    }

    #[test]
    fn the_frontend_is_an_image_too_unless_it_is_built_in() {
        assert_eq!(image_hosts(b"# syntax=f.example/front:1\nFROM scratch\n", &[]), ["f.example"]);
        assert_eq!(image_hosts(b"# syntax=docker/dockerfile:1\nFROM scratch\n", &[]), [""; 0]);
        let given = [arg(SYNTAX_ARG, "g.example/front x=y")];
        assert_eq!(image_hosts(b"# syntax=f.example/front:1\nFROM scratch\n", &given), ["g.example"]);
    }
}
