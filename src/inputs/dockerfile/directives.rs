//! Parser directives: the comments of the form `# key=value` before anything else in a Dockerfile.

/// The image of the `# syntax=` line, found wherever BuildKit finds it: behind `#` or `//`, or in a file that is a JSON
/// object as its field `syntax`.
pub fn syntax(dockerfile: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(dockerfile);
    let in_json = || {
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        serde_json::from_str::<serde_json::Value>(text).ok()?.get("syntax")?.as_str().map(str::to_owned)
    };
    let value = directive(&text, "#", "syntax")
        .or_else(|| directive(&text, "//", "syntax"))
        .map(str::to_owned)
        .or_else(in_json)?;
    value.split_whitespace().next().map(str::to_owned)
}

/// The character that continues a line: a backslash, unless the directive `escape` says a backtick.
pub(super) fn escape(text: &str) -> char {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for line in text.lines() {
        let Some((key, value)) = line.trim().strip_prefix('#').and_then(|line| line.split_once('=')) else { break };
        match key.trim().to_ascii_lowercase().as_str() {
            "escape" => return if value.trim() == "`" { '`' } else { '\\' },
            "syntax" | "check" => {}
            // Any other key is a comment, which ends the directives.
            _ => break,
        }
    }
    '\\'
}

/// The value of a directive. The first line may be a shebang; the first other line that is no directive ends them.
fn directive<'t>(text: &'t str, comment: &str, wanted: &str) -> Option<&'t str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = usize::from(text.starts_with("#!"));
    for line in text.lines().skip(skipped) {
        let (key, value) = line.trim().strip_prefix(comment)?.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || !key.chars().all(|character| character.is_ascii_alphanumeric()) {
            return None;
        }
        if key.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
    }
    None
}

/// What BuildKit calls the frontend that it carries itself.
pub const BUILTIN_FRONTEND: &str = "dockerfile.v0";

/// True for the frontend that BuildKit carries itself, in any version but the experimental ones.
pub fn is_builtin_frontend(image: &str) -> bool {
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let Some(rest) = name.strip_prefix("docker/dockerfile") else { return image == BUILTIN_FRONTEND };
    rest.is_empty() || (rest.starts_with([':', '@']) && !rest.ends_with("-labs"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_syntax_of_files_in_other_languages_is_found_as_buildkit_finds_it() {
        assert_eq!(syntax(b"// syntax=a/b\nbuild {}\n").as_deref(), Some("a/b"));
        assert_eq!(syntax(br#"{"syntax": "a/b", "x": [1]}"#).as_deref(), Some("a/b"));
        assert_eq!(syntax(br#"["syntax", "a/b"]"#), None);
    }

    #[test]
    fn only_buildkits_own_frontend_is_built_in() {
        for own in [BUILTIN_FRONTEND, "docker/dockerfile", "docker/dockerfile:1", "docker.io/docker/dockerfile:1.7"] {
            assert!(is_builtin_frontend(own), "{own}");
        }
        for other in ["docker/dockerfile:1-labs", "docker/dockerfile-upstream:master", "evil/docker/dockerfile"] {
            assert!(!is_builtin_frontend(other), "{other}");
        }
    }
}
