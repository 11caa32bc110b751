//! [`Labels`]: what every runner carries from the request that makes it on, so that anybody with the provider's
//! credential can tell whose it is and until when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Holder, OwnerId};
use crate::ids::{LeaseId, RunId, Workspace};

/// Marks a resource as made by lian-build; its value is `1`.
pub const MANAGED: &str = "lian-managed";
/// The version of the set of labels.
pub const SCHEMA: &str = "lian-schema";
/// [`Labels::owner`].
pub const OWNER: &str = "lian-owner";
/// [`Labels::lease_id`].
pub const LEASE: &str = "lian-lease";
/// [`Labels::run_id`].
pub const RUN: &str = "lian-run";
/// [`Labels::workspace`].
pub const WORKSPACE: &str = "lian-workspace";
/// [`Labels::tier`].
pub const TIER: &str = "lian-tier";
/// [`Labels::attempt`].
pub const ATTEMPT: &str = "lian-attempt";
/// [`Labels::created_at`], in seconds since 1970.
pub const CREATED: &str = "lian-created";
/// [`Labels::expires_at`], in seconds since 1970.
pub const EXPIRES: &str = "lian-expires";
/// [`Labels::hard_deadline`], in seconds since 1970.
pub const MAX: &str = "lian-max";
/// [`Labels::holder`].
pub const HOLDER: &str = "lian-holder";
/// [`Labels::may_be_kept`]; its value is `1`.
pub const KEEP: &str = "lian-keep";

/// What every runner carries. All of it is in the request that creates it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Whose it is.
    pub owner: OwnerId,
    /// The lease: also the runner's name.
    pub lease_id: LeaseId,
    /// The run that leased it.
    pub run_id: RunId,
    /// What is built.
    pub workspace: Workspace,
    /// The tier's name, with what labels cannot hold replaced.
    pub tier: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when it is held, unless renewed.
    pub expires_at: Timestamp,
    /// When it must be gone whatever happens. Never moved.
    pub hard_deadline: Timestamp,
    /// The process that holds it.
    pub holder: Option<Holder>,
    /// True when it may be kept after a failure: then a dead holder proves nothing.
    pub may_be_kept: bool,
}

impl Labels {
    /// The labels as a provider stores them. Keys and values are at most 63 characters of `[A-Za-z0-9._-]` and begin and
    /// end with a letter or digit.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let seconds = |at: Timestamp| at.as_second().to_string();
        let mut map: BTreeMap<String, String> = [
            (MANAGED, "1".to_owned()),
            (SCHEMA, "1".to_owned()),
            (OWNER, self.owner.to_string()),
            (LEASE, self.lease_id.to_string()),
            (RUN, self.run_id.to_string()),
            (WORKSPACE, self.workspace.to_string()),
            (TIER, label_value(&self.tier)),
            (ATTEMPT, self.attempt.to_string()),
            (CREATED, seconds(self.created_at)),
            (EXPIRES, seconds(self.expires_at)),
            (MAX, seconds(self.hard_deadline)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        if let Some(holder) = &self.holder {
            map.insert(HOLDER.to_owned(), holder.to_string());
        }
        if self.may_be_kept {
            map.insert(KEEP.to_owned(), "1".to_owned());
        }
        map
    }

    /// Reads labels back. `None` for a resource that does not say it is ours at all.
    ///
    /// # Errors
    /// With what is missing or cannot be read of one that does: such a resource is shown and never touched.
    pub fn from_map(map: &BTreeMap<String, String>) -> Option<Result<Self, String>> {
        (map.get(MANAGED).map(String::as_str) == Some("1")).then(|| Self::parse(map))
    }

    fn parse(map: &BTreeMap<String, String>) -> Result<Self, String> {
        let schema: String = field(map, SCHEMA)?;
        if schema != "1" {
            return Err(format!("its label `{SCHEMA}` is `{}`, a version this program does not know", shown(&schema)));
        }
        Ok(Self {
            owner: field(map, OWNER)?,
            lease_id: field(map, LEASE)?,
            run_id: field(map, RUN)?,
            workspace: field(map, WORKSPACE)?,
            tier: field(map, TIER)?,
            attempt: field(map, ATTEMPT)?,
            created_at: time(map, CREATED)?,
            expires_at: time(map, EXPIRES)?,
            hard_deadline: time(map, MAX)?,
            // Only used to remove sooner what a deadline removes anyway.
            holder: map.get(HOLDER).and_then(|holder| holder.parse().ok()),
            may_be_kept: map.contains_key(KEEP),
        })
    }
}

fn field<T: std::str::FromStr>(map: &BTreeMap<String, String>, key: &str) -> Result<T, String> {
    let value = map.get(key).ok_or_else(|| format!("its label `{key}` is missing"))?;
    value.parse().map_err(|_| format!("its label `{key}` is `{}`", shown(value)))
}

fn time(map: &BTreeMap<String, String>, key: &str) -> Result<Timestamp, String> {
    let seconds: i64 = field(map, key)?;
    Timestamp::from_second(seconds).map_err(|_| format!("its label `{key}` is `{seconds}`"))
}

fn shown(value: &str) -> String {
    crate::sanitise::line(value)
}

/// A value that any provider accepts as a label. Tier names are the user's.
fn label_value(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(63)
        .collect();
    let plain = plain.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if plain.is_empty() { "tier".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        let at = |second| Timestamp::from_second(second).unwrap();
        Labels {
            owner: OwnerId::derive("x"),
            lease_id: LeaseId::new(),
            run_id: RunId::new(),
            workspace: "shop".parse().unwrap(),
            tier: "cax21".to_owned(),
            attempt: 2,
            created_at: at(1_000),
            expires_at: at(2_000),
            hard_deadline: at(3_000),
            holder: Holder::current(),
            may_be_kept: true,
        }
    }

    #[test]
    fn labels_read_back_and_any_provider_takes_them() {
        let labels = labels();
        let map = labels.to_map();
        assert_eq!(Labels::from_map(&map).unwrap().unwrap(), labels);
        for (key, value) in &map {
            let fits = |text: &str| {
                text.len() <= 63
                    && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && text.ends_with(|c: char| c.is_ascii_alphanumeric())
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            };
            assert!(fits(key) && fits(value), "{key}={value}");
        }
        let odd = Labels { tier: "größe 8/16 ".to_owned(), ..labels };
        assert_eq!(odd.to_map()[TIER], "gr--e-8-16");
    }

    #[test]
    fn what_is_not_whole_is_told_apart_from_what_is_not_ours() {
        assert_eq!(Labels::from_map(&BTreeMap::new()), None);
        let whole = labels().to_map();
        for key in [SCHEMA, OWNER, LEASE, RUN, WORKSPACE, TIER, ATTEMPT, CREATED, EXPIRES, MAX] {
            let mut map = whole.clone();
            map.remove(key);
            let why = Labels::from_map(&map).unwrap().unwrap_err();
            assert!(why.contains(key), "{why}");
            let mut map = whole.clone();
            map.insert(key.to_owned(), "\u{1b}[31mno no".to_owned());
            // A tier is any text.
            if key != TIER {
                let why = Labels::from_map(&map).unwrap().unwrap_err();
                assert!(why.contains(key) && !why.contains('\u{1b}'), "{why}");
            }
        }
    }
}
