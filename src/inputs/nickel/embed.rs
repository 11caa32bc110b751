//! The Nickel files that are part of the program, importable as `lian/schemas/…` and `lian/defaults/…`.
//!
//! `schemas/….ncl` and `defaults/….ncl` mean them too, from any directory: a project's own file of such a name is never
//! taken by accident, but only where it is named with `./` or `../`.

use std::path::{Path, PathBuf};

use nickel_lang_core::cache::normalize_abs_path;

/// The directory that the embedded files seem to be in. It never exists on a disk: the files are answered from memory.
pub(super) const ROOT: &str = "/__lian__";

/// Where the documents of our own are that put the contracts on the users' documents. Messages do not show them.
pub(super) const WRAPPERS: &str = "/__lian__/main";

/// Absolute (virtual) path and text of every embedded file.
pub(super) const FILES: &[(&str, &str)] = &[
    ("/__lian__/lian/schemas/common.ncl", include_str!("../../../schemas/common.ncl")),
    ("/__lian__/lian/schemas/build_spec.ncl", include_str!("../../../schemas/build_spec.ncl")),
    ("/__lian__/lian/schemas/build_directives.ncl", include_str!("../../../schemas/build_directives.ncl")),
    ("/__lian__/lian/schemas/cache_policy.ncl", include_str!("../../../schemas/cache_policy.ncl")),
    ("/__lian__/lian/schemas/policy.ncl", include_str!("../../../schemas/policy.ncl")),
    ("/__lian__/lian/schemas/serve.ncl", include_str!("../../../schemas/serve.ncl")),
    ("/__lian__/lian/schemas/tiers.ncl", include_str!("../../../schemas/tiers.ncl")),
    ("/__lian__/lian/schemas/languages.ncl", include_str!("../../../schemas/languages.ncl")),
    ("/__lian__/lian/defaults/build_directives.ncl", include_str!("../../../defaults/build_directives.ncl")),
    ("/__lian__/lian/defaults/tiers.ncl", include_str!("../../../defaults/tiers.ncl")),
    ("/__lian__/lian/defaults/tiers_amd64.ncl", include_str!("../../../defaults/tiers_amd64.ncl")),
    ("/__lian__/lian/defaults/languages.ncl", include_str!("../../../defaults/languages.ncl")),
];

/// The file whose [`TOGETHER`] tells rules about several fields of a record.
pub(super) const COMMON: &str = "/__lian__/lian/schemas/common.ncl";

/// How that file defines them. A broken one is told instead of everything that is wrong in the record.
const TOGETHER: &str = "Together = std.contract.from_validator,";

/// Functions of ours that take more words than directives have, and these words: they go into the cache policy.
pub(super) const SESSION_FUNCTIONS: [&str; 2] = ["make_session_build", "make_agent_build"];
pub(super) const SESSION_WORDS: [&str; 4] = ["actor", "actor_id", "disposition", "namespaces"];

/// The text of [`COMMON`] without these rules, so that what they hide can be seen. Nothing in it is moved.
pub(super) fn without_rules_together() -> Option<String> {
    let (_, text) = FILES.iter().find(|(path, _)| *path == COMMON)?;
    let nothing = "Together = fun _ => Dyn,";
    Some(text.replace(TOGETHER, &format!("{nothing:<width$}", width = TOGETHER.len())))
}

/// The virtual path of the embedded file that an import of `path` means by its name alone; `None` when it means a file
/// of the project. There need not be such a file under `lian/`.
pub(super) fn meant_by(path: &Path) -> Option<PathBuf> {
    let root = Path::new(ROOT);
    if path.starts_with("lian") {
        return Some(normalize_abs_path(&root.join(path)));
    }
    let lian = root.join("lian");
    // Compared as relative paths: in one of these a leading `./` counts.
    let is_ours = |(embedded, _): &(&str, &str)| Path::new(embedded).strip_prefix(&lian).is_ok_and(|ours| ours == path);
    FILES.iter().any(is_ours).then(|| lian.join(path))
}

/// Name (`schemas/policy.ncl`) and text of every embedded file, for those who want them on a disk.
pub fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter_map(|(path, text)| Some((path.strip_prefix(ROOT)?.strip_prefix("/lian/")?, *text)))
}

/// The embedded files' names, as an import names them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().filter_map(|(path, _)| path.strip_prefix(ROOT)?.strip_prefix('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_about_several_fields_can_be_left_out() {
        let (_, text) = FILES.iter().find(|(path, _)| *path == COMMON).unwrap();
        let without = without_rules_together().unwrap();
        assert_eq!(without.len(), text.len());
        assert_eq!(text.matches(TOGETHER).count(), 1);
        assert!(without.contains("Together = fun _ => Dyn,") && !without.contains(TOGETHER));
    }

    #[test]
    fn the_words_of_a_session_are_those_of_the_functions() {
        let (_, text) = FILES.iter().find(|(path, _)| path.ends_with("defaults/build_directives.ncl")).unwrap();
        let words = SESSION_WORDS.map(|word| format!("\"{word}\"")).join(", ");
        assert!(text.contains(&format!("let session_words = [{words}] in")), "{words}");
        for name in SESSION_FUNCTIONS {
            assert!(text.contains(&format!("  {name}\n")), "{name}");
        }
    }

    #[test]
    fn a_name_of_ours_is_ours_unless_it_says_otherwise() {
        let ours = "/__lian__/lian/defaults/tiers.ncl";
        for (path, meant) in [
            ("lian/defaults/tiers.ncl", Some(ours)),
            ("defaults/tiers.ncl", Some(ours)),
            ("defaults//tiers.ncl", Some(ours)),
            ("lian/none.ncl", Some("/__lian__/lian/none.ncl")),
            ("lian/../../etc/passwd", Some("/etc/passwd")),
            ("./defaults/tiers.ncl", None),
            ("../defaults/tiers.ncl", None),
            ("ci/defaults/tiers.ncl", None),
            ("defaults/own.ncl", None),
            ("liana.ncl", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(meant_by(Path::new(path)), meant.map(PathBuf::from), "{path}");
        }
        assert!(names().any(|name| name == "lian/defaults/tiers.ncl"));
    }
}
