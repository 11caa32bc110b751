//! The journal: on disk before anything is asked for, readable whatever a crash left, and held by one process at a time.

use std::path::Path;
use std::process::Stdio;

use jiff::Timestamp;
use lian_build::error::ErrorKind;
use lian_build::ids::LeaseId;
use lian_build::lease::{Holder, Journal, LeaseRecord, LeaseState, RECORD_VERSION};
use lian_build::process::Cmd;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{environment, request};

/// Tells [`holder`] where the journal is.
const JOURNAL_DIR: &str = "LIAN_TEST_JOURNAL_DIR";

fn record() -> LeaseRecord {
    LeaseRecord::of(&request("test", 1.0, Timestamp::now()), "fake", "one".to_owned(), None)
}

fn file(journal: &Journal, lease: &LeaseId, extension: &str) -> std::path::PathBuf {
    journal.dir().join(lease.as_str()).with_extension(extension)
}

/// The record as anybody else reads it.
fn on_disk(journal: &Journal, lease: &LeaseId) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file(journal, lease, "json")).unwrap()).unwrap()
}

#[test]
fn every_step_is_on_disk_when_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let record = record();
    let lease = record.labels.lease_id.clone();
    let mut entry = journal.begin(record.clone()).unwrap();
    assert_eq!(on_disk(&journal, &lease), serde_json::to_value(&record).unwrap());
    assert_eq!(on_disk(&journal, &lease)["lease_id"], lease.as_str());
    entry.step(LeaseState::Created { remote_id: "42".to_owned() }).unwrap();
    assert_eq!(
        (on_disk(&journal, &lease)["state"].as_str(), entry.record().state.name()),
        (Some("created"), "created")
    );
    entry.renew(record.labels.hard_deadline).unwrap();
    entry.set_reaper(Holder::current()).unwrap();
    let seen: LeaseRecord = serde_json::from_value(on_disk(&journal, &lease)).unwrap();
    assert_eq!((seen.labels.expires_at, seen.reaper), (record.labels.hard_deadline, Holder::current()));
    // A step that does not exist changes nothing.
    entry.step(LeaseState::Released { verified_at: record.labels.created_at }).unwrap_err();
    assert_eq!(on_disk(&journal, &lease)["state"], "created");
    assert!(!file(&journal, &lease, "new").exists());
    entry.remove();
    assert_eq!(std::fs::read_dir(journal.dir()).unwrap().count(), 0);
}

