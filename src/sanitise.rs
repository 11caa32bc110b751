//! Makes foreign text safe to show: build output, API answers, file names.
//!
//! Escape sequences are taken out as a whole, so coloured output reads as plain text; what else could drive a terminal
//! or make text read as something it is not becomes U+FFFD. Raw bytes only ever go to the run's log file (mode 0600).

use std::iter::Peekable;
use std::str::Chars;

/// What stands for a character that must not be shown.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
const ESCAPE: char = '\u{1b}';
const BELL: char = '\u{7}';
/// String terminator, as one C1 character.
const TERMINATOR: char = '\u{9c}';

/// One line for a terminal: no escape sequences, control characters or bidirectional overrides; a line break is shown
/// as `\n`, a tab as a space.
pub fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, part) in text.split('\n').enumerate() {
        if at > 0 {
            shown.push_str("\\n");
        }
        strip(
            part.strip_suffix('\r').unwrap_or(part),
            &mut shown,
            |character| {
                if character == '\t' { ' ' } else { REPLACEMENT }
            },
        );
    }
    shown
}

/// As [`line()`], cut after `limit` characters with a mark.
pub fn short(text: &str, limit: usize) -> String {
    // Escape sequences make text longer than it shows; a few times the limit is enough to look at.
    let looked_at = limit.saturating_mul(4);
    let start = text.char_indices().nth(looked_at).map_or(text, |(end, _)| text.get(..end).unwrap_or(text));
    let shown = line(start);
    match shown.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None if start.len() < text.len() => format!("{shown}…"),
        None => shown,
    }
}

/// Several lines for a terminal: as [`line()`], but line breaks and tabs stay.
pub fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, part) in text.split('\n').enumerate() {
        if at > 0 {
            shown.push('\n');
        }
        log_line(part.strip_suffix('\r').unwrap_or(part), &mut shown);
    }
    shown
}

/// One line of raw output, without its line break: broken UTF-8 becomes U+FFFD (one for a whole run of it), tabs stay.
pub fn bytes(line: &[u8]) -> String {
    let mut shown = String::with_capacity(line.len());
    log_line(&String::from_utf8_lossy(line), &mut shown);
    let mut last = None;
    shown.retain(|character| last.replace(character) != Some(REPLACEMENT) || character != REPLACEMENT);
    shown
}

fn log_line(text: &str, shown: &mut String) {
    // Nearly all output is plain ASCII.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        shown.push_str(text);
        return;
    }
    strip(text, shown, |character| if character == '\t' { '\t' } else { REPLACEMENT });
}

/// Copies a line without its escape sequences; `instead` says what stands for a character that must not be shown.
fn strip(text: &str, shown: &mut String, instead: impl Fn(char) -> char) {
    let mut rest = text.chars().peekable();
    let mut terminators_left = true;
    while let Some(character) = rest.next() {
        match character {
            ESCAPE => escape(&mut rest, &mut terminators_left),
            '\u{9b}' => control_sequence(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => control_string(&mut rest, &mut terminators_left),
            // Overstrike, as `man` prints bold text.
            '\u{8}' => {
                shown.pop();
            }
            character if is_harmful(character) => shown.push(instead(character)),
            character => shown.push(character),
        }
    }
}

/// What follows an ESC.
fn escape(rest: &mut Peekable<Chars<'_>>, terminators_left: &mut bool) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            control_string(rest, terminators_left);
        }
        Some(' '..='/') => {
            while rest.next_if(|character| matches!(character, ' '..='/')).is_some() {}
            rest.next_if(|character| matches!(character, '0'..='~'));
        }
        Some('0'..='~') => {
            rest.next();
        }
        _ => {}
    }
}

/// CSI: parameters, intermediates, one final character. What does not belong to it stays.
fn control_sequence(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|character| matches!(character, ' '..='?')).is_some() {}
    rest.next_if(|character| matches!(character, '@'..='~'));
}

