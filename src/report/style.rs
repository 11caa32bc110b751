//! The few colours there are. Everything must read without them.

/// How a piece of text is set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Not at all.
    Plain,
    /// Less important.
    Faint,
    /// Something ended well.
    Good,
    /// Something to know.
    Warning,
    /// Something failed.
    Error,
}

/// `text` in a style, or as it is without colour.
pub(crate) fn paint(text: &str, style: Style, color: bool) -> String {
    let code = match style {
        Style::Plain => return text.to_owned(),
        Style::Faint => "2",
        Style::Good => "32",
        Style::Warning => "33",
        Style::Error => "31",
    };
    if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