/// The order of system calls is what a power cut sees: the record's bytes, its name, then the directory.
#[tokio::test]
async fn the_intent_is_flushed_with_its_name_before_begin_returns() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let status = Cmd::new("strace", ErrorKind::State)
        .args(["-f", "-y", "-e", "trace=openat,fsync,fdatasync,rename,renameat,renameat2,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "custody_journal::holder", "--nocapture"])
        .env(JOURNAL_DIR, dir.path().join("state"))
        .spawn(Stdio::null(), Stdio::null(), Stdio::inherit())
        .unwrap()
        .wait()
        .await
        .unwrap();
    assert!(status.success(), "{status}");
    let trace = std::fs::read_to_string(trace).unwrap();
    let find = |from: usize, what: &dyn Fn(&str) -> bool| -> usize {
        let found = trace.lines().skip(from).position(what);
        from + found.unwrap_or_else(|| panic!("not there after line {from}:\n{trace}"))
    };
    let written = find(0, &|line| line.contains("write(") && line.contains(".new>"));
    let flushed = find(written, &|line| line.contains("sync(") && line.contains(".new>"));
    let named = find(flushed, &|line| line.contains("rename") && line.contains(".json"));
    let kept = find(named, &|line| line.contains("fsync(") && line.contains("/leases>"));
    // Only now it is said to be there.
    find(kept, &|line| line.contains("write(1") && line.contains("holds lb-"));
}

#[tokio::test]
#[ignore = "the other process of the tests here"]
async fn holder() {
    let journal = Journal::new(&environment().path(JOURNAL_DIR).unwrap());
    let entry = journal.begin(record()).unwrap();
    println!("\nholds {}", entry.record().labels.lease_id);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[tokio::test]
async fn what_a_process_holds_nobody_takes_and_what_it_leaves_anybody_may() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let mut other = Cmd::new(std::env::current_exe().unwrap(), ErrorKind::State)
        .args(["--ignored", "--exact", "custody_journal::holder", "--nocapture"])
        .env(JOURNAL_DIR, dir.path())
        .spawn(Stdio::piped(), Stdio::piped(), Stdio::inherit())
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    let lease: LeaseId = loop {
        let line = lines.next_line().await.unwrap().expect("the holder ended");
        if let Some(lease) = line.strip_prefix("holds ") {
            break lease.parse().unwrap();
        }
    };
    let (records, unreadable) = journal.read().unwrap();
    assert!(unreadable.is_empty() && records.len() == 1 && records[0].held, "{records:?}");
    assert!(journal.adopt(&lease).await.unwrap().is_none());
    let mut again = record();
    again.labels.lease_id = lease.clone();
    let error = journal.begin(again).unwrap_err();
    assert!(error.to_string().contains("nothing is leased"), "{error}");

    other.kill().await.unwrap();
    assert!(!journal.read().unwrap().0[0].held);
    let mut entry = journal.adopt(&lease).await.unwrap().unwrap();
    assert!(journal.read().unwrap().0[0].held);
    entry.step(LeaseState::Releasing { reason: "its process is gone".to_owned(), since: Timestamp::now() }).unwrap();
    entry.step(LeaseState::Released { verified_at: Timestamp::now() }).unwrap();
    entry.remove();
    assert!(journal.adopt(&lease).await.unwrap().is_none());
    assert_eq!(journal.read().unwrap().0.len(), 0);
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn what_a_crash_or_another_version_left_is_said_and_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    assert!(journal.read().unwrap().0.is_empty());
    let whole = record();
    let lease = whole.labels.lease_id.clone();
    drop(journal.begin(whole.clone()).unwrap());
    // A write that never got its name: the record before it counts.
    write(&file(&journal, &lease, "new"), "{\"version\":1,\"lea");
    let torn = LeaseId::new();
    write(&file(&journal, &torn, "json"), "{\"version\":1,\"lea");
    let newer = LeaseRecord { version: RECORD_VERSION + 1, ..record() };
    write(&file(&journal, &newer.labels.lease_id, "json"), &serde_json::to_string(&newer).unwrap());
    std::fs::create_dir(file(&journal, &LeaseId::new(), "json")).unwrap();

    let (records, unreadable) = journal.read().unwrap();
    assert_eq!(records.iter().map(|found| &found.record.labels.lease_id).collect::<Vec<_>>(), [&lease]);
    let why = |lease: &LeaseId| &unreadable.iter().find(|(path, _)| *path == file(&journal, lease, "json")).unwrap().1;
    assert_eq!(unreadable.len(), 3);
    assert!(why(&torn).contains("EOF"), "{}", why(&torn));
    assert!(why(&newer.labels.lease_id).contains("version is 2"), "{}", why(&newer.labels.lease_id));
    for bad in [&torn, &newer.labels.lease_id] {
        assert_eq!(journal.adopt(bad).await.unwrap_err().kind(), ErrorKind::State);
        assert!(file(&journal, bad, "json").exists());
    }
    // What was left half written does not stop the next write.
    let mut entry = journal.adopt(&lease).await.unwrap().unwrap();
    entry.step(LeaseState::Created { remote_id: "42".to_owned() }).unwrap();
    assert_eq!(on_disk(&journal, &lease)["state"], "created");
}

#[test]
fn a_record_that_cannot_be_written_is_no_lease_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    std::fs::create_dir(journal.dir()).unwrap();
    let record = record();
    // The name of the new file is taken by what cannot be removed.
    let taken = file(&journal, &record.labels.lease_id, "new");
    std::fs::create_dir(&taken).unwrap();
    let error = journal.begin(record.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.to_string().contains("nothing is leased"), "{error}");
    std::fs::remove_dir(&taken).unwrap();
    assert_eq!(std::fs::read_dir(journal.dir()).unwrap().count(), 0);
    assert!(journal.read().unwrap().0.is_empty());
}

#[test]
fn what_a_process_left_before_its_record_had_a_name_goes_when_it_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let whole = record();
    let lease = whole.labels.lease_id.clone();
    let entry = journal.begin(whole).unwrap();
    let (dead, living) = (LeaseId::new(), LeaseId::new());
    for nameless in [&dead, &living] {
        write(&file(&journal, nameless, "lock"), "");
        write(&file(&journal, nameless, "new"), "");
    }
    let lock = std::fs::File::open(file(&journal, &living, "lock")).unwrap();
    lock.lock().unwrap();
    journal.tidy();
    assert!(!file(&journal, &dead, "lock").exists() && !file(&journal, &dead, "new").exists());
    assert!(file(&journal, &living, "lock").exists() && file(&journal, &living, "new").exists());
    // What has a record is not touched, whether anybody holds it or not.
    drop((lock, entry));
    journal.tidy();
    assert!(file(&journal, &lease, "json").exists() && file(&journal, &lease, "lock").exists());
    assert_eq!(std::fs::read_dir(journal.dir()).unwrap().count(), 2);
}

#[test]
fn a_sweep_that_looks_at_every_lock_keeps_no_lease_from_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    journal.tidy();
                }
            });
        }
        for _ in 0..100 {
            let begun = journal.begin(record());
            if begun.is_err() {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            begun.unwrap().remove();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    journal.tidy();
    assert_eq!(std::fs::read_dir(journal.dir()).unwrap().count(), 0);
}
