//! Makes foreign text safe to show: build output, API answers, file names.
//!
//! Raw bytes only ever go to the run's log file (mode 0600).

/// One line for a terminal: control characters, escape sequences and bidirectional overrides are replaced, and a
/// line break is shown as `\n`.
pub fn line(text: &str) -> String {
    text.chars().map(|character| if is_harmful(character) { '\u{fffd}' } else { character }).collect()
}

/// Several lines for a terminal: as [`line()`], but line breaks and tabs stay.
pub fn lines(text: &str) -> String {
    text.chars()
        .map(
            |character| {
                if character == '\n' || character == '\t' || !is_harmful(character) { character } else { '\u{fffd}' }
            },
        )
        .collect()
}

/// C0, DEL and C1 controls can drive a terminal; bidirectional controls can make text read as something else.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
