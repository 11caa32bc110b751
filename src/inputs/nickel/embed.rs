//! The Nickel files that are part of the program, importable as `lian/schemas/…` and `lian/defaults/…`.

/// The directory that the embedded files seem to be in. It never exists on a disk: the files are answered from memory.
pub(super) const ROOT: &str = "/__lian__";

/// Where the documents of our own are that put the contracts on the users' documents. Messages do not show them.
pub(super) const WRAPPERS: &str = "/__lian__/main";

/// Absolute (virtual) path and text of every embedded file.
pub(super) const FILES: &[(&str, &str)] = &[
    ("/__lian__/lian/schemas/build_spec.ncl", include_str!("../../../schemas/build_spec.ncl")),
    ("/__lian__/lian/schemas/tiers.ncl", include_str!("../../../schemas/tiers.ncl")),
    ("/__lian__/lian/schemas/languages.ncl", include_str!("../../../schemas/languages.ncl")),
    ("/__lian__/lian/defaults/tiers.ncl", include_str!("../../../defaults/tiers.ncl")),
    ("/__lian__/lian/defaults/languages.ncl", include_str!("../../../defaults/languages.ncl")),
];