/// OSC, DCS and their kin, up to their end on the same line. Without an end only the beginning is taken out: a stray one
/// must not hide the rest of the line.
fn control_string(rest: &mut Peekable<Chars<'_>>, terminators_left: &mut bool) {
    if !*terminators_left {
        return;
    }
    let mut ahead = rest.clone();
    while let Some(character) = ahead.next() {
        match character {
            BELL | TERMINATOR => {
                *rest = ahead;
                return;
            }
            ESCAPE if ahead.peek() == Some(&'\\') => {
                ahead.next();
                *rest = ahead;
                return;
            }
            _ => {}
        }
    }
    // Looked for once in vain: text full of beginnings must not be searched again for each.
    *terminators_left = false;
}

/// C0, DEL and C1 controls can drive a terminal; bidirectional controls can make text read as something else; line and
/// paragraph separators break lines; tags and interlinear marks are invisible.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_are_taken_out_as_a_whole() {
        for (raw, shown) in [
            ("\u{1b}[1;31merror\u{1b}[0m: no", "error: no"),
            ("\u{1b}[38;2;1;2;3mrgb\u{1b}[K", "rgb"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq#0\u{1b}\\after", "after"),
            ("\u{1b}(Bascii", "ascii"),
            ("\u{1b}7saved\u{1b}8", "saved"),
            ("\u{9b}31mred", "red"),
            ("cut off \u{1b}[3", "cut off "),
            ("cut off \u{1b}", "cut off "),
            ("b\u{8}bo\u{8}old", "bold"),
        ] {
            assert_eq!(bytes(raw.as_bytes()), shown, "{raw:?}");
        }
    }

    #[test]
    fn an_unterminated_string_does_not_hide_the_line() {
        assert_eq!(bytes(b"\x1b]0;error: it broke"), "0;error: it broke");
        assert_eq!(lines("\u{1b}]one\ntwo\u{7}"), "one\ntwo\u{fffd}");
    }

    #[test]
    fn what_could_mislead_is_replaced() {
        assert_eq!(line("a\u{202e}b\0c\nd\te"), "a\u{fffd}b\u{fffd}c\\nd e");
        assert_eq!(bytes(b"\xff\xfe\0 ok\t\0."), "\u{fffd} ok\t\u{fffd}.");
        assert_eq!(lines("one\r\ntwo"), "one\ntwo");
    }

    #[test]
    fn short_text_stays_and_long_text_is_cut() {
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äöü…");
        assert_eq!(short(&"\u{1b}[31m".repeat(100), 3), "…");
    }

    #[test]
    fn many_unterminated_strings_are_fast() {
        let text = "\u{1b}]".repeat(200_000);
        assert_eq!(lines(&text), "");
    }

    fn is_safe(text: &str, allowed: &[char]) -> bool {
        text.chars().all(|character| allowed.contains(&character) || !is_harmful(character))
    }

    /// Text that is mostly made of what escape sequences are made of.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => proptest::sample::select(b"\x1b[]P\\\x07\x08\r\n\t;0m\xc2\x9b\x9c\x9d\xe2\x80\xae".to_vec()),
            1 => any::<u8>(),
        ];
        proptest::collection::vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(raw in hostile()) {
            let text = String::from_utf8_lossy(&raw);
            prop_assert!(is_safe(&line(&text), &[]));
            prop_assert!(is_safe(&short(&text, 20), &[]));
            prop_assert!(is_safe(&lines(&text), &['\n', '\t']));
            prop_assert!(is_safe(&bytes(&raw), &['\t']));
        }

        #[test]
        fn safe_text_stays_as_it_is(raw in hostile()) {
            let once = lines(&String::from_utf8_lossy(&raw));
            prop_assert_eq!(lines(&once), once);
        }

        #[test]
        fn plain_text_is_not_touched(text in "[ -~äöü€語]{0,200}") {
            prop_assert_eq!(lines(&text), text);
        }
    }
}
