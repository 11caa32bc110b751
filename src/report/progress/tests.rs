//! The handle, the thread behind it, and the plain views, with recorded builds.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::*;
use crate::clock::SystemClock;
use crate::ids::RunId;
use crate::report::log_file::LogFile;
use crate::solve::{BuildState, StepCounts};

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/rawjson/", $name, ".rawjson")).as_slice()
    };
}

/// Keeps what is written.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("only UTF-8 is written")
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(mode: Mode, stream: impl Write + Send + 'static, log: Option<LogFile>) -> Progress {
    let output = Output { stream: Box::new(stream), screen: Box::new(|| Some((80, 24))), color: false };
    Progress::start(mode, output, log, Arc::new(SystemClock)).unwrap()
}

fn summary() -> Summary {
    Summary { success: true, headline: "over".to_owned(), failure: None }
}

async fn show(mode: Mode, bytes: &[u8]) -> (String, BuildState) {
    let kept = Kept::default();
    let progress = start(mode, kept.clone(), None);
    for chunk in bytes.chunks(1000) {
        progress.build_output(chunk.to_vec()).await;
    }
    let state = progress.end_build().await;
    progress.finish(summary()).await;
    (kept.text(), state)
}

#[tokio::test]
async fn plain_lines_name_the_step_and_how_it_ended() {
    let (text, _) = show(Mode::Plain, recorded!("failing")).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines.get(..lines.len() - 1).unwrap(),
        [
            "#1 [internal] load build definition from Dockerfile",
            "#1 transferring dockerfile: 189 B done",
            "#1 DONE 0.0s",
            "#2 [internal] load .dockerignore",
            "#2 transferring context: 2 B done",
            "#2 DONE 0.0s",
            "#3 [internal] load build context",
            "#3 transferring context: 32 B done",
            "#3 DONE 0.0s",
            "#4 [1/4] ADD root.tar /",
            "#5 [2/4] RUN echo preparing",
            "#4 CACHED",
            "#5 0.055 preparing",
            "#5 DONE 0.1s",
            "#6 [3/4] RUN echo compiling main.c;     echo \"main.c:3: error: expected ';'\" >&2;     exit 2",
            "#6 0.050 compiling main.c",
            "#6 0.051 main.c:3: error: expected ';'",
            "#6 ERROR: process \"/bin/sh -c echo compiling main.c;     echo \\\"main.c:3: error: expected ';'\\\" >&2;     \
             exit 2\" did not complete successfully: exit code: 2",
        ]
    );
    assert!(lines.last().unwrap().starts_with("over (6/7 steps, 1 cached, "), "{text}");
}

#[tokio::test]
async fn cancelled_steps_and_warnings_are_said() {
    let (text, _) = show(Mode::Plain, recorded!("parallel-fail")).await;
    assert!(text.lines().any(|line| line.ends_with(" CANCELED")), "{text}");
    let (text, _) = show(Mode::Plain, recorded!("warnings")).await;
    assert!(text.contains(" WARN: StageNameCasing: "), "{text}");
}

#[tokio::test]
async fn rawjson_hands_the_messages_on() {
    let (text, _) = show(Mode::RawJson, recorded!("failing")).await;
    assert_eq!(text, String::from_utf8_lossy(recorded!("failing")));
}

#[tokio::test]
async fn a_wait_is_said_in_words() {
    let kept = Kept::default();
    let progress = start(Mode::Plain, kept.clone(), None);
    progress.waiting("sshd to start");
    let wait = progress.wait("the registry");
    drop(wait);
    progress.finish(summary()).await;
    assert!(kept.text().starts_with("waiting for sshd to start\nwaiting for the registry\nover ("), "{}", kept.text());
}

#[tokio::test]
async fn what_is_not_understood_is_said() {
    let (text, _) = show(Mode::Plain, b"{\"vertexes\":7}\n{\n").await;
    assert!(text.starts_with("warning: 2 lines of BuildKit's progress not understood\n"), "{text}");
}

#[tokio::test]
async fn quiet_says_nothing_but_errors() {
    let kept = Kept::default();
    let progress = start(Mode::Quiet, kept.clone(), None);
    progress.stage("build");
    progress.message(Level::Warning, "careful");
    progress.build_output(recorded!("failing").to_vec()).await;
    progress.end_build().await;
    progress.finish(Summary { success: false, failure: Some("error: it broke\n".to_owned()), ..summary() }).await;
    assert_eq!(kept.text(), "error: it broke\n");
}

