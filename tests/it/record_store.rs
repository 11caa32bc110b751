//! History in a real SQLite file: what is kept, several writers at once, and files that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use lian_build::error::{Error, ErrorKind};
use lian_build::ids::{Actor, RunId, Workspace};
use lian_build::record::{Advice, AttemptRecord, Metrics, SqliteStore, StateStore};
use lian_build::report::envelope::Outcome;
use rusqlite::Connection;
use tempfile::TempDir;

const PLATFORM: &str = "linux/amd64";

fn state() -> (TempDir, SqliteStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(&directory.path().join("state"));
    (directory, store)
}

fn workspace(name: &str) -> Workspace {
    name.parse().unwrap()
}

/// The `second`th attempt of a workspace.
fn attempt(name: &str, second: i64) -> AttemptRecord {
    AttemptRecord {
        run_id: RunId::new(),
        workspace: workspace(name),
        platform: PLATFORM.to_owned(),
        build_kind: "dockerfile".to_owned(),
        actor: Actor::CiAux,
        attempt: 1,
        runner_type: "cax21".to_owned(),
        cpu: 4.0,
        memory_gb: 8.0,
        outcome: Outcome::Succeeded,
        metrics: Some(Metrics { cpu_p95: 1.25, mem_p95: 0.5, mem_peak: 1.5 }),
        cost: None,
        seconds: 12.345,
        at: Timestamp::from_second(1_700_000_000 + second).unwrap(),
    }
}

async fn history(store: &SqliteStore, name: &str) -> Vec<AttemptRecord> {
    store.history(Some(&workspace(name)), 1000).await.unwrap()
}

#[tokio::test]
async fn what_is_recorded_comes_back_newest_first() {
    let (_directory, store) = state();
    let oom = AttemptRecord { metrics: None, outcome: Outcome::Oom, ..attempt("a", 1) };
    let (second, other) = (AttemptRecord { attempt: 2, run_id: oom.run_id, ..attempt("a", 2) }, attempt("b", 3));
    for record in [&second, &oom, &other] {
        store.record(record.clone()).await.unwrap();
    }
    assert_eq!(history(&store, "a").await, [second.clone(), oom]);
    assert_eq!(store.history(None, 2).await.unwrap(), [other, second.clone()]);

    let again = AttemptRecord { seconds: 1.0, ..second };
    store.record(again.clone()).await.unwrap();
    let kept = history(&store, "a").await;
    assert_eq!((kept.len(), &kept[0]), (2, &again), "the same attempt is replaced");
}

#[tokio::test]
async fn advice_is_about_one_workspace_and_platform() {
    let (_directory, store) = state();
    let record = attempt("a", 1);
    store.record(AttemptRecord { workspace: workspace("b"), run_id: RunId::new(), ..record.clone() }).await.unwrap();
    store
        .record(AttemptRecord { platform: "linux/arm64".into(), run_id: RunId::new(), ..record.clone() })
        .await
        .unwrap();
    let oom =
        AttemptRecord { outcome: Outcome::Oom, memory_gb: 4.0, run_id: RunId::new(), metrics: None, ..record.clone() };
    store.record(oom).await.unwrap();
    store.record(record).await.unwrap();
    let advice = store.advice(&workspace("a"), PLATFORM).await.unwrap();
    assert_eq!((advice.samples, advice.mem_p95, advice.cpu_p95), (1, Some(1.5), Some(1.25)));
    assert_eq!(advice.mem_more_than, Some(4.0));
}

#[tokio::test]
async fn reading_makes_no_file() {
    let (directory, store) = state();
    assert_eq!(store.advice(&workspace("a"), PLATFORM).await.unwrap(), Advice::default());
    assert_eq!(store.history(None, 10).await.unwrap(), []);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// What is in the store's directory, with the times of change.
fn listing(store: &SqliteStore) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let directory = store.path().parent().unwrap();
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(directory.to_owned());
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect()
}

#[tokio::test]
async fn reading_leaves_no_trace() {
    let (_directory, store) = state();
    store.record(attempt("a", 1)).await.unwrap();
    let before = listing(&store);
    assert_eq!(store.advice(&workspace("a"), PLATFORM).await.unwrap().samples, 1);
    assert_eq!(history(&store, "a").await.len(), 1);
    assert_eq!(listing(&store), before);
}

#[tokio::test]
async fn what_another_process_has_not_yet_put_into_the_file_is_read_too() {
    let (_directory, store) = state();
    store.record(attempt("a", 1)).await.unwrap();
    let other = Connection::open(store.path()).unwrap();
    other.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE attempts SET workspace = 'b'").unwrap();
    assert_eq!(history(&store, "b").await.len(), 1);
    drop(other);
}

#[tokio::test]
async fn nobody_else_can_read_it() {
    let (_directory, store) = state();
    store.record(attempt("a", 1)).await.unwrap();
    // With the file open, what WAL puts beside it is there too.
    let open = Connection::open(store.path()).unwrap();
    let rows: i64 = open.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
    let directory = store.path().parent().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory), 0o700);
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// Each call of the store opens its own connection, so tasks behave to each other as processes do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_builds_write_at_once() {
    let (_directory, store) = state();
    let store = Arc::new(store);
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0..25 {
                store.record(attempt("a", writer * 100 + number)).await.unwrap();
                store.advice(&workspace("a"), PLATFORM).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(history(&store, "a").await.len(), 8 * 25);
}

/// Puts `bytes` where the history is, and checks that both ways to use it fail and leave it as it is.
async fn refused(bytes: &[u8]) -> Error {
    let (_directory, store) = state();
    fs::create_dir(store.path().parent().unwrap()).unwrap();
    fs::write(store.path(), bytes).unwrap();
    let error = store.record(attempt("a", 1)).await.unwrap_err();
    assert_eq!(store.advice(&workspace("a"), PLATFORM).await.unwrap_err().kind(), ErrorKind::State);
    assert_eq!(fs::read(store.path()).unwrap(), bytes, "it is left as it is");
    assert_eq!(fs::read_dir(store.path().parent().unwrap()).unwrap().count(), 1, "and nothing is put beside it");
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.message().contains(&store.path().display().to_string()), "{error}");
    error
}

/// A database made by `sql`, as bytes.
fn database(sql: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    fs::read(path).unwrap()
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_and_left_alone() {
    let text = refused(b"this is no database, and somebody may want it back").await;
    assert!(text.message().contains("damaged"), "{text}");
    let foreign = refused(&database("CREATE TABLE music (title TEXT)")).await;
    assert!(foreign.message().contains("something else"), "{foreign}");
    let newer = refused(&database(&format!(
        "PRAGMA application_id = {}; PRAGMA user_version = 99; CREATE TABLE attempts (x)",
        i32::from_be_bytes(*b"lian")
    )))
    .await;
    assert!(newer.message().contains("version 99"), "{newer}");
}

#[tokio::test]
async fn a_damaged_history_is_refused_and_left_alone() {
    let (_directory, store) = state();
    for second in 0..200 {
        store.record(attempt("a", second)).await.unwrap();
    }
    let mut bytes = fs::read(store.path()).unwrap();
    let length = bytes.len();
    assert!(length > 3 * 4096, "{length}");
    bytes[4096..length].fill(0xa5);
    let error = refused(&bytes).await;
    assert!(error.message().contains("damaged"), "{error}");
}

#[tokio::test]
async fn a_path_that_cannot_be_used_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = SqliteStore::new(&file).record(attempt("a", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);

    let (_directory, store) = state();
    fs::create_dir_all(store.path()).unwrap();
    let error = store.record(attempt("a", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.message().contains("cannot be opened"), "{error}");
}
