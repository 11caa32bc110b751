//! The supervisor on a real runner: a command is started once, survives its connection, and is followed from any byte.

use std::cell::RefCell;
use std::time::Duration;

use lian_build::error::ErrorKind;
use lian_build::remote::{ConnectionLost, Session};
use lian_build::solve::buildkitd::{self, BuildkitConfig};
use lian_build::solve::supervisor::Supervised;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{LocalMachine, Runner};

fn supervised(runner: &Runner, script: &str) -> Supervised {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    Supervised::new(&runner.endpoint.paths, "test", argv)
}

/// Follows to the end; the exit code and what was said.
async fn follow(command: &mut Supervised, session: &Session) -> (lian_build::error::Result<i32>, String) {
    let said = RefCell::new(Vec::new());
    let ended = command.follow(session, async |chunk| said.borrow_mut().extend(chunk)).await;
    (ended, String::from_utf8(said.into_inner()).unwrap())
}

/// Follows until `text` was said, and then lets go.
async fn follow_until(command: &mut Supervised, session: &Session, text: &str) -> String {
    let said = RefCell::new(Vec::new());
    let seen = tokio::sync::Notify::new();
    let following = command.follow(session, async |chunk| {
        said.borrow_mut().extend(chunk);
        if String::from_utf8_lossy(&said.borrow()).contains(text) {
            seen.notify_one();
        }
    });
    tokio::select! {
        // Only once the chunk with the text has been counted.
        biased;
        ended = following => panic!("it ended: {ended:?}"),
        () = seen.notified() => {}
    }
    String::from_utf8(said.into_inner()).unwrap()
}

#[tokio::test]
async fn what_it_says_and_how_it_ends_is_told() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let mut command = supervised(&runner, "echo unheard; echo one >&2; printf two >&2; exit 7");
    let (ended, said) = follow(&mut command, &runner.session).await;
    assert_eq!((ended.unwrap(), said.as_str()), (7, "one\ntwo"));
    let log = std::path::Path::new(&runner.endpoint.paths.output).join("test.log");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(log).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_command_outlives_its_follower_and_another_one_goes_on() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let go = format!("{}/go", runner.endpoint.paths.run);
    let script =
        format!("echo once >>{go}.starts; echo before >&2; until [ -e {go} ]; do sleep 0.02; done; echo after >&2");
    let mut command = supervised(&runner, &script);
    assert_eq!(follow_until(&mut command, &runner.session, "before").await, "before\n");
    let endpoint = &runner.endpoint;
    let second = Session::connect(endpoint, &endpoint.session_dir.join("2")).await.unwrap();
    std::fs::write(&go, "").unwrap();
    let (ended, said) = follow(&mut command, &second).await;
    assert_eq!((ended.unwrap(), said.as_str()), (0, "after\n"));
    // Who has nothing yet gets it all, also after its end, and it is not started again.
    let (ended, said) = follow(&mut supervised(&runner, "exit 9"), &second).await;
    assert_eq!((ended.unwrap(), said.as_str()), (0, "before\nafter\n"));
    assert_eq!(std::fs::read_to_string(format!("{go}.starts")).unwrap(), "once\n");
    second.close().await.unwrap();
    runner.release(&machine).await;
}

#[tokio::test]
async fn of_several_starts_at_once_one_counts() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let starts = format!("{}/starts", runner.endpoint.paths.run);
    let mut commands: [Supervised; 8] =
        std::array::from_fn(|_| supervised(&runner, &format!("echo once >>{starts}; echo said >&2; exit 3")));
    let followed = commands.iter_mut().map(|command| follow(command, &runner.session));
    for (ended, said) in futures_util::future::join_all(followed).await {
        assert_eq!((ended.unwrap(), said.as_str()), (3, "said\n"));
    }
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "once\n");
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_follower_leaves_nothing_on_the_runner() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let mut command = supervised(&runner, "echo up >&2; exec sleep 600");
    follow_until(&mut command, &runner.session, "up").await;
    let leftovers = machine.leftovers(&runner.request.lease_id);
    let has_tail = || leftovers.find().iter().any(|line| line.contains(": tail "));
    for _ in 0..500 {
        if !has_tail() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!has_tail(), "its `tail` lives on: {:#?}", leftovers.find());
    command.stop(&runner.session).await.unwrap();
    let (ended, said) = follow(&mut command, &runner.session).await;
    assert_eq!((ended.unwrap_err().kind(), said.as_str()), (ErrorKind::Runner, ""));
    command.stop(&runner.session).await.unwrap();
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_lost_connection_is_told_as_one() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let mut command = supervised(&runner, "echo up >&2; exec sleep 600");
    let session = Session::connect(&runner.endpoint, &runner.endpoint.session_dir.join("2")).await.unwrap();
    let following = follow(&mut command, &session);
    let closing = async {
        let log = format!("{}/test.log", runner.endpoint.paths.output);
        while !std::fs::read_to_string(&log).is_ok_and(|said| said == "up\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let is_master = |dir: &std::path::PathBuf| {
            let line = String::from_utf8(std::fs::read(dir.join("cmdline")).unwrap_or_default()).unwrap();
            line.contains("/2/ssh_config") && line.contains("ControlMaster=yes")
        };
        let processes = machine.leftovers(&runner.request.lease_id).process_dirs();
        let master = processes.into_iter().find(is_master).expect("there is a master");
        let pid = master.file_name().unwrap().to_str().unwrap().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    };
    let ((ended, _), ()) = tokio::join!(following, closing);
    let error = ended.unwrap_err();
    assert!(ConnectionLost::is_cause_of(&error), "{error:?}");
    let error = session.run(&["true"], None).await.unwrap_err();
    assert!(ConnectionLost::is_cause_of(&error), "{error:?}");
    runner.release(&machine).await;
}

#[tokio::test]
async fn the_daemon_is_started_once_however_often_it_is_asked_for() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let config = BuildkitConfig::default();
    let start = || buildkitd::start(&runner.session, &runner.endpoint, &config);
    let (first, second) = tokio::join!(start(), start());
    assert_eq!(first.unwrap().address, second.unwrap().address);
    let pid_file = format!("cat {}/buildkitd.pid", runner.endpoint.paths.run);
    let pid = runner.shell(&pid_file).await;
    start().await.unwrap();
    assert_eq!(runner.shell(&pid_file).await, pid);
    runner.release(&machine).await;
}
