//! The shortest equal path, by text alone: what Go's `filepath.Clean` does on Unix.

/// Removes doubled slashes, `.` parts, trailing slashes, and `..` together with the part before it. `""` becomes `.`.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                // Nothing is above the root; above a relative path there is something.
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_text() {
        for (path, cleaned) in [
            ("", "."),
            (".", "."),
            ("./a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("../../a/../b", "../../b"),
            ("/../a/..", "/"),
            ("//x", "/x"),
            ("!./a", "!./a"),
            ("a/b/../..", "."),
            ("...", "..."),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
