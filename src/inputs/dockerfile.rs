//! Reads what matters to us out of a Dockerfile. BuildKit parses it properly.

use std::collections::HashMap;

use super::build_arg::KeyValue;
use crate::registry::Reference;

/// The image of the `# syntax=` line: a parser directive, so it stands before anything but other directives.
pub fn syntax(dockerfile: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(dockerfile);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    for line in text.lines() {
        let line = line.trim();
        // BuildKit also accepts `//` and a shebang line for Dockerfiles that are other languages' files.
        let comment = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
        if comment.starts_with('!') {
            continue;
        }
        let (key, value) = comment.split_once('=')?;
        let key = key.trim();
        if key.eq_ignore_ascii_case("syntax") {
            return value.split_whitespace().next().map(str::to_owned);
        }
        if !key.chars().all(|character| character.is_ascii_alphanumeric()) {
            return None;
        }
    }
    None
}

/// True for the frontend that BuildKit carries itself, in any version but the experimental ones.
pub fn is_builtin_frontend(image: &str) -> bool {
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let Some(rest) = name.strip_prefix("docker/dockerfile") else { return false };
    rest.is_empty() || (rest.starts_with([':', '@']) && !rest.ends_with("-labs"))
}

/// The registries that the base images of a Dockerfile come from, as far as its text says: `FROM` and `--from=` with
/// variables filled in from `ARG` lines and `build_args`. What cannot be read is left out; BuildKit will say so.
pub fn image_hosts(dockerfile: &[u8], build_args: &[KeyValue]) -> Vec<String> {
    let text = String::from_utf8_lossy(dockerfile);
    let mut variables: HashMap<&str, &str> = HashMap::new();
    let mut stages: Vec<&str> = Vec::new();
    let mut hosts = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let instruction = words.next().unwrap_or_default().to_ascii_uppercase();
        let mut image = None;
        match instruction.as_str() {
            "ARG" => {
                for word in words {
                    if let Some((name, value)) = word.split_once('=') {
                        variables.entry(name).or_insert_with(|| value.trim_matches(['"', '\'']));
                    }
                }
            }
            "FROM" => {
                let mut words = words.skip_while(|word| word.starts_with("--"));
                image = words.next();
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as"))
                    && let Some(stage) = words.next()
                {
                    stages.push(stage);
                }
            }
            "COPY" => image = words.find_map(|word| word.strip_prefix("--from=")),
            _ => {}
        }
        let Some(image) = image else { continue };
        let image = expand(image, &variables, build_args);
        let is_stage = stages.iter().any(|stage| stage.eq_ignore_ascii_case(&image));
        if !is_stage
            && image != "scratch"
            && image.parse::<usize>().is_err()
            && let Ok(reference) = Reference::parse(&image)
        {
            hosts.push(reference.host().to_owned());
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Fills in `$NAME`, `${NAME}` and `${NAME:-default}`.
fn expand(text: &str, variables: &HashMap<&str, &str>, build_args: &[KeyValue]) -> String {
    let value = |name: &str| -> Option<&str> {
        let given = build_args.iter().rev().find(|arg| arg.key == name).map(|arg| arg.value.as_str());
        given.or_else(|| variables.get(name).copied())
    };
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some((inner, tail)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
            result.push_str(value(name).unwrap_or(default));
            rest = tail;
        } else {
            let end = after
                .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            result.push_str(value(name).unwrap_or_default());
            rest = tail;
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_from_every_image_that_is_named() {
        let text = b"ARG REG=ghcr.io\nARG V=\"1\"\nFROM ${REG}/a/b:$V AS base\nFROM --platform=$BUILDPLATFORM alpine\n\
            COPY --from=base / /\nCOPY --from=quay.io/x/y:${NONE:-2} / /\nFROM scratch\nCOPY --from=0 / /\n";
        assert_eq!(image_hosts(text, &[]), ["docker.io", "ghcr.io", "quay.io"]);
        let args = [KeyValue { key: "REG".to_owned(), value: "localhost:5000".to_owned() }];
        assert_eq!(image_hosts(text, &args), ["docker.io", "localhost:5000", "quay.io"]);
        assert!(image_hosts(b"FROM $\nFROM ${\n\xff", &[]).is_empty());
    }

    #[test]
    fn the_syntax_line_is_found_among_directives_only() {
        assert_eq!(syntax(b"# syntax=docker/dockerfile:1\nFROM x").as_deref(), Some("docker/dockerfile:1"));
        assert_eq!(syntax(b"\xef\xbb\xbf# escape=`\n#Syntax = a/b:c extra\n").as_deref(), Some("a/b:c"));
        assert_eq!(syntax(b"#!/usr/bin/env x\n# syntax=a\n").as_deref(), Some("a"));
        assert_eq!(syntax(b"# a comment\n# syntax=a\nFROM x"), None);
        assert_eq!(syntax(b"FROM x\n# syntax=a\n"), None);
        assert_eq!(syntax(b"\xff\xfe\x00"), None);
    }

    #[test]
    fn only_buildkits_own_frontend_is_built_in() {
        for own in ["docker/dockerfile", "docker/dockerfile:1", "docker.io/docker/dockerfile:1.7"] {
            assert!(is_builtin_frontend(own), "{own}");
        }
        for other in ["docker/dockerfile:1-labs", "docker/dockerfile-upstream:master", "evil/docker/dockerfile"] {
            assert!(!is_builtin_frontend(other), "{other}");
        }
    }
}
