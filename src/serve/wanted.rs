//! [`Wanted`]: a request for a lease that was checked. Everything of it is input of somebody who is not trusted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::refusal::Refusal;
use crate::ids::{LeaseId, RunId, Workspace};
use crate::lease::{AuthorizedKey, Labels};
use crate::plan::{Tier, Tiers};
use crate::pool_api::{Code, CreateLease};
use crate::sanitise;

/// The shortest time between two renewals, in seconds. Shortly before its hard deadline a client asks for what is left.
const LEAST_TTL_S: u64 = 1;

/// Most labels of one lease.
const MOST_LABELS: usize = 32;

/// The labels whose meaning the pool and its providers have.
const RESERVED: &[&str] = &["pool-", "hetzner.cloud/", "lian"];

/// Most cpus, GB of memory and GB of disk that are a number and no mistake.
const MOST: (u32, f64, u32) = (1024, 1_048_576.0, 1_048_576);

/// A request for a lease that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// What is built.
    pub workspace: Workspace,
    /// The run that asks.
    pub run_id: RunId,
    /// 1 for the first attempt of a run.
    pub attempt: u32,
    /// The provider that is asked for; `None` leaves it to the pool.
    pub provider: Option<String>,
    /// How large the runner is.
    pub tier: Tier,
    /// False where less memory than the tier's would do.
    pub memory_is_explicit: bool,
    /// As OCI names it.
    pub architecture: String,
    /// The key that opens it.
    pub ssh_public_key: AuthorizedKey,
    /// For how long it is held without a renewal.
    pub ttl_s: u64,
    /// For how long at most.
    pub max_ttl_s: u64,
    /// What the caller wants to find again on it.
    pub labels: BTreeMap<String, String>,
}

impl Wanted {
    /// Checks a request. `lease` is the name that its key gives it.
    ///
    /// # Errors
    /// `invalid` for what cannot be, `over_policy` for what nobody gets.
    pub fn check(body: CreateLease, lease: &LeaseId, tiers: &Tiers, limits: &Limits) -> Result<Self, Refusal> {
        let workspace: Workspace = body.workspace.parse().map_err(|_| {
            Refusal::invalid(format!("`workspace` is `{}`, which is no name of one", short(&body.workspace)))
        })?;
        if let Some(provider) = &body.provider
            && !is_word(provider)
        {
            return Err(Refusal::invalid(format!("`provider` is `{}`, which is no name of one", short(provider))));
        }
        if !matches!(body.arch.as_str(), "arm64" | "amd64") {
            return Err(Refusal::invalid(format!("`arch` is `{}`: it is `arm64` or `amd64`", short(&body.arch))));
        }
        let tier = tier(&body, tiers)?;
        let ssh_public_key: AuthorizedKey = body
            .ssh_public_key
            .parse()
            .map_err(|error: crate::error::Error| Refusal::invalid(format!("`ssh_public_key`: {error}")))?;
        let max_ttl_s = within("max_ttl_s", body.max_ttl_s, limits.max_ttl_s)?;
        let ttl_s = within("ttl_s", body.ttl_s, limits.ttl_s)?.min(max_ttl_s);
        let own = own_labels(&body.labels, lease, &workspace)?;
        Ok(Self {
            run_id: own.as_ref().map_or_else(RunId::new, |own| own.run_id),
            attempt: own.as_ref().map_or(1, |own| own.attempt),
            workspace,
            provider: body.provider,
            tier,
            memory_is_explicit: body.memory_is_explicit,
            architecture: body.arch,
            ssh_public_key,
            ttl_s,
            max_ttl_s,
            labels: body.labels,
        })
    }
}

/// A time that is bounded from both sides.
///
/// # Errors
/// `invalid` for one that is too short, `over_policy` for one that is too long.
pub(super) fn within(name: &str, seconds: u64, most: u64) -> Result<u64, Refusal> {
    if seconds < LEAST_TTL_S {
        return Err(Refusal::invalid(format!("`{name}` is {seconds}: it is at least {LEAST_TTL_S} second")));
    }
    if seconds > most {
        return Err(Refusal::new(
            Code::OverPolicy,
            format!("`{name}` is {seconds}: this pool gives {most} seconds at most"),
        ));
    }
    Ok(seconds)
}

