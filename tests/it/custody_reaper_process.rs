//! The reaper's own process, spoken to as a build does; and a custodian whose reaper does not come or go as it should.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lian_build::clock::SystemClock;
use lian_build::custody::{Custodian, REAPER_SUBCOMMAND, Timing};
use lian_build::error::ErrorKind;
use lian_build::ids::LeaseId;
use lian_build::lease::{Holder, HolderState, Journal, LeaseRecord};
use lian_build::provider::{ProviderConfig, Released};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{LocalMachine, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lian-build");

/// A reaper that a test speaks to.
struct Reaper {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl Reaper {
    #[expect(clippy::disallowed_methods, reason = "as a build starts it")]
    fn start(machine: &LocalMachine, journal: &Journal) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = std::process::Command::new(PROGRAM)
            .arg(REAPER_SUBCOMMAND)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut reaper = Self { child, stream: BufReader::new(ours) };
        let provider = ProviderConfig::Local(machine.config.clone());
        let timing = Timing::default();
        let answer = reaper
            .ask(&json!({ "message": "guard", "provider": provider, "journal": journal.dir(), "timing": timing }));
        assert_eq!(answer["answer"], "ready");
        let holder: Holder = serde_json::from_value(answer["holder"].clone()).unwrap();
        assert_eq!((holder.pid(), holder.state()), (reaper.child.id(), HolderState::Alive));
        reaper
    }

    fn ask(&mut self, message: &Value) -> Value {
        let line = format!("{message}\n");
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.stream.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn tell(&mut self, message: &Value) {
        assert_eq!(self.ask(message), json!({ "answer": "done" }), "{message}");
    }

    /// The build ends; so does the reaper, by itself.
    fn wait(self) -> ExitStatus {
        let Self { mut child, stream } = self;
        drop(stream);
        child.wait().unwrap()
    }
}

fn in_an_hour() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

/// A lease that was asked for and left no trace but its record.
fn on_record(machine: &LocalMachine, journal: &Journal) -> LeaseRecord {
    let provider = ProviderConfig::Local(machine.config.clone()).open().unwrap();
    let record = LeaseRecord::of(&machine.request(1.0), provider.name(), provider.backend(), None);
    drop(journal.begin(record.clone()).unwrap());
    record
}

#[test]
fn a_reaper_with_nothing_to_do_ends_with_its_build() {
    let machine = LocalMachine::new();
    let journal = Journal::new(&machine.path().join("state"));
    let mut reaper = Reaper::start(&machine, &journal);
    let lease = LeaseId::new();
    reaper.tell(&json!({ "message": "hold", "lease_id": lease, "hard_deadline": in_an_hour() }));
    reaper.tell(&json!({ "message": "released", "lease_id": lease }));
    assert!(reaper.wait().success());
    assert!(!journal.dir().exists());
}

#[test]
fn what_it_does_not_understand_is_refused_and_changes_nothing() {
    let machine = LocalMachine::new();
    let journal = Journal::new(&machine.path().join("state"));
    let record = on_record(&machine, &journal);
    let mut reaper = Reaper::start(&machine, &journal);
    reaper.tell(&json!({ "message": "hold", "lease_id": record.labels.lease_id, "hard_deadline": in_an_hour() }));
    for odd in [json!({ "message": "dance" }), json!(7), json!({ "message": "released", "lease_id": "../x" })] {
        assert_eq!(reaper.ask(&odd)["answer"], "refused", "{odd}");
    }
    assert!(reaper.wait().success());
    // It was released all the same, and is off the record.
    assert!(journal.read().unwrap().0.is_empty());
    assert_eq!(std::fs::read_dir(journal.dir()).unwrap().count(), 0);
}

#[test]
fn what_is_kept_stays_on_record_until_the_reaper_is_told_to_end() {
    let machine = LocalMachine::new();
    let journal = Journal::new(&machine.path().join("state"));
    let record = on_record(&machine, &journal);
    let mut reaper = Reaper::start(&machine, &journal);
    reaper.tell(&json!({ "message": "hold", "lease_id": record.labels.lease_id, "hard_deadline": in_an_hour() }));
    reaper.tell(&json!({ "message": "keep", "lease_id": record.labels.lease_id, "until": in_an_hour() }));
    let Reaper { mut child, stream } = reaper;
    drop(stream);
    // Everybody sees that somebody sees to it.
    wait_until("the reaper holds the record", || journal.read().unwrap().0[0].held);
    assert_eq!(child.try_wait().unwrap(), None);
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(journal.read().unwrap().0.is_empty());
}

#[test]
fn what_is_kept_goes_when_its_time_is_over() {
    let machine = LocalMachine::new();
    let journal = Journal::new(&machine.path().join("state"));
    let record = on_record(&machine, &journal);
    let mut reaper = Reaper::start(&machine, &journal);
    let until = Timestamp::now() + SignedDuration::from_millis(300);
    reaper.tell(&json!({ "message": "keep", "lease_id": record.labels.lease_id, "until": until }));
    assert!(reaper.wait().success());
    assert!(Timestamp::now() >= until);
    assert!(journal.read().unwrap().0.is_empty());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "as a user might start it")]
fn started_by_hand_it_does_nothing() {
    let output = std::process::Command::new(PROGRAM).arg(REAPER_SUBCOMMAND).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"");
}

