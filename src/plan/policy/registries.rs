//! `push_to` and `pull_from`: which registries, or parts of them, a build may use.

use super::Finding;
use crate::inputs::dockerfile::Images;
use crate::inputs::policy::Policies;
use crate::registry::Reference;

/// `push_to`: where images may be pushed to.
pub(super) fn push_to(policies: &Policies, pushed: &[Reference]) -> Vec<Finding> {
    let said = policies.said("push_to", |policy| policy.push_to.as_deref());
    said.flat_map(|(rule, patterns)| {
        let refused = pushed.iter().filter(|reference| !is_below_one(patterns, reference));
        refused
            .map(|reference| Finding::refused(rule.clone(), format!("a push to `{}`", reference.name()), all(patterns)))
            .collect::<Vec<_>>()
    })
    .collect()
}

/// `pull_from`: where images may be pulled from. A name that cannot be told here may be any.
pub(super) fn pull_from(policies: &Policies, pulled: &Images) -> Vec<Finding> {
    let said = policies.said("pull_from", |policy| policy.pull_from.as_deref());
    said.flat_map(|(rule, patterns)| {
        let refused = pulled.known.iter().filter(|reference| !is_below_one(patterns, reference));
        let known = refused.map(|reference| format!("a pull from `{}`", reference.name()));
        let unknown =
            pulled.unknown.iter().map(|text| format!("a pull of `{text}`, which cannot be told before the build,"));
        known.chain(unknown).map(|asked| Finding::refused(rule.clone(), asked, all(patterns))).collect::<Vec<_>>()
    })
    .collect()
}

/// What `pull_from` of all the policies together allows; `None` when none of them says.
pub(in crate::plan) fn allowed_pulls(policies: &Policies) -> Option<Vec<String>> {
    let said = policies.said("pull_from", |policy| policy.pull_from.as_deref());
    said.map(|(_, patterns)| patterns.to_vec()).reduce(|all, more| {
        // Of two patterns, one of which lies below the other, that one is what both allow.
        let narrower = |a: &String, b: &String| match (covers(a, b), covers(b, a)) {
            (true, _) => Some(b.clone()),
            (_, true) => Some(a.clone()),
            _ => None,
        };
        all.iter().flat_map(|a| more.iter().filter_map(|b| narrower(a, b)).collect::<Vec<_>>()).collect()
    })
}

/// Whether all that `inner` allows is allowed by `outer`, too.
fn covers(outer: &str, inner: &str) -> bool {
    let (outer, inner) = (outer.trim_end_matches('/'), inner.trim_end_matches('/'));
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_below_one(patterns: &[String], reference: &Reference) -> bool {
    patterns.iter().any(|pattern| is_below(pattern, reference))
}

/// `HOST` allows all of that registry, `HOST/PATH` the repository of that path and all below it.
fn is_below(pattern: &str, reference: &Reference) -> bool {
    let (host, path) = pattern.split_once('/').unwrap_or((pattern, ""));
    let path = path.trim_end_matches('/');
    let rest = reference.repository().strip_prefix(path);
    host == reference.host() && (path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn all(patterns: &[String]) -> String {
    match patterns {
        [] => "none".to_owned(),
        _ => format!("only `{}`", patterns.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inputs::policy::policies;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_is_for_all_below_it_and_nothing_beside_it() {
        for (pattern, name, is_allowed) in [
            ("r.example", "r.example/a/b:1", true),
            ("r.example", "r.example:5000/a", false),
            ("r.example:5000", "r.example:5000/a", true),
            ("r.example/team", "r.example/team", true),
            ("r.example/team", "r.example/team/app:1", true),
            ("r.example/team/", "r.example/team/app", true),
            ("r.example/team", "r.example/teammate/app", false),
            ("r.example/team", "r.example/other/team/app", false),
            ("r.example", "r.example.evil.example/a", false),
            ("docker.io", "debian:12", true),
            ("docker.io/library", "debian", true),
            ("docker.io/library", "evil/debian", false),
        ] {
            assert_eq!(is_below(pattern, &reference(name)), is_allowed, "{pattern} {name}");
        }
    }

    #[test]
    fn every_push_has_to_keep_every_policy() {
        let both = policies(&[
            (json!({ "push_to": ["r.example", "other.example"] }), &[]),
            (json!({ "push_to": ["r.example/team"] }), &[("push_to", 3)]),
        ]);
        let pushed = ["r.example/team/a:1", "r.example/b:1", "x.example/c:1"].map(reference);
        let said: Vec<String> = push_to(&both, &pushed).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "/p0 (push_to): a push to `x.example/c` is asked for, and only `r.example`, `other.example` is allowed",
                "/p1:3 (push_to): a push to `r.example/b` is asked for, and only `r.example/team` is allowed",
                "/p1:3 (push_to): a push to `x.example/c` is asked for, and only `r.example/team` is allowed",
            ]
        );
    }

    #[test]
    fn buildkit_is_told_what_every_policy_allows() {
        assert_eq!(allowed_pulls(&policies(&[(json!({}), &[])])), None);
        let both = policies(&[
            (json!({ "pull_from": ["docker.io", "r.example/team/", "r.example:5000", "none.example"] }), &[]),
            (json!({}), &[]),
            (json!({ "pull_from": ["docker.io/library", "r.example", "r.example/teammate"] }), &[]),
        ]);
        assert_eq!(allowed_pulls(&both).unwrap(), ["docker.io/library", "r.example/team/"]);
    }

    #[test]
    fn what_cannot_be_told_is_not_pulled() {
        let rule = policies(&[(json!({ "pull_from": ["docker.io"] }), &[])]);
        let known = Images { known: [reference("debian")].into(), unknown: Vec::new() };
        assert_eq!(pull_from(&rule, &known), []);
        let unknown = Images { known: [reference("q.example/x")].into(), unknown: vec!["${A%b}".to_owned()] };
        let asked: Vec<String> = pull_from(&rule, &unknown).into_iter().map(|finding| finding.asked).collect();
        assert_eq!(asked, ["a pull from `q.example/x`", "a pull of `${A%b}`, which cannot be told before the build,"]);
        assert_eq!(pull_from(&policies(&[(json!({}), &[])]), &unknown), []);
    }
}
