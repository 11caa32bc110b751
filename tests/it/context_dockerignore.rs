//! `.dockerignore` against the answers recorded from BuildKit's own modules, and against a real `buildkitd`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use lian_build::inputs::context::load_named;
use serde::Deserialize;

use crate::support::{LocalMachine, Runner};

#[derive(Deserialize)]
struct Recorded {
    tree: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    ignore: String,
    #[serde(default)]
    sent: String,
    #[serde(default)]
    error: Option<String>,
}

/// Undoes the fixture's `%XX`.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes(text)))
}

fn plant(root: &Path, tree: &[String]) {
    for name in tree {
        let path = root.join(path(name));
        if name.ends_with('/') {
            std::fs::create_dir(path).unwrap();
        } else {
            std::fs::write(path, name).unwrap();
        }
    }
}

/// What is sent of the tree, or the error's message.
fn sent(root: &Path, ignore: &[u8]) -> Result<BTreeSet<Vec<u8>>, String> {
    std::fs::write(root.join(".dockerignore"), ignore).unwrap();
    let context = load_named(root).map_err(|error| error.to_string())?;
    Ok(context.entries().iter().map(|entry| entry.path.as_os_str().as_bytes().to_owned()).collect())
}

#[test]
fn every_recorded_answer_of_buildkit_is_ours_too() {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../fixtures/dockerignore/recorded.json")).expect("the fixture is JSON");
    let root = tempfile::tempdir().unwrap();
    plant(root.path(), &recorded.tree);
    let names: Vec<Vec<u8>> = recorded.tree.iter().map(|name| bytes(name.strip_suffix('/').unwrap_or(name))).collect();
    let mut wrong = Vec::new();
    for case in &recorded.cases {
        let expected: BTreeSet<Vec<u8>> = names
            .iter()
            .zip(case.sent.bytes())
            .filter(|(_, sent)| *sent == b'1')
            .map(|(name, _)| name.clone())
            .collect();
        match (sent(root.path(), &bytes(&case.ignore)), &case.error) {
            (Err(message), Some(_)) if message.contains(", line ") => {}
            (Ok(sent), None) if sent == expected => {}
            (ours, theirs) => wrong.push(format!(
                "{:?}: sent by us only {:?}, by BuildKit only {:?}, our error {:?}, its error {theirs:?}",
                case.ignore,
                ours.iter()
                    .flatten()
                    .filter(|name| !expected.contains(*name))
                    .map(|name| String::from_utf8_lossy(name))
                    .collect::<Vec<_>>(),
                expected
                    .iter()
                    .filter(|name| !ours.as_ref().is_ok_and(|ours| ours.contains(*name)))
                    .map(|name| String::from_utf8_lossy(name))
                    .collect::<Vec<_>>(),
                ours.as_ref().err(),
            )),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), recorded.cases.len(), wrong.join("\n"));
    assert!(recorded.cases.len() > 1000, "the fixture is cut short");
}

/// How many of the recorded ignore files go through a whole build: every n-th.
const EVERY: usize = 60;

/// What `COPY . /` finds of the tree at `root`.
async fn copied(runner: &Runner, root: &Path, output: &Path) -> BTreeSet<Vec<u8>> {
    let context = format!("context={}", root.display());
    let output_option = format!("type=local,dest={}", output.display());
    // The last `--local context` counts.
    let (code, said) = runner
        .build("FROM scratch\nCOPY . /\n", &["--local", &context, "--output", &output_option, "--no-cache"])
        .await;
    assert_eq!(code, 0, "{said}");
    walkdir::WalkDir::new(output)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().path().strip_prefix(output).unwrap().as_os_str().as_bytes().to_owned())
        .collect()
}

#[tokio::test]
async fn a_real_build_copies_what_we_would_send() {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../fixtures/dockerignore/recorded.json")).expect("the fixture is JSON");
    let root = tempfile::tempdir().unwrap();
    plant(root.path(), &recorded.tree);
    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 1.0).await;
    for case in recorded.cases.iter().filter(|case| case.error.is_none()).step_by(EVERY) {
        let ours = sent(root.path(), &bytes(&case.ignore)).unwrap();
        let output = tempfile::tempdir_in(machine.path()).unwrap();
        let theirs = copied(&runner, root.path(), output.path()).await;
        assert_eq!(
            ours.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>(),
            theirs.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>(),
            "{:?}",
            case.ignore
        );
    }
    runner.release(&machine).await;
}
