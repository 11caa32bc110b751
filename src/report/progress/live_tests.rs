//! The live view on a small terminal of our own.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use proptest::prelude::*;
use unicode_width::UnicodeWidthChar as _;

use super::event::{Event, Level, Summary};
use super::live::LiveView;
use super::view::{Now, ProgressView as _};
use super::writer::Target;
use crate::clock::{Clock as _, SystemClock};
use crate::solve::BuildState;
use crate::solve::rawjson::{Item, RawJson};

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/rawjson/", $name, ".rawjson")).as_slice()
    };
}

/// As much of a terminal as the live view uses: it wraps, scrolls, moves up and clears. Anything else is a fault.
struct Terminal {
    columns: usize,
    rows: usize,
    /// Lines that scrolled away and those on the screen.
    lines: Vec<Vec<char>>,
    top: usize,
    at: (usize, usize),
    wrapped: bool,
    stands_still: bool,
}

impl Terminal {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, lines: vec![Vec::new()], top: 0, at: (0, 0), wrapped: false, stands_still: false }
    }

    fn take(&mut self, text: &str) {
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\r' => self.at.1 = 0,
                '\n' => {
                    self.down();
                    self.at.1 = 0;
                }
                '\u{1b}' => self.sequence(&mut rest),
                character => {
                    assert!(!character.is_control(), "{character:?}");
                    let wide = character.width().unwrap_or(0);
                    if self.at.1 + wide > self.columns {
                        self.wrapped = true;
                        self.down();
                        self.at.1 = 0;
                    }
                    let line = &mut self.lines[self.at.0];
                    line.resize(line.len().max(self.at.1 + wide), ' ');
                    if wide > 0 {
                        line[self.at.1] = character;
                        // The second half of a wide character.
                        line.iter_mut().skip(self.at.1 + 1).take(wide - 1).for_each(|cell| *cell = '\0');
                    }
                    self.at.1 += wide;
                }
            }
        }
    }

    fn sequence(&mut self, rest: &mut std::str::Chars<'_>) {
        assert_eq!(rest.next(), Some('['));
        let mut parameters = String::new();
        let last = loop {
            match rest.next().expect("sequences are whole") {
                character @ ('0'..='9' | ';') => parameters.push(character),
                character => break character,
            }
        };
        match last {
            'A' => self.at.0 = self.at.0.saturating_sub(parameters.parse().unwrap()).max(self.top),
            'K' => self.lines[self.at.0].truncate(self.at.1),
            'J' => {
                self.lines.truncate(self.at.0 + 1);
                self.lines[self.at.0].truncate(self.at.1);
            }
            'm' => {}
            other => panic!("not known here: {other}"),
        }
    }

    fn down(&mut self) {
        self.at.0 += 1;
        if self.at.0 == self.lines.len() {
            self.lines.push(Vec::new());
        }
        self.top = self.top.max((self.at.0 + 1).saturating_sub(self.rows));
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| line.iter().filter(|cell| **cell != '\0').collect::<String>().trim_end().to_owned())
            .collect();
        lines.join("\n").trim_end().to_owned()
    }
}

/// A live view on a terminal; time moves when the test says so.
struct Stage {
    view: LiveView,
    terminal: Arc<Mutex<Terminal>>,
    columns: Arc<AtomicU16>,
    now: Now,
    state: BuildState,
    parser: RawJson,
}

struct Line(Arc<Mutex<Terminal>>);

impl Target for Line {
    fn send(&mut self, bytes: Vec<u8>) {
        self.0.lock().unwrap().take(std::str::from_utf8(&bytes).expect("whole characters are written"));
    }

    fn is_busy(&self) -> bool {
        self.0.lock().unwrap().stands_still
    }
}

impl Stage {
    fn new(columns: u16, rows: u16) -> Self {
        let terminal = Arc::new(Mutex::new(Terminal::new(columns.into(), rows.into())));
        let shared = Arc::new(AtomicU16::new(columns));
        let asked = Arc::clone(&shared);
        let now = Now { monotonic: SystemClock.monotonic(), wall: "2026-11-21T12:00:00Z".parse().unwrap() };
        let screen = Box::new(move || Some((asked.load(Ordering::SeqCst), rows)));
        let view = LiveView::new(Box::new(Line(Arc::clone(&terminal))), screen, true, now);
        Self { view, terminal, columns: shared, now, state: BuildState::default(), parser: RawJson::default() }
    }

