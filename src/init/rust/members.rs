//! The packages of a workspace, as directories relative to its root.

use std::path::{Component, Path, PathBuf};

use super::manifest::Workspace;
use crate::inputs::context::Root;

/// More members than that are not looked at; nobody has them.
const MAX_MEMBERS: usize = 2_000;

/// The directories that `patterns` (`crates/*`) name and `workspace` does not exclude, sorted. Patterns that lead out of
/// the root are put into `outside`: what lies there is not part of the context.
pub(super) fn matching(
    root: &Root,
    patterns: &[String],
    workspace: &Workspace,
    outside: &mut Vec<String>,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for pattern in patterns {
        let parts: Option<Vec<&str>> = Path::new(pattern)
            .components()
            .filter(|part| *part != Component::CurDir)
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        match parts {
            Some(parts) => found.extend(below(root, &parts)),
            None => outside.push(pattern.clone()),
        }
    }
    let excluded = |directory: &PathBuf| workspace.exclude.iter().any(|path| directory.starts_with(path));
    found.retain(|directory| !excluded(directory) && root.path().join(directory).join("Cargo.toml").is_file());
    found.sort();
    found.dedup();
    found.truncate(MAX_MEMBERS);
    found
}

fn below(root: &Root, parts: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in parts {
        found = if part.contains(['*', '?']) {
            found.iter().flat_map(|directory| entries(root, directory, part)).collect()
        } else {
            found.iter().map(|directory| directory.join(part)).collect()
        };
        found.truncate(MAX_MEMBERS);
    }
    found
}

/// The directories in `directory` whose names fit the pattern.
fn entries(root: &Root, directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root.path().join(directory)) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| !name.starts_with('.') && fits(name.as_bytes(), pattern.as_bytes()))
        .map(|name| directory.join(name))
        .filter(|entry| root.path().join(entry).is_dir())
        .take(MAX_MEMBERS)
        .collect()
}

/// `*` is any text, `?` any byte. Goes back to the last `*` only, so its time is bounded.
fn fits(name: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut in_pattern) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(at) {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((position, from)) = star else { return false };
                star = Some((position, from + 1));
                (in_pattern, at) = (position + 1, from + 1);
            }
        }
    }
    pattern.iter().skip(in_pattern).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (name, pattern, expected) in [
            ("abc", "*", true),
            ("abc", "a*c", true),
            ("abbcbc", "a*bc", true),
            ("abc", "a?c", true),
            ("abc", "b*", false),
            ("abc", "*b", false),
            ("", "*", true),
            ("a", "", false),
        ] {
            assert_eq!(fits(name.as_bytes(), pattern.as_bytes()), expected, "{name} {pattern}");
        }
    }
}
