//! Events to a real NATS server and to a file, and what happens when those are absent, slow, refusing or dying.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lian_build::clock::SystemClock;
use lian_build::events::{CloudEvent, Event, EventPublisher, EventsConfig, NatsConfig, SubjectPrefix};
use lian_build::ids::{RunId, Workspace};
use lian_build::report::Envelope;
use lian_build::report::envelope::Status;
use tempfile::TempDir;

use crate::support::nats_server::{HANGS, NatsServer, id};

/// One run as `lian-build build` makes it, as far as events go.
struct Run {
    publisher: EventPublisher,
    envelope: Envelope,
}

impl Run {
    fn start(state: &Path, nats: Option<NatsConfig>, file: Option<PathBuf>) -> Self {
        let workspace: Workspace = "demo".parse().unwrap();
        let envelope = Envelope::new("build", RunId::new(), Some(workspace.clone()));
        let config = EventsConfig { workspace, prefix: SubjectPrefix::default(), nats, file, state: state.to_owned() };
        Self { publisher: EventPublisher::start(config, Arc::new(SystemClock)), envelope }
    }

    fn publish(&self, event: Event) {
        self.publisher.publish(event, &self.envelope);
    }

    fn id(&self, event: &str) -> String {
        format!("{}.{event}", self.envelope.run_id)
    }

    async fn finish(self) -> Vec<String> {
        tokio::time::timeout(HANGS, self.publisher.finish()).await.expect("the end of a run must not wait for NATS")
    }

    /// A run from its start to its end; gives its warnings and the ids of its events.
    async fn whole(state: &Path, nats: NatsConfig) -> (Vec<String>, [String; 2]) {
        let run = Self::start(state, Some(nats), None);
        run.publish(Event::Started);
        run.publish(Event::Completed);
        let ids = [run.id("started"), run.id("completed")];
        (run.finish().await, ids)
    }
}

fn nats(address: &str, seed: &str) -> NatsConfig {
    NatsConfig::new(address, Some(seed.to_owned().into())).unwrap()
}

fn state() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// How many messages wait in the spool.
fn waiting(state: &TempDir) -> usize {
    let Ok(entries) = fs::read_dir(state.path().join("spool")) else { return 0 };
    entries.filter(|entry| entry.as_ref().unwrap().file_name() != "lock").count()
}

#[tokio::test]
async fn a_login_that_may_only_publish_sends_every_event_in_order() {
    let (server, state) = (NatsServer::start().await, state());
    let mut watcher = server.watch().await;
    let mut run = Run::start(state.path(), Some(nats(&server.address(), &server.seed())), None);
    run.publish(Event::Started);
    run.publish(Event::Retrying { attempt: 1 });
    run.envelope.succeed(Status::Succeeded);
    run.publish(Event::Completed);
    for (word, discriminator) in [("started", "started"), ("retrying", "retrying.1"), ("completed", "completed")] {
        let message = watcher.next().await;
        assert_eq!(message.subject.as_str(), format!("lian-build.demo.build.{word}"));
        assert_eq!(id(&message), run.id(discriminator));
        let event: CloudEvent = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(event.kind, format!("dev.lian-build.build.{word}.v1"));
        assert_eq!((event.id, event.source.as_str()), (run.id(discriminator), "/lian-build/demo"));
        assert_eq!(event.data.run_id, run.envelope.run_id);
        assert_eq!(event.data.status, (word == "completed").then_some(Status::Succeeded));
    }
    assert_eq!(run.finish().await, Vec::<String>::new());
    assert_eq!((watcher.ids_so_far().await, waiting(&state)), (vec![], 0), "each event comes once");
}

#[tokio::test]
async fn a_login_in_the_address_is_used() {
    let (server, state) = (NatsServer::start().await, state());
    let mut watcher = server.watch().await;
    let (warnings, ids) = Run::whole(state.path(), NatsConfig::new(&server.watcher_address(), None).unwrap()).await;
    assert_eq!((warnings, watcher.ids_so_far().await), (vec![], ids.to_vec()));
}

#[tokio::test]
async fn a_subject_that_the_login_may_not_use_is_a_warning() {
    let (server, state) = (NatsServer::start().await, state());
    let (warnings, _) = Run::whole(state.path(), nats(&server.address(), &server.outsider_seed())).await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("lian-build.demo.build.started"), "{warnings:?}");
    assert_eq!(waiting(&state), 0, "it would be refused again");
}

#[tokio::test]
async fn a_wrong_seed_is_a_warning_and_the_events_wait_for_the_right_one() {
    let (server, state) = (NatsServer::start().await, state());
    let wrong = nkeys::KeyPair::new_user().seed().unwrap();
    let address = format!("nats://someone@127.0.0.1:{}", server.address().rsplit(':').next().unwrap());
    let (warnings, first) = Run::whole(state.path(), nats(&address, &wrong)).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(&server.address()) && warnings[0].contains("refused"), "{warnings:?}");
    assert!(!warnings[0].contains("someone") && !warnings[0].contains(&wrong), "{warnings:?}");
    assert_eq!(waiting(&state), 2);

    let mut watcher = server.watch().await;
    let (warnings, second) = Run::whole(state.path(), nats(&server.address(), &server.seed())).await;
    assert_eq!((warnings, waiting(&state)), (vec![], 0));
    assert_eq!(watcher.ids_so_far().await, [first, second].concat(), "what waited comes first");
}

