//! Renders why a build failed, for people.

use std::fmt::Write as _;
use std::path::Path;

use crate::report::style::{Style, paint};
use crate::sanitise;
use crate::solve::Failure;

/// How many of the failing step's last lines are shown.
const SHOWN_LINES: usize = 30;

/// The failing step, its last lines, the Dockerfile around it, the error, and where the full log is. Ends with a line
/// break. Everything foreign in it is safe for a terminal.
pub fn render_failure(failure: &Failure, log: Option<&Path>, color: bool) -> String {
    let mut text = String::new();
    let step = failure.step_name.as_deref().map(sanitise::line);
    if let Some(step) = &step {
        line(&mut text, &paint(&format!("failed: {step}"), Style::Error, color));
        let skipped = failure.log_tail.len().saturating_sub(SHOWN_LINES);
        if skipped > 0 {
            line(&mut text, &paint("  │ …", Style::Faint, color));
        }
        for printed in failure.log_tail.iter().skip(skipped) {
            line(&mut text, &format!("{}{}", paint("  │ ", Style::Faint, color), sanitise::lines(printed)));
        }
    }
    if let Some((place, excerpt)) = failure.dockerfile_excerpt.split_first() {
        line(&mut text, &paint(&sanitise::line(place), Style::Faint, color));
        for source in excerpt {
            let source = sanitise::lines(source);
            let style = if source.contains(">>>") { Style::Error } else { Style::Plain };
            line(&mut text, &paint(&source, style, color));
        }
    }
    let error = if failure.error.is_empty() { "buildctl ended without saying why" } else { failure.error.trim_end() };
    line(&mut text, &format!("{} {}", paint("error:", Style::Error, color), sanitise::lines(error)));
    for hint in failure.hints() {
        line(&mut text, &format!("hint: {}", sanitise::line(&hint)));
    }
    if let Some(log) = log {
        line(&mut text, &format!("full log: {}", sanitise::line(&log.to_string_lossy())));
    }
    text
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}", content.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure {
            in_export: false,
            step_name: Some("[2/3] RUN make".to_owned()),
            error: "process \"make\" did not complete successfully: exit code: 2".to_owned(),
            log_tail: vec!["cc -c x.c".to_owned(), "x.c:1: error".to_owned()],
            dockerfile_excerpt: vec!["Dockerfile:3".to_owned(), "   3 | >>> RUN make".to_owned()],
            exit_code: Some(2),
        }
    }

    #[test]
    fn a_failure_reads_without_colour() {
        assert_eq!(
            render_failure(&failure(), Some(Path::new("/state/logs/1.log")), false),
            "failed: [2/3] RUN make\n\
             \u{20} │ cc -c x.c\n\
             \u{20} │ x.c:1: error\n\
             Dockerfile:3\n\
             \u{20}  3 | >>> RUN make\n\
             error: process \"make\" did not complete successfully: exit code: 2\n\
             full log: /state/logs/1.log\n"
        );
    }

    #[test]
    fn the_last_lines_are_shown_not_the_first() {
        let log_tail = (0..100).map(|number| format!("line {number}")).collect();
        let text = render_failure(&Failure { log_tail, ..failure() }, None, false);
        assert!(text.contains("│ …\n  │ line 70\n") && text.contains("│ line 99\n"), "{text}");
        assert!(!text.contains("line 69\n"));
    }

    #[test]
    fn a_silent_end_is_said_and_nothing_foreign_gets_through() {
        assert_eq!(render_failure(&Failure::default(), None, false), "error: buildctl ended without saying why\n");
        let hostile = Failure { error: "\u{1b}]0;x\u{7}bad\u{202e}".to_owned(), ..failure() };
        let text = render_failure(&hostile, None, true);
        assert!(text.contains("bad\u{fffd}") && !text.contains('\u{202e}') && !text.contains('\u{7}'), "{text:?}");
    }
}
