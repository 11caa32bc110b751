//! Recorded builds, folded.

use proptest::prelude::*;

use super::*;
use crate::solve::rawjson::{Item, RawJson};

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/fixtures/rawjson/", $name, ".rawjson")).as_slice()
    };
}

/// Writes down what is heard.
#[derive(Default)]
struct Heard(Vec<String>);

impl BuildObserver for Heard {
    fn step_started(&mut self, step: &Step) {
        self.0.push(format!("{} started", step.name()));
    }

    fn log_line(&mut self, step: &Step, _seconds: f64, line: &str) {
        self.0.push(format!("{} ¦ {line}", step.name()));
    }

    fn warning(&mut self, _step: Option<&Step>, warning: &str) {
        self.0.push(format!("warning: {warning}"));
    }

    fn step_ended(&mut self, step: &Step) {
        self.0.push(format!("{} {:?}", step.name(), step.status()));
    }
}

fn replay(bytes: &[u8], chunk: usize) -> (BuildState, Vec<String>) {
    let (mut state, mut heard, mut parser) = (BuildState::default(), Heard::default(), RawJson::default());
    let mut take = |item: Item<'_>| match item {
        Item::Status { status, .. } => state.apply(&status, &mut heard),
        Item::Text(line) => state.client_text(line, &mut heard),
    };
    for part in bytes.chunks(chunk) {
        parser.feed(part, &mut take);
    }
    parser.finish(&mut take);
    assert_eq!((parser.unparsable_lines(), parser.overlong_lines()), (0, 0));
    (state, heard.0)
}

fn fold(bytes: &[u8]) -> BuildState {
    replay(bytes, 4096).0
}

#[test]
fn a_build_counts_its_steps_as_buildx_does() {
    let counts = fold(recorded!("success")).counts();
    assert_eq!(counts, StepCounts { total: 8, completed: 8, cached: 0 });
    let cached = fold(recorded!("cached"));
    assert_eq!(cached.counts(), StepCounts { total: 8, completed: 8, cached: 5 });
    assert!(!cached.ran_anything(), "nothing but BuildKit's own work ran");
    assert!(fold(recorded!("success")).ran_anything() && fold(recorded!("failing")).ran_anything());
}

#[test]
fn chunks_may_split_anything() {
    let whole = replay(recorded!("parallel"), usize::MAX).1;
    assert!(whole.len() > 20);
    for chunk in [1, 7, 1000] {
        assert_eq!(replay(recorded!("parallel"), chunk).1, whole, "chunks of {chunk}");
    }
}

#[test]
fn a_steps_last_lines_come_before_its_end() {
    let (_, heard) = replay(recorded!("success"), 4096);
    let name = "[stage-2 3/3] RUN printf 'one\\ntwo'";
    let said: Vec<&String> = heard.iter().filter(|line| line.starts_with(name)).collect();
    assert_eq!(
        said,
        [&format!("{name} started"), &format!("{name} ¦ one"), &format!("{name} ¦ two"), &format!("{name} Done"),]
    );
}

#[test]
fn a_progress_group_is_one_step() {
    let state = fold(recorded!("parallel"));
    let copies = state.steps().filter(|step| step.name().contains("COPY --link")).count();
    assert_eq!(copies, 3);
    assert!(state.steps().all(|step| step.status() == StepStatus::Done || step.status() == StepStatus::Cached));
}

#[test]
fn a_failing_step_is_found_with_its_lines_and_the_dockerfile() {
    let failure = fold(recorded!("failing")).failure();
    assert!(failure.step_name.unwrap().starts_with("[3/4] RUN echo compiling main.c;"));
    assert_eq!(failure.log_tail, ["compiling main.c", "main.c:3: error: expected ';'"]);
    assert_eq!(failure.exit_code, Some(2));
    assert!(failure.error.starts_with("process \"/bin/sh -c echo compiling"), "{}", failure.error);
    assert_eq!(failure.dockerfile_excerpt.first().unwrap(), "Dockerfile:4");
    assert_eq!(failure.dockerfile_excerpt.len(), 6);
    assert!(failure.dockerfile_excerpt.get(2).unwrap().contains(">>> RUN echo compiling"));
}

#[test]
fn the_step_that_was_cancelled_is_not_the_one_that_failed() {
    let failure = fold(recorded!("parallel-fail")).failure();
    assert!(failure.step_name.unwrap().starts_with("[b 1/1] RUN echo \"b gives up\""));
    assert_eq!(failure.log_tail, ["b gives up"]);
    assert_eq!(failure.exit_code, Some(7));
}