#[tokio::test]
async fn every_attempt_starts_afresh() {
    let kept = Kept::default();
    let progress = start(Mode::Plain, kept.clone(), None);
    let mut states = Vec::new();
    for bytes in [recorded!("failing"), recorded!("success")] {
        progress.attempt(1, "cax21");
        // An end without a line break, as a killed `buildctl` leaves it.
        progress.build_output(bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec()).await;
        states.push(progress.end_build().await);
    }
    let counts: Vec<StepCounts> = states.iter().map(BuildState::counts).collect();
    assert_eq!(
        counts,
        [StepCounts { total: 7, completed: 6, cached: 1 }, StepCounts { total: 8, completed: 8, cached: 0 }]
    );
    assert!(states.first().unwrap().failure().error.ends_with("exit code: 2"));
    progress.finish(summary()).await;
    assert_eq!(kept.text().matches("#1 [internal] load build definition from Dockerfile").count(), 2);
}

/// A stream that a test can stop, as Ctrl-S stops a terminal.
struct Stuck {
    entered: Sender<()>,
    gate: Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        // Goes on for good once the test has let go of its end.
        let _ = self.gate.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_terminal_that_stands_still_holds_back_the_build_and_nothing_else() {
    let (entered, has_entered) = channel();
    let (go, gate) = channel();
    let progress = start(Mode::Plain, Stuck { entered, gate }, None);
    progress.stage("build");
    has_entered.recv().unwrap();

    // The thread that writes now stands in a write. A queue's worth is still taken ...
    let mut chunk = recorded!("failing").to_vec();
    chunk.resize(1 << 20, b'x');
    progress.build_output(chunk.clone()).await;
    // ... and not more.
    let mut more = Box::pin(progress.build_output(chunk));
    assert!(futures_util::poll!(more.as_mut()).is_pending());
    // What is known of the build, and what a release says, does not wait; a farewell is given up.
    assert_eq!(progress.end_build().await.counts().total, 7);
    progress.stage("release");
    progress.clone().finish(summary()).await;
    assert!(futures_util::poll!(more.as_mut()).is_pending());

    drop(go);
    more.await;
}

/// A stream that is closed.
struct Closed(Arc<AtomicBool>);

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.0.swap(true, Ordering::SeqCst), "written again after it failed");
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_stderr_changes_nothing() {
    for mode in [Mode::Plain, Mode::Tty, Mode::RawJson] {
        let tried = Arc::new(AtomicBool::new(false));
        let progress = start(mode, Closed(Arc::clone(&tried)), None);
        progress.stage("build");
        progress.build_output(recorded!("success").to_vec()).await;
        assert_eq!(progress.end_build().await.counts().completed, 8);
        progress.finish(summary()).await;
        assert!(tried.load(Ordering::SeqCst), "{mode:?}");
    }
}

#[tokio::test]
async fn nothing_foreign_reaches_the_stream_as_it_came() {
    for mode in [Mode::Plain, Mode::RawJson] {
        let (text, _) = show(mode, recorded!("escapes")).await;
        let bad = text.chars().find(|character| character.is_control() && !matches!(character, '\n' | '\t'));
        assert_eq!(bad, None, "{mode:?}");
        assert!(!text.contains('\u{202e}'));
    }
}

#[tokio::test]
async fn the_log_has_the_raw_bytes() {
    let state = tempfile::tempdir().unwrap();
    let log = LogFile::create(state.path(), RunId::new()).unwrap();
    let path = log.path().to_owned();
    let progress = start(Mode::Quiet, io::sink(), Some(log));
    progress.stage("build");
    progress.message(Level::Info, "hello");
    progress.build_output(recorded!("escapes").to_vec()).await;
    progress.build_output(b"error: failed to solve: nothing\n".to_vec()).await;
    progress.end_build().await;
    progress.finish(summary()).await;

    assert_eq!(progress.log_path(), Some(path.as_path()));
    let bytes = std::fs::read(path).unwrap();
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(b"==> build\nhello\n"));
    assert!(has(b"\x1b[31mred\x1b[0m and \x1b[1;32mgreen\x1b[m\n"));
    assert!(has(b"\x00\x01\x02\xff\xfebinary\n"));
    assert!(has(&[b'x'; 30_000]));
    assert!(has(b"\nerror: failed to solve: nothing\nover\n"));
}
