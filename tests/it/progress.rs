//! What is shown of a run while it goes on: the real command, on pipes, on a terminal, and on streams that misbehave.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::Sandbox;

/// Characters that must not reach a stream of ours.
fn harmful(text: &str) -> Option<char> {
    text.chars().find(|character| {
        (character.is_control() && !matches!(character, '\n' | '\t')) || matches!(character, '\u{202a}'..='\u{202e}')
    })
}

/// A step that prints colours, a title, a progress bar, bidi, binary, and a line of two megabytes.
const HOSTILE: &str = r#"RUN printf '\033[31mred\033[0m \033]0;title\007\n\r10%%\r100%%\nbidi \342\200\256\n\000\377binary\n' \
    && head -c 2000000 /dev/zero | tr '\0' x && echo && echo the-end"#;

#[test]
fn hostile_output_is_shown_safely_and_kept_raw() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(HOSTILE);
    let built = sandbox.build(["--progress=plain"]);
    built.assert_code(0);
    assert_eq!(harmful(&built.stderr), None, "{}", built.stderr);
    assert!(built.stderr.contains("red \n") && built.stderr.contains(" 100%\n") && built.stderr.contains(" the-end\n"));
    assert!(!built.stderr.contains("10%\r") && built.stderr.contains(" more bytes]\n"));
    assert!(built.stderr.lines().all(|line| line.len() < 10_000), "a line was not cut");

    let logs: Vec<_> =
        std::fs::read_dir(sandbox.state().join("logs")).unwrap().map(|log| log.unwrap().path()).collect();
    let [log] = logs.as_slice() else { panic!("one run, one log: {logs:?}") };
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let raw = std::fs::read(log).unwrap();
    for part in [b"\x1b[31mred\x1b[0m".as_slice(), b"\x00\xffbinary\n", &[b'x'; 2_000_000]] {
        assert!(memchr::memmem::find(&raw, part).is_some(), "the log lacks {} bytes", part.len());
    }
}

#[test]
fn a_terminal_gets_a_view_that_folds_away() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(&format!("{HOSTILE}\nRUN echo 'last words'; exit 7"));
    // A narrow terminal, made by `script`.
    let shell = format!(
        "stty cols 40 rows 12; exec {} build {}",
        env!("CARGO_BIN_EXE_lian-build"),
        sandbox.context().display()
    );
    let mut command = sandbox.on_terminal(&shell);
    let ended = sandbox.start(&mut command).wait();
    ended.assert_code(1);
    let seen = ended.stdout.replace("\r\n", "\n");
    assert!(seen.contains("[+] build "), "{seen:?}");
    // Every drawing but the last is cleared by the next; nothing of the block stands behind the last one.
    let (drawn, rest) = seen.rsplit_once("\u{1b}[J").unwrap();
    assert!(drawn.contains("\u{1b}[K"), "{drawn:?}");
    assert!(!rest.contains("[+]") && !rest.contains(" => "), "{rest:?}");
    let last = drawn.rsplit_once("\u{1b}[J").map_or(drawn, |(_, last)| last);
    for part in ["last words", ">>> RUN echo", "exit code: 7", "full log: ", " steps, "] {
        assert!(last.contains(part), "`{part}` is missing: {last:?}");
    }
    // The block's lines never wrap: the last column stays free.
    for line in drawn.split('\n').filter_map(|line| line.strip_prefix("\u{1b}[K")) {
        assert!(lian_build::sanitise::line(line).chars().count() < 40, "{line:?}");
    }
    for foreign in ["\u{1b}]", "\u{7}", "\u{202e}", "\0"] {
        assert!(!seen.contains(foreign), "{foreign:?}");
    }
}

#[test]
fn rawjson_is_buildkits_own_and_quiet_is_nothing() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo hello");
    let raw = sandbox.build(["--progress=rawjson"]);
    raw.assert_code(0);
    let messages: Vec<serde_json::Value> = raw
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(messages.iter().any(|message| message["logs"][0]["data"] == "aGVsbG8K"), "{}", raw.stderr);
    let quiet = sandbox.build(["--progress=quiet"]);
    assert_eq!(quiet.assert_code(0).stderr, "");
}

#[test]
fn a_closed_stderr_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN for i in 1 2 3; do echo hello; done");
    for progress in ["--progress=plain", "--progress=rawjson"] {
        let mut command = sandbox.command();
        command.arg("build").arg(sandbox.context()).args([progress, "--format=json"]);
        let mut running = sandbox.start(&mut command);
        drop(running.child.stderr.take());
        assert_eq!(running.wait().assert_code(0).envelope()["status"], "succeeded");
    }
}

#[test]
fn a_stderr_that_nobody_reads_holds_up_no_release() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo the-step-runs; yes 'a line that nobody will ever read'");
    let mut running = sandbox.start(&mut sandbox.build_command());
    running.wait_for(" the-step-runs");
    // Still open, never read again: the build is held back, and the signal must get through all the same.
    let unread = running.child.stderr.take();
    running.signal(Signal::TERM);
    let envelope = running.wait().assert_code(143).envelope();
    assert_eq!(envelope["attempts"][0]["released"], true);
    drop(unread);
}

#[test]
fn a_terminal_is_needed_for_the_live_view() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let refused = sandbox.build(["--progress=tty"]);
    assert_eq!(refused.assert_code(2).envelope()["status"], "refused");
    assert!(refused.stderr.contains("needs a terminal"), "{}", refused.stderr);

    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).env("BUILDKIT_PROGRESS", "fancy").stdin(Stdio::null());
    let refused = sandbox.start(&mut command).wait();
    assert!(refused.assert_code(2).stderr.contains("`fancy`"), "{}", refused.stderr);
}
