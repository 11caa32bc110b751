//! The history of builds, as callers of a pool read and write it. What they send is input.

use jiff::Timestamp;

use super::refusal::Refusal;
use super::token::Token;
use crate::error::{Error, ErrorKind};
use crate::ids::{Actor, Workspace};
use crate::plan::Tiers;
use crate::pool_api::{Accepted, Approved, Code, P95, PostMetrics};
use crate::record::{Advice, AttemptRecord, Metrics, StateStore};
use crate::report::envelope::Outcome;
use crate::sanitise;

/// The longest word of a document: a platform, a kind of build.
const LONGEST_WORD: usize = 64;

/// No attempt takes longer, in seconds: a week.
const LONGEST: f64 = 7.0 * 24.0 * 3600.0;

/// No runner has more of anything.
const MOST: f64 = 1_048_576.0;

/// What past runs of a workspace say: `workspace=…`, and `platform=…` where there are several; `None` without history.
///
/// # Errors
/// `invalid` for a query that is none, `over_policy` for a workspace that the token may not have.
pub(super) async fn p95(store: &dyn StateStore, token: &Token, query: &str) -> Result<Option<P95>, Refusal> {
    let values = |name: &str| -> Vec<String> {
        url::form_urlencoded::parse(query.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    };
    let workspace = match values("workspace").as_slice() {
        [workspace] => of_token(token, workspace)?,
        _ => return Err(Refusal::invalid("`workspace` is needed, once")),
    };
    let platform = match values("platform").as_slice() {
        [] => match newest_platform(store, &workspace).await? {
            Some(platform) => platform,
            None => return Ok(None),
        },
        [platform] => word("platform", platform)?,
        _ => return Err(Refusal::invalid("`platform` stands there more than once")),
    };
    let advice = store.advice(&workspace, &platform).await.map_err(|error| internal(&error))?;
    let Advice { samples, cpu_p95, cpu_at_least, mem_p95, mem_more_than, approved } = advice;
    if samples == 0 && cpu_at_least.is_none() && mem_more_than.is_none() && approved.is_none() {
        return Ok(None);
    }
    Ok(Some(P95 {
        workspace: workspace.to_string(),
        cpu_p95: cpu_p95.or(cpu_at_least).unwrap_or_default(),
        mem_p95: mem_p95.or(mem_more_than).unwrap_or_default(),
        samples,
        cpu_at_least,
        mem_more_than,
        approved: approved.map(|approved| Approved {
            cpu: approved.cpu,
            memory_gb: approved.memory_gb,
            by: approved.by,
            at: approved.at,
        }),
    }))
}

/// Keeps an attempt.
///
/// # Errors
/// `invalid` for what no attempt has, `over_policy` for a workspace that the token may not have.
pub(super) async fn record(
    store: &dyn StateStore,
    token: &Token,
    tiers: &Tiers,
    body: PostMetrics,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    let workspace = of_token(token, &body.workspace)?;
    let tier = tiers.get(&body.runner_type);
    let size = |name: &str, sent: Option<f64>, of_tier: Option<f64>| match sent.or(of_tier) {
        Some(value) => number(name, value, MOST),
        None => Err(Refusal::invalid(format!("`{name}` is needed: the tier is not one of this pool"))),
    };
    let metrics = match (body.cpu_p95, body.mem_p95, body.mem_peak) {
        (None, None, None) => None,
        (Some(cpu), Some(mem), Some(peak)) => Some(Metrics {
            cpu_p95: number("cpu_p95", cpu, MOST)?,
            mem_p95: number("mem_p95", mem, MOST)?,
            mem_peak: number("mem_peak", peak, MOST)?,
        }),
        _ => return Err(Refusal::invalid("`cpu_p95`, `mem_p95` and `mem_peak` come together, or not at all")),
    };
    let attempt = AttemptRecord {
        run_id: body.run_id.parse().map_err(|_| Refusal::invalid("`run_id` is no UUID"))?,
        workspace,
        platform: word("platform", &body.platform)?,
        build_kind: word("build_kind", &body.build_kind)?,
        actor: Actor::from_word(&body.actor).ok_or_else(|| Refusal::invalid("`actor` is none that is known"))?,
        attempt: body.attempt,
        cpu: size("cpu", body.cpu, tier.map(|tier| f64::from(tier.cpu)))?,
        memory_gb: size("memory_gb", body.memory_gb, tier.map(|tier| tier.memory_gb))?,
        runner_type: word("runner_type", &body.runner_type)?,
        outcome: Outcome::from_word(&body.outcome)
            .ok_or_else(|| Refusal::invalid("`outcome` is none that is known"))?,
        metrics,
        // The lease's own row has what it cost.
        cost: None,
        seconds: number("seconds", body.seconds, LONGEST)?,
        at: now,
    };
    if !(1..=100).contains(&attempt.attempt) {
        return Err(Refusal::invalid("`attempt` is between 1 and 100"));
    }
    store.record(attempt).await.map_err(|error| match error.kind() {
        // It is not said whose it is.
        ErrorKind::OverPolicy => Refusal::new(Code::OverPolicy, "this run is not one of this workspace"),
        _ => internal(&error),
    })?;
    Ok(Accepted { accepted: true })
}

async fn newest_platform(store: &dyn StateStore, workspace: &Workspace) -> Result<Option<String>, Refusal> {
    let newest = store.history(Some(workspace), 1).await.map_err(|error| internal(&error))?;
    Ok(newest.into_iter().next().map(|attempt| attempt.platform))
}

fn of_token(token: &Token, workspace: &str) -> Result<Workspace, Refusal> {
    let workspace: Workspace = workspace.parse().map_err(|_| {
        Refusal::invalid(format!("`workspace` is `{}`, which is no name of one", sanitise::short(workspace, 80)))
    })?;
    if token.scope.has_workspace(&workspace) {
        Ok(workspace)
    } else {
        Err(Refusal::new(Code::OverPolicy, format!("this token may not have the workspace `{workspace}`")))
    }
}

fn word(name: &str, text: &str) -> Result<String, Refusal> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
    if (1..=LONGEST_WORD).contains(&text.len()) && is_plain {
        Ok(text.to_owned())
    } else {
        Err(Refusal::invalid(format!("`{name}` is at most {LONGEST_WORD} of `A-Za-z0-9._/-`")))
    }
}

fn number(name: &str, value: f64, most: f64) -> Result<f64, Refusal> {
    // Not a number is in no range.
    if (0.0..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::invalid(format!("`{name}` is {value}: it is between 0 and {most}")))
    }
}

fn internal(error: &Error) -> Refusal {
    tracing::error!(%error, "the history");
    Refusal::internal()
}
