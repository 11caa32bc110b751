//! `runners list`: the runners there are, whose they are, and what `gc` would do with them.

use jiff::{SignedDuration, Timestamp};

use super::args::ListArgs;
use super::site::Site;
use super::survey::{Known, Survey, survey};
use super::table::Table;
use crate::custody::Verdict;
use crate::error::Result;
use crate::report::CommandDocument;
use crate::report::runners::{GcAdvice, GcVerdict, RunnerInfo, RunnersList};
use crate::report::units;
use crate::sanitise;

/// Looks, and touches nothing.
///
/// # Errors
/// As [`Site::open`] and [`survey`].
pub(super) async fn list(args: &ListArgs, site: &Site) -> Result<CommandDocument<RunnersList>> {
    let mut survey = survey(site, true).await?;
    let fault = survey.fault();
    let Survey { runners, unreadable, warnings, .. } = survey;
    let now = site.services.clock.now();
    let all = runners.len();
    let shown: Vec<RunnerInfo> = runners
        .iter()
        .filter(|known| args.all_owners || concerns_us(known, site, now))
        .map(|known| info(known, site))
        .collect();
    let hidden = u64::try_from(all - shown.len()).unwrap_or(u64::MAX);
    let body = RunnersList { owner: Some(site.owner.clone()), runners: shown, hidden, unreadable };
    let document = CommandDocument::done(body, warnings);
    Ok(match fault {
        Some(error) => document.because(&error),
        None => document,
    })
}

/// Ours, or something is wrong with it.
fn concerns_us(known: &Known, site: &Site, now: Timestamp) -> bool {
    let is_past = known.labels().is_none_or(|labels| now > labels.hard_deadline);
    is_past || !matches!(known.verdict, Verdict::Keep(_)) || known.is_ours(site)
}

fn info(known: &Known, site: &Site) -> RunnerInfo {
    let labels = known.labels();
    let labels = labels.as_ref();
    let listed = known.listed.as_ref();
    let renewed = [listed.and_then(|listed| listed.renewed_until), labels.map(|labels| labels.expires_at)];
    let recorded = known.recorded.as_ref().map(|recorded| &recorded.record);
    let until = renewed.into_iter().chain([recorded.map(|record| record.labels.expires_at)]).flatten().max();
    RunnerInfo {
        name: sanitise::line(&known.name),
        lease_id: known.lease_id.clone(),
        provider: known.provider.clone(),
        owner: labels.map(|labels| labels.owner.clone()),
        ours: known.is_ours(site),
        workspace: labels.map(|labels| labels.workspace.clone()),
        run_id: labels.map(|labels| labels.run_id),
        tier: labels.map(|labels| sanitise::line(&labels.tier)),
        attempt: labels.map(|labels| labels.attempt),
        since: labels.map(|labels| seconds(labels.created_at)),
        until: until.map(seconds),
        hard_deadline: labels.map(|labels| seconds(labels.hard_deadline)),
        kept_until: known.kept_until().map(seconds),
        state: recorded.map(|record| record.state.name().to_owned()),
        status: listed.map(|listed| listed.status),
        holder: known.holder().into(),
        reaper: known.reaper().map(Into::into),
        cost: listed.and_then(|listed| listed.cost.clone()),
        gc: advice(&known.verdict),
    }
}

/// What a sweep decided, as it is written.
fn advice(verdict: &Verdict) -> GcAdvice {
    let (verdict, reason) = match verdict {
        Verdict::Remove(why) => (GcVerdict::Remove, why),
        Verdict::Keep(why) => (GcVerdict::Keep, why),
        Verdict::Suspicious(why) => (GcVerdict::Suspicious, why),
    };
    GcAdvice { verdict, reason: sanitise::line(reason) }
}

/// Whole seconds: a list is no measurement.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// The list for people.
pub(super) fn text(list: &RunnersList, now: Timestamp) -> String {
    let mut table =
        Table::new(&["LEASE", "PROVIDER", "WORKSPACE", "TIER", "STATE", "HOLDER", "AGE", "ENDS", "COST", "GC"]);
    for runner in &list.runners {
        let gc = match runner.gc.verdict {
            GcVerdict::Remove => format!("remove: {}", runner.gc.reason),
            GcVerdict::Keep => format!("keep: {}", runner.gc.reason),
            GcVerdict::Suspicious => format!("SUSPICIOUS, left: {}", runner.gc.reason),
        };
        let whose = match &runner.owner {
            Some(owner) if !runner.ours => format!(" (owner {owner})"),
            _ => String::new(),
        };
        let cost = runner.cost.as_ref().map(|cost| format!("{} {}", cost.amount, cost.currency));
        table.row([
            runner.name.clone(),
            runner.provider.clone(),
            runner.workspace.as_ref().map_or_else(|| "?".to_owned(), |workspace| format!("{workspace}{whose}")),
            runner.tier.clone().unwrap_or_else(|| "?".to_owned()),
            state(runner),
            runner.holder.as_str().to_owned(),
            runner.since.as_deref().map_or_else(|| "?".to_owned(), |since| age(since, now)),
            runner.kept_until.as_ref().or(runner.until.as_ref()).map_or_else(|| "?".to_owned(), |at| away(at, now)),
            cost.unwrap_or_else(|| "-".to_owned()),
            gc,
        ]);
    }
    let mut text = if list.runners.is_empty() { "no runners\n".to_owned() } else { table.text() };
    for record in &list.unreadable {
        text.push_str(&sanitise::line(&format!("cannot be read, left: {}: {}", record.path, record.reason)));
        text.push('\n');
    }
    if list.hidden > 0 {
        let count = units::count(list.hidden, "runner");
        text.push_str(&format!("{count} of other owners not shown; `--all-owners` shows them too\n"));
    }
    text
}

/// Where it stands, in a word or two.
fn state(runner: &RunnerInfo) -> String {
    let status = runner.status.map(|status| match status {
        crate::provider::RunnerStatus::Starting => "starting",
        crate::provider::RunnerStatus::Running => "running",
        crate::provider::RunnerStatus::Stopped => "stopped",
        crate::provider::RunnerStatus::Unknown => "unknown",
    });
    match (runner.state.as_deref(), status) {
        (Some(state), Some(status)) => format!("{state}, {status}"),
        (Some(state), None) => format!("{state}, not listed"),
        (None, Some(status)) => status.to_owned(),
        (None, None) => "?".to_owned(),
    }
}

fn age(since: &str, now: Timestamp) -> String {
    since.parse::<Timestamp>().map_or_else(|_| "?".to_owned(), |since| span(now.duration_since(since)))
}

/// How far away a deadline is.
fn away(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return "?".to_owned() };
    let left = at.duration_since(now);
    if left.is_negative() { format!("{} ago", span(left.abs())) } else { format!("in {}", span(left)) }
}

fn span(span: SignedDuration) -> String {
    match span.as_secs().unsigned_abs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds => units::duration(std::time::Duration::from_secs(seconds)),
    }
}