fn custodian(machine: &LocalMachine, program: &str) -> (Custodian, Journal) {
    let journal = Journal::new(&machine.path().join("state"));
    let config = ProviderConfig::Local(machine.config.clone());
    let clock = Arc::new(SystemClock);
    let custodian =
        Custodian::with_reaper_program(&config, journal.clone(), clock, Timing::default(), program.into()).unwrap();
    (custodian, journal)
}

#[tokio::test]
async fn without_a_reaper_nothing_is_leased() {
    let machine = LocalMachine::new();
    for program in ["/bin/false", "/bin/sleep", "/no/such/program"] {
        let (custodian, journal) = custodian(&machine, program);
        let error = custodian.begin(machine.request(1.0)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State);
        assert!(error.hints().iter().any(|hint| hint.contains("nothing is leased")), "{error:?}");
        assert!(!journal.dir().exists(), "{program}");
        assert_eq!(custodian.finish().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_reaper_that_died_is_replaced_before_the_next_lease() {
    let machine = LocalMachine::new();
    let (custodian, journal) = custodian(&machine, PROGRAM);
    let first = custodian.begin(machine.request(1.0)).await.unwrap();
    let reaper = |lease: &LeaseId| {
        let records = journal.read().unwrap().0;
        records.into_iter().find(|found| found.record.labels.lease_id == *lease).unwrap().record.reaper.unwrap()
    };
    let died = reaper(first.id());
    kill_process(Pid::from_raw(died.pid().cast_signed()).unwrap(), Signal::KILL).unwrap();
    wait_until("the reaper is dead", || died.state() == HolderState::Dead);
    let second = custodian.begin(machine.request(1.0)).await.unwrap();
    let replaced = reaper(second.id());
    assert_eq!((replaced == died, replaced.state()), (false, HolderState::Alive));
    for lease in [&first, &second] {
        assert_eq!(lease.release("done", &CancellationToken::new()).await.unwrap(), Released::AlreadyGone);
    }
    let notes = custodian.finish().await;
    assert!(notes.len() == 1 && notes[0].contains("had died"), "{notes:?}");
    assert_eq!(replaced.state(), HolderState::Dead);
}

#[tokio::test]
async fn a_lease_that_was_let_go_is_its_reapers() {
    let machine = LocalMachine::new();
    let (custodian, journal) = custodian(&machine, PROGRAM);
    drop(custodian.begin(machine.request(1.0)).await.unwrap());
    let reaper = journal.read().unwrap().0[0].record.reaper.clone().unwrap();
    let notes = custodian.finish().await;
    assert!(notes[0].contains(&format!("process {}", reaper.pid())) && notes[0].contains("goes on"), "{notes:?}");
    wait_until("the reaper has released it", || journal.read().unwrap().0.is_empty());
    wait_until("the reaper has ended", || reaper.state() == HolderState::Dead);
}
