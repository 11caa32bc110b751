//! The rules that hold for the sources themselves (adr/0001).

use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut pending = vec![root];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 30, "the sources were not found");
    files
}

/// Lines of `text` that name one of `words`, outside of comments.
fn uses<'a>(text: &'a str, words: &[String]) -> Vec<&'a str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| words.iter().any(|word| line.contains(word.as_str())))
        .collect()
}

#[test]
fn no_caller_is_known_by_name() {
    // Put together here so that this file does not match itself, should it ever move below src/.
    let names = [["provisioning", "workspace"].join("_"), ["vapora", ""].join("_"), ["woodpecker", ""].join("_")];
    for (path, text) in sources() {
        for name in &names {
            assert!(!text.contains(name.as_str()), "{} names the caller `{name}`", path.display());
        }
    }
}

#[test]
fn only_run_and_cli_know_the_order() {
    let order = ["crate::run::", "crate::run;", "crate::cli"].map(str::to_owned);
    for (path, text) in sources() {
        let stage = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
        if stage.starts_with("run") || stage.starts_with("cli") {
            continue;
        }
        let found = uses(&text, &order);
        assert!(found.is_empty(), "{} uses a later stage: {found:?}", path.display());
    }
}

#[test]
fn the_plan_is_made_of_values_only() {
    let effects =
        ["tokio::", "std::fs", "std::net", "crate::process", "crate::remote", "crate::provider", "crate::clock"]
            .map(str::to_owned);
    for (path, text) in sources() {
        if path.starts_with(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan")) {
            let pure = text.split("#[cfg(test)]").next().unwrap_or_default();
            let found = uses(pure, &effects);
            assert!(found.is_empty(), "{} has a side effect: {found:?}", path.display());
        }
    }
}
