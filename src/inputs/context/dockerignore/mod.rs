//! `.dockerignore` exactly as BuildKit reads it: the rules of moby's `patternmatcher` and of `fsutil`'s filtered walk,
//! including their oddities. It is **not** `.gitignore`: patterns are rooted, and later lines override earlier ones.
//!
//! One oddity is left out on purpose: where a line is repeated behind an exception (`a`, `!a/b`, `a`) BuildKit's client
//! lists `a/b` and then sends it without its content. Here the file that is listed is sent whole.
//!
//! Answers of the real thing are recorded in `tests/fixtures/dockerignore/` and compared by a test.

mod go_glob;
mod go_path;
mod go_regex;
mod go_text;
mod ignore_file;
mod matcher;
mod pattern;

pub use ignore_file::IgnoreFile;
pub use matcher::{Matcher, Parent};
