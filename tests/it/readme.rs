//! What README promises is what the program does.

use std::path::Path;

use lian_build::env_vars;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn every_variable_that_is_read_is_described() {
    let readme = readme();
    let table = readme.split("### Environment").nth(1).unwrap().split("\n## ").next().unwrap();
    for variable in env_vars::ALL {
        assert!(table.contains(&format!("`{}`", variable.name)), "`{}` is not in README's table", variable.name);
    }
    assert!(table.contains(&format!("`{}<ID>`", env_vars::SECRET_PREFIX)));
}

#[test]
fn every_variable_that_is_described_is_read() {
    let readme = readme();
    let table = readme.split("### Environment").nth(1).unwrap().split("\n## ").next().unwrap();
    let named = table.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        let cell = line.split('|').nth(1).unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    for name in named {
        let known = env_vars::ALL.iter().any(|variable| variable.name == name);
        assert!(known || name.starts_with(env_vars::SECRET_PREFIX), "`{name}` is described, but nothing reads it");
    }
}
