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
    if let Some(log) = log {
        line(&mut text, &format!("full log: {}", sanitise::line(&log.to_string_lossy())));
    }
    text
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}", content.trim_end());
}
