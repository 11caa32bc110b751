//! The corpus: good and bad files of every kind, each with what is said of it, word for word.
//!
//! `UPDATE_CORPUS=1` writes what is said now; the difference is then read.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lian_build::check::{self, CheckedFile, Kind};
use lian_build::env_vars::Environment;
use lian_build::inputs::nickel::{Diagnostic, Evaluator, Limits};

use crate::support::environment;

/// The files of a kind, beside what is said of them.
struct Corpus {
    /// Where they are in the sources.
    sources: PathBuf,
    /// Where they are checked: in no repository, which decides what may be imported.
    copy: tempfile::TempDir,
    names: Vec<String>,
}

impl Corpus {
    fn new(kind: &str) -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(kind);
        let copy = tempfile::tempdir().unwrap();
        copy_directory(&sources, copy.path());
        let mut names: Vec<String> = fs::read_dir(&sources)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".ncl"))
            .collect();
        names.sort();
        Self { sources, copy, names }
    }

    /// Compares what is said of a file with what was said of it.
    fn compare(&self, name: &str, extension: &str, said: &str) {
        let path = self.sources.join(name).with_extension(extension);
        if environment().os("UPDATE_CORPUS").is_some() {
            fs::write(&path, said).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(said, golden, "run the test with UPDATE_CORPUS=1 to write {}", path.display());
    }
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn evaluator(cpu_seconds: u64) -> Evaluator {
    let limits = Limits { cpu_seconds, wall: Duration::from_secs(240), ..Limits::default() };
    Evaluator::of_program(env!("CARGO_BIN_EXE_lian-build")).limits(limits)
}

/// What is said of every file of a kind.
async fn checked(corpus: &Corpus, kind: Kind, names: &[String], evaluator: &Evaluator) -> Vec<CheckedFile> {
    let current = corpus.copy.path().canonicalize().unwrap();
    let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    let targets = check::named(&paths, Some(kind), &current, &Environment::default()).await;
    check::check(evaluator, &targets, None).await.unwrap()
}

fn told(diagnostic: &Diagnostic) -> String {
    let Diagnostic { file, line, column, end_line, end_column, path, rule, message, hint, excerpt } = diagnostic;
    let mut text = format!("{file}:{line}:{column}-{end_line}:{end_column} {}", rule.name());
    let _ = writeln!(text, " {}", path.as_deref().unwrap_or("(no field)"));
    let _ = writeln!(text, "message: {message}");
    let _ = writeln!(text, "hint: {}", hint.as_deref().unwrap_or("(none)"));
    for line in own_lines(excerpt) {
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// An excerpt without the places in our schemas, whose lines are not what is tested. The width of the numbers before
/// the lines comes from those too.
fn own_lines(excerpt: &str) -> impl Iterator<Item = &str> {
    let mut is_ours = false;
    excerpt.lines().map(str::trim_start).filter(move |line| {
        if let Some(place) = line.strip_prefix("┌─ ") {
            is_ours = place.starts_with("lian/");
        }
        is_ours &= !line.starts_with('=');
        !is_ours
    })
}

/// Everything that is wrong with a file, or its warnings.
async fn compare(kind: Kind) {
    let corpus = Corpus::new(kind.words());
    let (endless, others): (Vec<_>, Vec<_>) = corpus.names.iter().cloned().partition(|name| name.contains("endless"));
    // Debug builds evaluate many times slower than the program that users get.
    let mut files = checked(&corpus, kind, &others, &evaluator(200)).await;
    if !endless.is_empty() {
        files.extend(checked(&corpus, kind, &endless, &evaluator(2)).await);
    }
    assert_eq!(files.len(), corpus.names.len());
    for CheckedFile { file, diagnostics, warnings, .. } in &files {
        let is_good = file.starts_with("good_");
        assert!(is_good || file.starts_with("bad_"), "{file}");
        let mut said: Vec<String> = diagnostics.iter().map(told).collect();
        assert_eq!(said.is_empty(), is_good, "{file}: {}", said.join("\n"));
        for Diagnostic { file: place, message, hint, excerpt, .. } in diagnostics {
            let words = format!("{place} {message} {excerpt} {}", hint.as_deref().unwrap_or_default());
            let inner = ["__", corpus.copy.path().to_str().unwrap(), "let schema"];
            assert!(inner.iter().all(|inner| !words.contains(inner)), "{file}: {words}");
        }
        said.extend(warnings.iter().map(|warning| format!("warning: {warning}\n")));
        if !said.is_empty() {
            corpus.compare(file, "golden.txt", &said.join("\n"));
        }
    }
    values(&corpus, kind).await;
}

/// The values of the good files.
async fn values(corpus: &Corpus, kind: Kind) {
    let good: Vec<&String> = corpus.names.iter().filter(|name| name.starts_with("good_")).collect();
    let document = |name: &&String| {
        lian_build::inputs::nickel::Document::file(corpus.copy.path(), name.as_str(), "", kind.contract())
    };
    let evaluated = evaluator(200).evaluate(good.iter().map(document).collect()).await.unwrap();
    for (name, evaluated) in good.iter().zip(evaluated) {
        corpus.compare(name, "golden.json", &format!("{:#}\n", evaluated.value));
    }
}

#[tokio::test]
async fn specs() {
    compare(Kind::Spec).await;
}

#[tokio::test]
async fn directives() {
    compare(Kind::Directives).await;
}

#[tokio::test]
async fn policies() {
    compare(Kind::Policy).await;
}

#[tokio::test]
async fn tiers() {
    compare(Kind::Tiers).await;
}

#[tokio::test]
async fn pools() {
    compare(Kind::Serve).await;
}

#[test]
fn every_rule_is_in_the_corpus() {
    let mut said = String::new();
    let mut count = 0;
    for kind in ["spec", "directives", "policy", "serve", "tiers"] {
        let corpus = Corpus::new(kind);
        count += corpus.names.len();
        for name in corpus.names.iter().filter(|name| name.starts_with("bad_")) {
            said.push_str(&fs::read_to_string(corpus.sources.join(name).with_extension("golden.txt")).unwrap());
        }
    }
    assert!(count >= 60, "{count} files");
    for rule in lian_build::inputs::nickel::Rule::ALL {
        // A corpus of readable text has no unreadable files: those are in the tests of the loader.
        let is_elsewhere = rule.name() == "unreadable";
        assert_eq!(said.contains(&format!(" {} ", rule.name())), !is_elsewhere, "{}", rule.name());
    }
}
