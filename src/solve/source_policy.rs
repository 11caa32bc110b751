//! What BuildKit itself is told of `pull_from`. The plan refuses each image that it can name before anything is leased; a trigger
//! of a base image (`ONBUILD`) or a foreign frontend can ask for one that nobody could know of, and only BuildKit sees it.
//!
//! The format is BuildKit's source policy (`sourcepolicy/pb` in its repository): of the rules that match, the last one counts.

use serde::Serialize;

/// Every image, by the identifier that BuildKit's LLB has for it.
const EVERY_IMAGE: &str = "^docker-image://";

#[derive(Debug, Serialize)]
struct SourcePolicy {
    version: u32,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
struct Rule {
    action: &'static str,
    selector: Selector,
}

#[derive(Debug, Serialize)]
struct Selector {
    identifier: String,
    match_type: &'static str,
}

/// The document that allows images of these registries, or parts of them (`HOST[:PORT][/PATH]` and all below), and no others.
pub fn document(pull_from: &[String]) -> serde_json::Result<Vec<u8>> {
    let rule = |action, identifier| Rule { action, selector: Selector { identifier, match_type: "REGEX" } };
    let allowed = pull_from.iter().map(|pattern| rule("ALLOW", identifiers(pattern)));
    let rules = std::iter::once(rule("DENY", EVERY_IMAGE.to_owned())).chain(allowed).collect();
    serde_json::to_vec(&SourcePolicy { version: 1, rules })
}

/// The identifiers of the images at a pattern and below it.
fn identifiers(pattern: &str) -> String {
    let pattern = pattern.trim_end_matches('/');
    let end = if pattern.contains('/') { "([/:@]|$)" } else { "/" };
    format!("{EVERY_IMAGE}{}{end}", escape(pattern))
}

/// For a regular expression: of what a pattern may hold, only dots mean anything there.
fn escape(pattern: &str) -> String {
    pattern.replace('.', r"\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_denied_first() {
        let text =
            String::from_utf8(document(&["r.example:5000".to_owned(), "docker.io/library/".to_owned()]).unwrap());
        let rule = |action: &str, identifier: &str| {
            format!(r#"{{"action":"{action}","selector":{{"identifier":"{identifier}","match_type":"REGEX"}}}}"#)
        };
        let rules = [
            rule("DENY", "^docker-image://"),
            rule("ALLOW", r"^docker-image://r\\.example:5000/"),
            rule("ALLOW", r"^docker-image://docker\\.io/library([/:@]|$)"),
        ];
        assert_eq!(text.unwrap(), format!(r#"{{"version":1,"rules":[{}]}}"#, rules.join(",")));
    }
}