#[tokio::test]
async fn what_is_no_seed_is_a_warning() {
    let (server, state) = (NatsServer::start().await, state());
    let (warnings, _) = Run::whole(state.path(), nats(&server.address(), "SUNOTASEED")).await;
    assert!(warnings[0].contains("seed is not valid") && !warnings[0].contains("SUNOTASEED"), "{warnings:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_does_not_hold_up_the_end() {
    let state = state();
    // Takes connections in its backlog, and never says a word.
    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("nats://{}", black_hole.local_addr().unwrap());
    let (warnings, _) = Run::whole(state.path(), nats(&address, &nkeys::KeyPair::new_user().seed().unwrap())).await;
    assert!(warnings[0].contains(&address) && warnings[0].contains("no answer"), "{warnings:?}");
    assert_eq!(waiting(&state), 2);
}

#[tokio::test]
async fn a_closed_port_does_not_hold_up_the_end() {
    let state = state();
    let address = format!("nats://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let (warnings, _) = Run::whole(state.path(), NatsConfig::new(&address, None).unwrap()).await;
    assert!(warnings[0].contains(&address) && warnings[0].contains("next run"), "{warnings:?}");
    assert_eq!(waiting(&state), 2);
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_gets_the_rest_from_the_next_run() {
    let (mut server, state) = (NatsServer::start().await, state());
    let mut watcher = server.watch().await;
    let run = Run::start(state.path(), Some(nats(&server.address(), &server.seed())), None);
    run.publish(Event::Started);
    assert_eq!(id(&watcher.next().await), run.id("started"));
    server.kill().await;
    run.publish(Event::Failed);
    let failed = run.id("failed");
    let warnings = run.finish().await;
    assert!(warnings[0].contains(&server.address()), "{warnings:?}");
    assert!(waiting(&state) >= 1);

    server.restart().await;
    let mut watcher = server.watch().await;
    let (warnings, ids) = Run::whole(state.path(), nats(&server.address(), &server.seed())).await;
    assert_eq!((warnings, waiting(&state)), (vec![], 0));
    let seen = watcher.ids_so_far().await;
    assert!(seen.ends_with(&[vec![failed], ids.to_vec()].concat()), "{seen:?}");
}

#[tokio::test]
async fn a_server_that_freezes_in_the_middle_does_not_hold_up_the_end() {
    let (server, state) = (NatsServer::start().await, state());
    let mut watcher = server.watch().await;
    let run = Run::start(state.path(), Some(nats(&server.address(), &server.seed())), None);
    run.publish(Event::Started);
    assert_eq!(id(&watcher.next().await), run.id("started"));
    server.freeze().await;
    run.publish(Event::Failed);
    let warnings = run.finish().await;
    assert!(warnings[0].contains(&server.address()), "the kernel taking the bytes is no delivery: {warnings:?}");
    assert!(waiting(&state) >= 1);
}

#[tokio::test]
async fn a_server_that_comes_late_gets_everything() {
    let (mut server, state) = (NatsServer::start().await, state());
    server.kill().await;
    let run = Run::start(state.path(), Some(nats(&server.address(), &server.seed())), None);
    run.publish(Event::Started);
    server.restart().await;
    // The watcher may come too late for a message that is sent at once; so it is asked for what follows.
    let mut watcher = server.watch().await;
    run.publish(Event::Completed);
    let completed = run.id("completed");
    while id(&watcher.next().await) != completed {}
    assert_eq!((run.finish().await, waiting(&state)), (vec![], 0));
}

#[tokio::test]
async fn two_runs_at_once_do_not_send_what_waits_twice() {
    let (mut server, state) = (NatsServer::start().await, state());
    server.kill().await;
    let mut expected = Vec::new();
    for _ in 0..20 {
        let (_, ids) = Run::whole(state.path(), nats(&server.address(), &server.seed())).await;
        expected.extend(ids);
    }
    assert_eq!(waiting(&state), expected.len());
    server.restart().await;
    let mut watcher = server.watch().await;
    let run = || Run::whole(state.path(), nats(&server.address(), &server.seed()));
    let results = tokio::join!(run(), run(), run());
    for (warnings, ids) in [results.0, results.1, results.2] {
        assert_eq!(warnings, Vec::<String>::new());
        expected.extend(ids);
    }
    let mut seen = watcher.ids_so_far().await;
    assert_eq!(seen.len(), expected.len());
    seen.sort();
    expected.sort();
    assert_eq!((seen, waiting(&state)), (expected, 0));
}

#[tokio::test]
async fn a_run_without_events_sends_nothing_and_says_nothing() {
    let state = state();
    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("nats://{}", black_hole.local_addr().unwrap());
    let run = Run::start(state.path(), Some(NatsConfig::new(&address, None).unwrap()), None);
    assert_eq!((run.finish().await, waiting(&state)), (vec![], 0));
}

#[tokio::test]
async fn the_events_file_gets_a_line_for_each_event() {
    let state = state();
    let file = state.path().join("events.jsonl");
    let mut expected = Vec::new();
    for _ in 0..2 {
        let run = Run::start(state.path(), None, Some(file.clone()));
        run.publish(Event::Started);
        run.publish(Event::UpToDate);
        expected.extend([run.id("started"), run.id("up_to_date")]);
        assert_eq!(run.finish().await, Vec::<String>::new());
    }
    let text = fs::read_to_string(&file).unwrap();
    let ids: Vec<_> = text.lines().map(|line| serde_json::from_str::<CloudEvent>(line).unwrap().id).collect();
    assert_eq!(ids, expected);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_events_file_that_cannot_be_written_is_a_warning() {
    let state = state();
    let missing = state.path().join("missing/events.jsonl");
    let pipe = state.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for file in [missing, pipe] {
        let run = Run::start(state.path(), None, Some(file.clone()));
        run.publish(Event::Started);
        let warnings = run.finish().await;
        assert!(warnings[0].contains(&file.display().to_string()), "{warnings:?}");
    }
}