    fn pass(&mut self, time: Duration) {
        let monotonic: Instant = self.now.monotonic + time;
        let wall: Timestamp = self.now.wall + time;
        self.now = Now { monotonic, wall };
        self.view.tick(&self.state, self.now);
    }

    fn event(&mut self, event: Event) {
        self.view.event(&event, self.now);
    }

    fn feed(&mut self, bytes: &[u8]) {
        let Self { view, state, parser, .. } = self;
        parser.feed(bytes, &mut |item| match item {
            Item::Status { status, .. } => state.apply(&status, view),
            Item::Text(line) => state.client_text(line, view),
        });
    }

    fn finish(&mut self, success: bool, failure: Option<&str>) {
        let headline = if success { "built" } else { "build failed" }.to_owned();
        let summary = Summary { success, headline, failure: failure.map(str::to_owned) };
        self.view.finish(&summary, self.now);
    }

    fn text(&self) -> String {
        self.terminal.lock().unwrap().text()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// The recorded bytes up to the first that contain `mark`.
fn until<'a>(bytes: &'a [u8], mark: &str) -> &'a [u8] {
    let text = std::str::from_utf8(bytes).unwrap();
    let at = text.find(mark).expect("the recording has it");
    let end = at + text.get(at..).unwrap().find('\n').unwrap() + 1;
    bytes.get(..end).unwrap()
}

#[test]
fn a_wait_says_what_for_and_how_long() {
    let mut stage = Stage::new(60, 24);
    stage.event(Event::Stage("lease".to_owned()));
    stage.event(Event::Waiting("waiting for 3 GB of the memory budget".to_owned()));
    stage.pass(SECOND * 12);
    stage.event(Event::Waiting("waiting for 3 GB of the memory budget".to_owned()));
    stage.pass(SECOND);
    assert_eq!(stage.text(), "[+] lease 13.0s\n => waiting for 3 GB of the memory budget             13.0s");
    stage.event(Event::Waiting("waiting for sshd to start".to_owned()));
    stage.pass(SECOND);
    assert_eq!(stage.text(), "[+] lease 14.0s\n => waiting for sshd to start                          1.0s");
    stage.event(Event::Ready);
    stage.pass(SECOND);
    assert_eq!(stage.text(), "[+] lease 15.0s");
}

#[test]
fn running_steps_stand_with_their_time_and_last_line() {
    let mut stage = Stage::new(60, 24);
    stage.event(Event::Attempt { number: 1, tier: "cax21".to_owned() });
    stage.event(Event::Stage("build".to_owned()));
    let part = until(recorded!("failing"), "\"logs\"");
    stage.feed(part);
    stage.pass(Duration::ZERO);
    stage.pass(SECOND * 3);
    let text = stage.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"[+] build 3.0s (4/7, 1 cached) on cax21"));
    let step = lines.get(1).unwrap();
    // The runner's clock is months behind; the time shown is that since the first step all the same.
    assert!(step.starts_with(" => [2/4] RUN echo preparing ") && step.ends_with("s"), "{step}");
    let seconds: f64 = step.rsplit(' ').next().unwrap().trim_end_matches('s').parse().unwrap();
    assert!((2.0..=3.0).contains(&seconds), "{step}");
    assert_eq!(lines.get(2..), Some(["    preparing"].as_slice()));
}

#[test]
fn the_block_folds_away_and_messages_stay() {
    let mut stage = Stage::new(80, 24);
    stage.event(Event::Stage("sync".to_owned()));
    stage.event(Event::Transfer { bytes: 1_500_000, total: Some(2_000_000), files: 1200 });
    stage.pass(SECOND);
    assert_eq!(stage.text(), "[+] sync 1.0s\n => sent 1.4 MB of 1.9 MB, 1,200 files");
    stage.event(Event::Message { level: Level::Warning, text: "isolation is none\u{1b}[2J".to_owned() });
    stage.event(Event::Stage("build".to_owned()));
    stage.feed(recorded!("success"));
    stage.pass(SECOND);
    assert_eq!(stage.text(), "warning: isolation is none\n[+] build 2.0s (8/8)");
    stage.finish(false, Some("failed: [1/2] RUN x\nerror: no\n"));
    assert_eq!(stage.text(), "warning: isolation is none\nfailed: [1/2] RUN x\nerror: no\nfailed (8/8 steps, 2.0s)");
}

