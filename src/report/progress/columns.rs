//! Text in the columns of a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns` columns; what does not fit is cut with `…`. Tabs become spaces.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let mut kept = String::new();
    let mut used = 0_usize;
    // Where the mark goes when the rest does not fit.
    let mut mark = 0_usize;
    // Marks without a width of their own must not pile up without end.
    let most = columns.saturating_mul(4);
    for (count, character) in text.chars().enumerate() {
        let character = if character == '\t' { ' ' } else { character };
        let wide = character.width().unwrap_or(0);
        if used.saturating_add(wide) > columns || count >= most {
            kept.truncate(mark);
            if columns > 0 {
                kept.push('…');
            }
            return kept;
        }
        used = used.saturating_add(wide);
        kept.push(character);
        if used < columns {
            mark = kept.len();
        }
    }
    kept
}

/// `left` and `right` at the two ends of a line of `columns` columns. `left` gives way; a line too narrow for both is
/// `left` alone.
pub(super) fn spread(left: &str, right: &str, columns: usize) -> String {
    let room = columns.saturating_sub(width(right)).saturating_sub(1);
    if right.is_empty() || room < 8 {
        return cut(left, columns);
    }
    let left = cut(left, room);
    let gap = columns.saturating_sub(width(&left)).saturating_sub(width(right));
    format!("{left}{}{right}", " ".repeat(gap))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_with_a_mark() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("漢字漢字", 8), "漢字漢字");
        assert_eq!(cut("漢字漢字", 7), "漢字漢…");
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!(cut("a\tb", 3), "a b");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn the_left_gives_way_to_the_right() {
        assert_eq!(spread("name", "1.2s", 13), "name     1.2s");
        assert_eq!(spread("a long name", "1.2s", 14), "a long n… 1.2s");
        assert_eq!(spread("a long name", "1.2s", 12), "a long name");
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_the_screen(left in "\\PC{0,60}", right in "[0-9.s]{0,8}", columns in 0_usize..50) {
            prop_assert!(width(&cut(&left, columns)) <= columns);
            prop_assert!(width(&spread(&left, &right, columns)) <= columns);
        }
    }
}
