//! [`named_image`]: the image in a flag of `COPY` or `RUN`.

use crate::solve::csv;

/// What a flag says about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// Nothing.
    None,
    /// The image or stage of this name.
    Image(String),
    /// Perhaps something: BuildKit may read the flag differently.
    Unclear,
}

/// The image of `--from=IMAGE` (`COPY`) and `--mount=…,from=IMAGE` (`RUN`).
pub(super) fn named_image(instruction: &str, flag: &str) -> Named {
    let Some(flag) = unquoted(flag) else { return Named::Unclear };
    let wanted = match instruction {
        "COPY" => "--from",
        "RUN" => "--mount",
        _ => return Named::None,
    };
    let Some((name, value)) = flag.split_once('=') else {
        return if flag == wanted { Named::Unclear } else { Named::None };
    };
    if name != wanted {
        return Named::None;
    }
    let from = if wanted == "--from" { Some(Some(value.to_owned())) } else { mounted_from(value) };
    match from {
        None => Named::Unclear,
        Some(None) => Named::None,
        Some(Some(image)) if image.is_empty() => Named::None,
        Some(Some(image)) => Named::Image(image),
    }
}

/// The last `from=` of a mount, as BuildKit takes it; fields without `=` (`ro`) name nothing. `None` when the value cannot
/// be decoded.
fn mounted_from(value: &str) -> Option<Option<String>> {
    let fields = csv::decode(value).ok()?;
    let pairs = fields.iter().rev().filter_map(|field| field.split_once('='));
    Some(pairs.filter(|(key, _)| key.to_lowercase() == "from").map(|(_, image)| image.to_owned()).next())
}

/// The flag without its quotes; `None` where a quote stays open or something is escaped.
fn unquoted(flag: &str) -> Option<String> {
    let mut quote = None;
    let mut result = String::new();
    for character in flag.chars() {
        match quote {
            _ if matches!(character, '\\' | '`') => return None,
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            _ => result.push(character),
        }
    }
    quote.is_none().then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_however_its_flag_is_written() {
        let image = |name: &str| Named::Image(name.to_owned());
        for (instruction, flag, named) in [
            ("COPY", "--from=a.example/x", image("a.example/x")),
            ("COPY", "--\"from=a.example/x\"", image("a.example/x")),
            ("COPY", "--from='a.example/x'", image("a.example/x")),
            ("COPY", "--fr\\om=a.example/x", Named::Unclear),
            ("COPY", "--fr`om=a.example/x", Named::Unclear),
            ("COPY", "--from=\"a", Named::Unclear),
            ("COPY", "--from", Named::Unclear),
            ("COPY", "--from=", Named::None),
            ("COPY", "--chown=\"a:b\"", Named::None),
            ("COPY", "--link", Named::None),
            ("RUN", "--mount=type=bind,from=a,target=/e,ro", image("a")),
            ("RUN", "--mount=from=a,from=b", image("b")),
            ("RUN", "--mount=from=a,FROM=b", image("b")),
            ("RUN", "--mount=\"type=bind,from=a\"", image("a")),
            ("RUN", "--mount=type=cache,target=/x", Named::None),
            ("RUN", "--mount=", Named::Unclear),
            ("RUN", "--mount=from=\\a", Named::Unclear),
            ("ADD", "--from=a", Named::None),
        ] {
            assert_eq!(named_image(instruction, flag), named, "{instruction} {flag}");
        }
    }
}
