//! [`TokenScope`]: what a token may ask for. Pure.

use serde::{Deserialize, Serialize};

use crate::ids::Workspace;

/// What a token may ask for. What is left out is not limited, but for the workspaces: without one nothing may be asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenScope {
    /// Names of workspaces; `shop-*` is all that begin so, `*` is every one.
    pub workspaces: Vec<String>,
    /// Names of tiers.
    #[serde(default)]
    pub runner_types: Option<Vec<String>>,
    /// Names of providers.
    #[serde(default)]
    pub providers: Option<Vec<String>>,
    /// Most leases at the same time.
    #[serde(default)]
    pub concurrent_leases: Option<u32>,
    /// Most hours of runners in any 24 hours, all leases together.
    #[serde(default)]
    pub hours_per_day: Option<f64>,
}

impl TokenScope {
    /// Whether this workspace is in it.
    pub fn has_workspace(&self, workspace: &Workspace) -> bool {
        self.workspaces.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => workspace.as_str().starts_with(beginning),
            None => workspace.as_str() == pattern,
        })
    }

    /// Whether this tier is in it.
    pub fn has_runner_type(&self, name: &str) -> bool {
        self.runner_types.as_ref().is_none_or(|names| names.iter().any(|known| known == name))
    }

    /// Whether this provider is in it.
    pub fn has_provider(&self, name: &str) -> bool {
        self.providers.as_ref().is_none_or(|names| names.iter().any(|known| known == name))
    }

    /// The most seconds of runners in 24 hours.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, and that is meant")]
    pub fn seconds_per_day(&self) -> Option<u64> {
        self.hours_per_day.map(|hours| (hours.max(0.0) * 3600.0) as u64)
    }

    /// A pattern of a workspace that can name one.
    pub fn is_workspace_pattern(pattern: &str) -> bool {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        if pattern.ends_with('*') {
            is_plain && name.len() <= Workspace::MAX_LEN
        } else {
            name.parse::<Workspace>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(workspaces: &[&str]) -> TokenScope {
        TokenScope { workspaces: workspaces.iter().map(|&name| name.to_owned()).collect(), ..TokenScope::default() }
    }

    #[test]
    fn a_workspace_has_to_be_named() {
        let workspace: Workspace = "shop-api".parse().unwrap();
        for (patterns, has) in [
            (&[][..], false),
            (&["shop"], false),
            (&["shop-api"], true),
            (&["shop-*"], true),
            (&["api", "*"], true),
            (&["shop-api-*"], false),
        ] {
            assert_eq!(scope(patterns).has_workspace(&workspace), has, "{patterns:?}");
        }
    }

    #[test]
    fn a_list_that_is_left_out_limits_nothing_and_an_empty_one_everything() {
        let open = scope(&["*"]);
        assert!(open.has_provider("hcloud") && open.has_runner_type("cax41") && open.seconds_per_day().is_none());
        let closed = TokenScope {
            providers: Some(Vec::new()),
            runner_types: Some(vec!["cax11".to_owned()]),
            hours_per_day: Some(0.5),
            ..open
        };
        assert!(!closed.has_provider("hcloud") && !closed.has_runner_type("cax41") && closed.has_runner_type("cax11"));
        assert_eq!(closed.seconds_per_day(), Some(1800));
    }

    #[test]
    fn patterns_are_names_with_a_star_at_the_end_at_most() {
        for good in ["*", "a", "shop-*", "shop*", "shop-api"] {
            assert!(TokenScope::is_workspace_pattern(good), "{good}");
        }
        for bad in ["", "A", "a*b", "**", "shop-", "a b", "../*"] {
            assert!(!TokenScope::is_workspace_pattern(bad), "{bad}");
        }
    }
}