/// The tier: the one that is named, which has to hold what is asked for, or else the smallest that does.
fn tier(body: &CreateLease, tiers: &Tiers) -> Result<Tier, Refusal> {
    let (cpu, memory, disk) = MOST;
    if body.cpu == 0 || body.cpu > cpu {
        return Err(Refusal::invalid(format!("`cpu` is {}: it is between 1 and {cpu}", body.cpu)));
    }
    if !(body.memory_gb > 0.0 && body.memory_gb <= memory) {
        return Err(Refusal::invalid(format!(
            "`memory_gb` is {}: it is above 0, and at most {memory}",
            body.memory_gb
        )));
    }
    if body.disk_gb > disk {
        return Err(Refusal::invalid(format!("`disk_gb` is {}: it is at most {disk}", body.disk_gb)));
    }
    let holds = |tier: &Tier| tier.cpu >= body.cpu && tier.memory_gb >= body.memory_gb && tier.disk_gb >= body.disk_gb;
    let asked = format!("{} cpu, {} GB of memory and {} GB of disk", body.cpu, body.memory_gb, body.disk_gb);
    match &body.runner_type {
        Some(name) => {
            let tier = tiers.get(name).ok_or_else(|| {
                let known: Vec<&str> = tiers.iter().map(|tier| tier.name.as_str()).collect();
                Refusal::invalid(format!("there is no tier `{}`; there are: {}", short(name), known.join(", ")))
            })?;
            if !holds(tier) {
                return Err(Refusal::invalid(format!("{asked} do not fit in the tier `{}`", tier.name)));
            }
            Ok(tier.clone())
        }
        None => tiers
            .iter()
            .find(|tier| holds(tier))
            .cloned()
            .ok_or_else(|| Refusal::new(Code::OverPolicy, format!("{asked} fit in no tier of this pool"))),
    }
}

/// Reads the labels that a client of this project sends; `None` where there are none. They have to say what the request says,
/// and no other label may look like one of ours or of a provider.
fn own_labels(
    labels: &BTreeMap<String, String>,
    lease: &LeaseId,
    workspace: &Workspace,
) -> Result<Option<Labels>, Refusal> {
    if labels.len() > MOST_LABELS {
        return Err(Refusal::invalid(format!("there are {} labels: {MOST_LABELS} at most", labels.len())));
    }
    for (key, value) in labels {
        if !is_label(key) || !(value.is_empty() || is_label(value)) {
            return Err(Refusal::invalid(format!(
                "the label `{}` is none: keys and values are at most 63 of `A-Za-z0-9._-`",
                short(key)
            )));
        }
    }
    let own = match Labels::from_map(labels) {
        None => None,
        Some(Ok(own)) => Some(own),
        Some(Err(why)) => return Err(Refusal::invalid(format!("the labels are not whole: {why}"))),
    };
    let known = own.as_ref().map(Labels::to_map).unwrap_or_default();
    for key in labels.keys().filter(|key| !known.contains_key(*key)) {
        if let Some(reserved) = RESERVED.iter().find(|reserved| key.starts_with(**reserved)) {
            return Err(Refusal::invalid(format!(
                "the label `{}` is reserved: it begins with `{reserved}`",
                short(key)
            )));
        }
    }
    if let Some(own) = &own
        && (own.lease_id != *lease || own.workspace != *workspace)
    {
        return Err(Refusal::invalid("the labels name another lease or workspace than the request"));
    }
    Ok(own)
}

fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && bytes.iter().all(|byte| is_inner(*byte)) && is_edge(bytes.first()) && is_edge(bytes.last())
}

fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A part of what was sent, for an answer.
fn short(text: &str) -> String {
    sanitise::short(text, 80)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::lease::OwnerId;

    fn tiers() -> Tiers {
        let tier = |name: &str, cpu, memory_gb| Tier { name: name.to_owned(), cpu, memory_gb, disk_gb: 40 };
        Tiers::new(vec![tier("small", 2, 4.0), tier("large", 8, 16.0)]).unwrap()
    }

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

    fn body(change: Value) -> CreateLease {
        let mut body = json!({ "workspace": "shop", "cpu": 2, "memory_gb": 4.0, "arch": "arm64", "ssh_public_key": KEY,
            "ttl_s": 600, "max_ttl_s": 3600 });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(body).unwrap()
    }

    fn check(change: Value) -> Result<Wanted, Refusal> {
        Wanted::check(body(change), &LeaseId::new(), &tiers(), &Limits::default())
    }

    #[test]
    fn a_tier_is_named_or_the_smallest_that_holds_it() {
        assert_eq!(check(json!({})).unwrap().tier.name, "small");
        assert_eq!(check(json!({ "cpu": 3 })).unwrap().tier.name, "large");
        assert_eq!(check(json!({ "runner_type": "large" })).unwrap().tier.name, "large");
        assert_eq!(check(json!({ "cpu": 9 })).unwrap_err().code, Code::OverPolicy);
        for bad in [json!({ "runner_type": "huge" }), json!({ "runner_type": "small", "cpu": 3 })] {
            assert_eq!(check(bad).unwrap_err().code, Code::Invalid);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            json!({ "workspace": "../x" }),
            json!({ "workspace": "" }),
            json!({ "provider": "no such\nthing" }),
            json!({ "arch": "riscv64" }),
            json!({ "cpu": 0 }),
            json!({ "memory_gb": 0.0 }),
            json!({ "memory_gb": -1.0 }),
            json!({ "disk_gb": 4_000_000 }),
            json!({ "ttl_s": 0 }),
            json!({ "max_ttl_s": 0 }),
            json!({ "ssh_public_key": format!("{KEY}\n{KEY}") }),
            json!({ "ssh_public_key": format!("command=\"x\" {KEY}") }),
            json!({ "labels": { "lian-owner": "0123456789ab" } }),
            json!({ "labels": { "lian-managed": "1" } }),
            json!({ "labels": { "pool-x": "1" } }),
            json!({ "labels": { "a b": "1" } }),
            json!({ "labels": { "a": "x\ny" } }),
        ] {
            let refused = check(bad.clone()).unwrap_err();
            assert_eq!(refused.code, Code::Invalid, "{bad}");
            assert!(!refused.why.contains('\n'), "{refused:?}");
        }
        for bad in [json!({ "ttl_s": 7201 }), json!({ "max_ttl_s": u64::MAX })] {
            assert_eq!(check(bad).unwrap_err().code, Code::OverPolicy);
        }
        assert_eq!(check(json!({ "ttl_s": 3600, "max_ttl_s": 60 })).unwrap().ttl_s, 60);
    }

    #[test]
    fn the_labels_of_a_client_have_to_say_what_the_request_says() {
        let (lease, now) = (LeaseId::new(), Timestamp::UNIX_EPOCH);
        let labels = Labels {
            owner: OwnerId::derive("x"),
            lease_id: lease.clone(),
            run_id: RunId::new(),
            workspace: "shop".parse().unwrap(),
            tier: "small".to_owned(),
            attempt: 2,
            created_at: now,
            expires_at: now,
            hard_deadline: now,
            holder: None,
            may_be_kept: false,
        };
        let with = |labels: &Labels, lease: &LeaseId| {
            let mut map = labels.to_map();
            map.insert("team".to_owned(), "blue".to_owned());
            Wanted::check(body(json!({ "labels": map })), lease, &tiers(), &Limits::default())
        };
        let wanted = with(&labels, &lease).unwrap();
        assert_eq!((wanted.run_id, wanted.attempt), (labels.run_id, 2));
        assert_eq!(wanted.labels["team"], "blue");
        assert_eq!(with(&labels, &LeaseId::new()).unwrap_err().code, Code::Invalid);
        let other = Labels { workspace: "other".parse().unwrap(), ..labels };
        assert_eq!(with(&other, &lease).unwrap_err().code, Code::Invalid);
    }
}