#[test]
fn the_step_whose_whole_error_is_named_is_the_one_that_failed() {
    let mut state = BuildState::default();
    for (digest, error) in
        [("a", "exit code: 1"), ("b", "process \"make\" did not complete: exit code: 1"), ("c", "exit")]
    {
        let vertex = serde_json::json!({ "vertexes": [{ "digest": digest, "name": digest, "error": error,
            "started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:01Z" }] });
        state.apply(&serde_json::from_value(vertex).unwrap(), &mut ());
    }
    state.client_text(b"error: failed to solve: process \"make\" did not complete: exit code: 1", &mut ());
    assert_eq!(state.failure().step_name.as_deref(), Some("b"));
}

#[test]
fn errors_without_a_command_are_told_too() {
    let failure = fold(recorded!("missing-copy")).failure();
    assert_eq!(failure.step_name.unwrap(), "[2/2] COPY nowhere.txt /x");
    assert!(failure.error.ends_with("\"/nowhere.txt\": not found"));
    assert_eq!(failure.exit_code, None);

    let failure = fold(recorded!("syntax")).failure();
    assert_eq!(failure.step_name, None);
    assert_eq!(failure.error, "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)");
    assert_eq!(failure.dockerfile_excerpt.len(), 5);

    let failure = fold(recorded!("heredoc")).failure();
    assert_eq!(failure.step_name.unwrap(), "[2/2] RUN <<EOS (echo first...)");
    assert_eq!(failure.exit_code, Some(3));
}

#[test]
fn a_build_that_was_ended_has_no_failing_step() {
    let failure = fold(recorded!("cancelled")).failure();
    assert_eq!((failure.step_name, failure.error.as_str()), (None, "Canceled: context canceled"));

    let state = fold(recorded!("daemon-killed"));
    assert!(state.failure().error.starts_with("failed to receive status: rpc error: code = Unavailable"));
    assert_eq!(state.failure().step_name, None);
    assert_eq!(state.running().count(), 1);
}

#[test]
fn a_cache_that_fails_is_a_warning() {
    let state = fold(recorded!("cachefail"));
    let warnings = state.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.starts_with("importing cache manifest from 127.0.0.1:9/")));
    assert!(warnings.iter().any(|warning| warning.starts_with("exporting cache to registry: ")));
    assert_eq!(state.failure(), Failure::default());
}

#[test]
fn a_cache_that_is_not_there_yet_is_no_warning() {
    let line = br#"{"vertexes":[{"digest":"sha256:1","name":"importing cache manifest from r/x","started":"2026-01-01T00:00:00Z",
        "completed":"2026-01-01T00:00:01Z","error":"failed to configure registry cache importer: r/x: not found"}]}"#;
    let mut state = BuildState::default();
    state.apply(&serde_json::from_slice(line).unwrap(), &mut ());
    assert_eq!(state.steps().filter(|step| step.status() == StepStatus::Failed).count(), 1);
    assert!(state.warnings().is_empty());
}

#[test]
fn the_frontends_warnings_are_kept_once() {
    let state = fold(recorded!("warnings"));
    let warnings = state.warnings();
    assert!(
        warnings.contains(&"StageNameCasing: Stage name 'Base' should be lowercase (line 1)".to_owned()),
        "{warnings:?}"
    );
    let mut unique = warnings.clone();
    unique.dedup();
    assert_eq!(unique, warnings);
}

#[test]
fn escapes_bars_and_binary_become_plain_lines() {
    let (_, heard) = replay(recorded!("escapes"), 4096);
    let lines: Vec<&str> = heard.iter().filter_map(|line| line.split_once(" ¦ ").map(|(_, line)| line)).collect();
    assert_eq!(
        lines.get(..8).unwrap(),
        ["red and green", "after title", "100%", "done", "unterminated", "C1", "\u{fffd}bidi", "\u{fffd}binary",]
    );
    assert!(lines.iter().any(|line| line.ends_with("x … [21808 more bytes]")), "{lines:?}");
    assert_eq!(lines.last(), Some(&"after the long line"));
    assert!(lines.iter().all(|line| line.chars().all(|character| character == '\t' || !character.is_control())));
}