#[test]
fn a_view_that_is_dropped_leaves_no_block() {
    let mut stage = Stage::new(80, 24);
    stage.event(Event::Stage("build".to_owned()));
    stage.pass(SECOND);
    let Stage { view, terminal, .. } = stage;
    drop(view);
    assert_eq!(terminal.lock().unwrap().text(), "");
}

#[test]
fn the_block_never_wraps_nor_outgrows_the_screen() {
    for columns in 1..=45 {
        for rows in [1, 2, 3, 5, 24] {
            let mut stage = Stage::new(columns, rows);
            stage.event(Event::Attempt { number: 1, tier: "cax21".to_owned() });
            stage.event(Event::Stage("build with a rather long name 漢字".to_owned()));
            stage.event(Event::Waiting("waiting for something 漢字漢字漢字漢字漢字漢字漢字".to_owned()));
            stage.event(Event::Transfer { bytes: 1, total: None, files: 1 });
            for line in recorded!("parallel").split_inclusive(|byte| *byte == b'\n') {
                stage.feed(line);
                stage.pass(SECOND);
                let terminal = stage.terminal.lock().unwrap();
                assert!(!terminal.wrapped, "{columns}x{rows}");
                assert!(terminal.lines.len() <= usize::from(rows).max(2), "{columns}x{rows}: {}", terminal.text());
            }
        }
    }
}

#[test]
fn a_terminal_that_becomes_narrower_keeps_no_rest() {
    let mut stage = Stage::new(80, 24);
    stage.event(Event::Stage("build".to_owned()));
    stage.event(Event::Waiting("waiting for a long text that needs two rows on a narrow screen".to_owned()));
    stage.pass(SECOND);
    // A terminal breaks the lines that stand on it anew.
    {
        let mut terminal = stage.terminal.lock().unwrap();
        let text = terminal.text();
        *terminal = Terminal::new(40, 24);
        for line in text.lines() {
            terminal.take(&format!("{line}\r\n"));
        }
        terminal.wrapped = false;
    }
    stage.columns.store(40, Ordering::SeqCst);
    stage.pass(SECOND);
    assert_eq!(stage.text(), "[+] build 2.0s\n => waiting for a long text that … 2.0s");
}

#[test]
fn a_terminal_that_stands_still_is_not_drawn_on() {
    let mut stage = Stage::new(80, 24);
    stage.event(Event::Stage("build".to_owned()));
    stage.pass(SECOND);
    stage.terminal.lock().unwrap().stands_still = true;
    stage.event(Event::Message { level: Level::Info, text: "kept".to_owned() });
    stage.pass(SECOND);
    assert_eq!(stage.text(), "[+] build 1.0s");
    stage.terminal.lock().unwrap().stands_still = false;
    stage.pass(SECOND);
    assert_eq!(stage.text(), "kept\n[+] build 3.0s");
}

proptest! {
    #[test]
    fn what_stays_is_there_once_and_in_order(
        columns in 2_u16..60,
        steps in proptest::collection::vec((any::<bool>(), "[ -~äé漢]{1,50}"), 1..20),
    ) {
        let mut stage = Stage::new(columns, 10);
        let mut kept = String::new();
        for (stays, text) in steps {
            if stays {
                kept.push_str(&text);
                stage.event(Event::Message { level: Level::Info, text });
            } else {
                stage.event(Event::Stage(text));
            }
            stage.pass(SECOND);
        }
        stage.finish(true, None);
        kept.push_str("built (");
        let squeezed = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
        let shown = squeezed(&stage.text());
        prop_assert!(shown.starts_with(&squeezed(&kept)), "{} / {}", shown, kept);
        prop_assert!(shown.ends_with("s)"));
    }
}
