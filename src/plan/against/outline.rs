//! [`Outline`]: what of a plan's document can be compared with another's.

use serde::Deserialize;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::Isolation;
use crate::plan::Money;

/// The schema of the documents that can be compared.
const SCHEMA: &str = "lian-build/plan/v1";

/// What of a plan's document can be compared with another's. What an older document does not say counts as not reached, so
/// that a newer one reaches it newly.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Outline {
    pub(super) provider: String,
    /// It stands in the document's head.
    #[serde(skip)]
    pub(super) workspace: Option<String>,
    pub(super) sizing: OutlineSizing,
    pub(super) reach: OutlineReach,
}

/// The size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct OutlineSizing {
    pub(super) runner_type: String,
    pub(super) cpu: f64,
    pub(super) memory_gb: f64,
    pub(super) time_budget_min: f64,
}

/// The reach; every field may be missing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct OutlineReach {
    pub(super) root: Option<String>,
    pub(super) actor: String,
    pub(super) secrets: Vec<String>,
    pub(super) ssh: Vec<String>,
    pub(super) push_repositories: Vec<String>,
    pub(super) pull_repositories: Vec<String>,
    pub(super) pulls_unknown: Vec<String>,
    pub(super) fetches: Vec<String>,
    pub(super) fetches_unknown: Vec<String>,
    pub(super) proxies: Vec<String>,
    pub(super) insecure_registries: Vec<String>,
    pub(super) nats: Option<String>,
    pub(super) reads: Vec<String>,
    pub(super) writes: Vec<String>,
    pub(super) kept_archive: Option<String>,
    pub(super) docker_load: bool,
    pub(super) step_network: String,
    pub(super) add_hosts: Vec<String>,
    pub(super) providers: Vec<String>,
    pub(super) isolation: Option<Isolation>,
    pub(super) keeps_failed_seconds: u64,
    pub(super) money: Money,
}

impl Default for OutlineReach {
    fn default() -> Self {
        Self {
            root: None,
            actor: String::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            push_repositories: Vec::new(),
            pull_repositories: Vec::new(),
            pulls_unknown: Vec::new(),
            fetches: Vec::new(),
            fetches_unknown: Vec::new(),
            proxies: Vec::new(),
            insecure_registries: Vec::new(),
            nats: None,
            reads: Vec::new(),
            writes: Vec::new(),
            kept_archive: None,
            docker_load: false,
            step_network: "none".to_owned(),
            add_hosts: Vec::new(),
            providers: Vec::new(),
            isolation: None,
            keeps_failed_seconds: 0,
            money: Money::nothing(0),
        }
    }
}

/// The head of a document.
#[derive(Deserialize)]
struct Head {
    schema: String,
    workspace: Option<String>,
    plan: Option<serde_json::Value>,
}

impl Outline {
    /// Reads a plan's document, JSON in UTF-8. `name` is how messages call it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for anything that is not a plan of version 1, and for one that was refused before there was a plan.
    pub fn read(name: &str, document: &[u8]) -> Result<Self> {
        let what_to_do = "make one with `lian-build plan --format json > FILE`";
        let unusable = || format!("`{name}` is not a plan's document");
        let head: Head = serde_json::from_slice(document)
            .context(ErrorKind::Usage, unusable)
            .map_err(|error| error.hint(what_to_do))?;
        if head.schema != SCHEMA {
            let schema = crate::sanitise::line(&head.schema);
            return Err(Error::usage(format!("`{name}` is of the schema `{schema}`, and `{SCHEMA}` can be compared"))
                .hint(what_to_do));
        }
        let plan = head.plan.ok_or_else(|| {
            Error::usage(format!("`{name}` holds no plan: it was refused")).hint("compare with one that was approved")
        })?;
        let outline: Self =
            serde_json::from_value(plan).context(ErrorKind::Usage, unusable).map_err(|error| error.hint(what_to_do))?;
        Ok(Self { workspace: head.workspace, ..outline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(document: &str) -> String {
        let error = Outline::read("old.json", document.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!error.hints().is_empty());
        error.message()
    }

    #[test]
    fn only_plans_of_version_1_are_read() {
        assert!(refused("").contains("`old.json` is not a plan's document"));
        assert!(refused("[]").contains("is not a plan's document"));
        assert!(refused(r#"{"schema":"lian-build/plan/v2","plan":{}}"#).contains("`lian-build/plan/v2`"));
        assert!(refused(r#"{"schema":"lian-build/result/v1"}"#).contains("`lian-build/result/v1`"));
        assert!(refused(r#"{"schema":"lian-build/plan/v1","plan":null}"#).contains("holds no plan"));
        assert!(
            refused(r#"{"schema":"lian-build/plan/v1","plan":{"provider":1}}"#).contains("is not a plan's document")
        );
    }

    #[test]
    fn what_an_older_document_does_not_say_is_not_reached() {
        let old = r#"{"schema":"lian-build/plan/v1","plan":{"provider":"local","reach":{"secrets":[],"new_field":1},
            "sizing":{"runner_type":"a","cpu":2,"memory_gb":4,"time_budget_min":30}}}"#;
        assert_eq!(Outline::read("old.json", old.as_bytes()).unwrap().reach, OutlineReach::default());
    }
}