#[test]
fn a_loud_step_keeps_little() {
    let mut state = BuildState::default();
    let begin = r#"{"vertexes":[{"digest":"sha256:1","name":"RUN yes","started":"2026-01-01T00:00:00Z"}]}"#;
    state.apply(&serde_json::from_str(begin).unwrap(), &mut ());
    let log = SolveStatus {
        logs: vec![crate::solve::status::VertexLog {
            vertex: "sha256:1".to_owned(),
            data: "a line of ordinary length, as compilers print them\n".repeat(1000).into_bytes(),
            timestamp: None,
        }],
        ..SolveStatus::default()
    };
    for _ in 0..50 {
        state.apply(&log, &mut ());
    }
    let step = state.running().next().unwrap();
    assert_eq!(state.log_tail(step).len(), 200);
}

#[test]
fn many_loud_steps_together_keep_little() {
    let mut state = BuildState::default();
    for number in 0..200 {
        let message = serde_json::json!({
            "vertexes": [{ "digest": format!("sha256:{number}"), "name": "RUN loud", "started": "2026-01-01T00:00:00Z" }],
        });
        state.apply(&serde_json::from_value(message).unwrap(), &mut ());
        let log = crate::solve::status::VertexLog {
            vertex: format!("sha256:{number}"),
            data: [b"x".repeat(600), b"\n".to_vec()].concat().repeat(150),
            timestamp: None,
        };
        state.apply(&SolveStatus { logs: vec![log], ..SolveStatus::default() }, &mut ());
    }
    let bytes: usize = state.steps().flat_map(|step| state.log_tail(step)).map(|line| line.len()).sum();
    assert!(bytes <= MAX_TAILS, "{bytes}");
    assert!(bytes > MAX_TAILS / 2, "{bytes}");
}

#[test]
fn steps_without_end_are_bounded_and_that_is_said() {
    let mut state = BuildState::default();
    for number in 0..MAX_STEPS + 5 {
        let vertex = Vertex { digest: format!("sha256:{number}"), ..Vertex::default() };
        state.apply(&SolveStatus { vertexes: vec![vertex], ..SolveStatus::default() }, &mut ());
    }
    let vertex = Vertex { digest: "x".repeat(MAX_ID + 1), ..Vertex::default() };
    state.apply(&SolveStatus { vertexes: vec![vertex], ..SolveStatus::default() }, &mut ());
    assert_eq!(state.steps().count(), MAX_STEPS);
    assert!(state.warnings().first().unwrap().contains(" 6 messages "), "{:?}", state.warnings());
}

#[test]
fn first_step_time_is_the_earliest_start() {
    assert_eq!(
        fold(recorded!("success")).first_step_started(),
        fold(recorded!("success")).steps().filter_map(Step::started).min()
    );
    assert_eq!(fold(b"error: no\n").first_step_started(), None);
}

/// Bytes that look like the stream: recorded lines, cut and changed, among any bytes.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let recorded: Vec<Vec<u8>> = [recorded!("parallel"), recorded!("failing"), recorded!("warnings")]
        .iter()
        .flat_map(|bytes| bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec))
        .collect();
    let line = proptest::sample::select(recorded);
    let changed = (line.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut line, at, byte)| {
        let at = at.index(line.len());
        if let Some(place) = line.get_mut(at) {
            *place = byte;
        }
        line
    });
    let piece = prop_oneof![line, changed, proptest::collection::vec(any::<u8>(), 0..40)];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in streams(), chunk in 1_usize..5000) {
        let (mut state, mut heard, mut parser) = (BuildState::default(), Heard::default(), RawJson::default());
        let (mut lines, mut longest) = (0_usize, 0_usize);
        let mut take = |item: Item<'_>| {
            lines += 1;
            match item {
                Item::Status { line, status } => {
                    longest = longest.max(line.len());
                    state.apply(&status, &mut heard);
                }
                Item::Text(line) => {
                    longest = longest.max(line.len());
                    state.client_text(line, &mut heard);
                }
            }
        };
        for part in bytes.chunks(chunk) {
            parser.feed(part, &mut take);
        }
        parser.finish(&mut take);
        let breaks = bytes.iter().filter(|byte| **byte == b'\n').count();
        let open = usize::from(bytes.last().is_some_and(|byte| *byte != b'\n'));
        prop_assert_eq!(lines, breaks + open);
        prop_assert!(longest <= bytes.len());
        let counts = state.counts();
        prop_assert!(counts.cached <= counts.completed && counts.completed <= counts.total);
        let failure = state.failure();
        for text in heard.0.iter().chain(&failure.log_tail).chain(&failure.dockerfile_excerpt).chain(state.warnings().iter()) {
            prop_assert!(text.chars().all(|character| character == '\t' || !character.is_control()), "{:?}", text);
        }
        prop_assert!(failure.error.chars().all(|character| matches!(character, '\t' | '\n') || !character.is_control()));
    }
}
