//! `runners gc`: removes the runners that nobody needs any more, and says what was left and why.

use std::fmt::Write as _;

use super::args::GcArgs;
use super::release::release_now;
use super::site::Site;
use super::survey::{Known, Survey, survey};
use crate::custody::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::report::CommandDocument;
use crate::report::runners::{GcAction, GcItem, RunnersGc};
use crate::report::units;
use crate::sanitise;

/// Sweeps, and goes on whatever fails.
///
/// # Errors
/// As [`Site::open`] and [`survey`].
pub(super) async fn gc(args: &GcArgs, site: &Site) -> Result<CommandDocument<RunnersGc>> {
    let mut survey = survey(site, args.dry_run).await?;
    let fault = survey.fault();
    let Survey { runners, unreadable, warnings, .. } = survey;
    let items = futures_util::future::join_all(runners.into_iter().map(|known| item(known, site))).await;
    let unconfirmed = items.iter().filter(|item| item.action == GcAction::Unconfirmed);
    let unconfirmed: Vec<String> = unconfirmed.map(|item| format!("`{}`", item.name)).collect();
    let body = RunnersGc { dry_run: args.dry_run, owner: Some(site.owner.clone()), items, unreadable };
    let document = CommandDocument::done(body, warnings);
    if unconfirmed.is_empty() {
        return Ok(match fault {
            // What may be there is not known.
            Some(error) => document.because(&error),
            None => document,
        });
    }
    let what = format!("these runners had to go and may still exist: {}", unconfirmed.join(", "));
    let error = Error::new(ErrorKind::ReleaseUnconfirmed, what);
    Ok(document.because(&error.hint("`lian-build runners gc` tries again")))
}

async fn item(known: Known, site: &Site) -> GcItem {
    let removed = match (&known.verdict, &known.lease_id, known.removed.as_ref()) {
        // Its reaper may be at it in this moment.
        (Verdict::Remove(why), Some(lease), Some(Err(_))) => Some(release_now(site, lease, &known, why).await),
        _ => known.removed,
    };
    let (action, reason) = match (known.verdict, &removed) {
        (Verdict::Keep(why) | Verdict::Remove(why) | Verdict::Suspicious(why), Some(Err(_))) => {
            (GcAction::Unconfirmed, why)
        }
        (Verdict::Remove(why), Some(Ok(_))) => (GcAction::Removed, why),
        (Verdict::Remove(why), None) => (GcAction::WouldRemove, why),
        (Verdict::Keep(why), _) => (GcAction::Left, why),
        (Verdict::Suspicious(why), _) => (GcAction::Suspicious, why),
    };
    GcItem {
        name: sanitise::line(&known.name),
        lease_id: known.lease_id,
        provider: known.provider,
        action,
        reason: sanitise::line(&reason),
        error: removed.and_then(Result::err).map(|error| error.message()),
    }
}

/// What was done, for people: grouped, the important things first.
pub(super) fn text(gc: &RunnersGc) -> String {
    let groups = [
        (GcAction::Unconfirmed, "had to go and may still exist"),
        (GcAction::Removed, "removed"),
        (GcAction::WouldRemove, "would be removed"),
        (GcAction::Suspicious, "suspicious, left"),
        (GcAction::Left, "left"),
    ];
    let mut text = String::new();
    for (action, title) in groups {
        let items: Vec<&GcItem> = gc.items.iter().filter(|item| item.action == action).collect();
        if items.is_empty() {
            continue;
        }
        let count = units::count(u64::try_from(items.len()).unwrap_or(u64::MAX), "runner");
        let _ = writeln!(text, "{title}: {count}");
        for item in items {
            let _ = writeln!(text, "  {}  {}  {}", item.name, item.provider, item.reason);
            if let Some(error) = &item.error {
                let _ = writeln!(text, "    {}", sanitise::line(error));
            }
        }
    }
    for record in &gc.unreadable {
        let _ = writeln!(text, "cannot be read, left: {}: {}", sanitise::line(&record.path), record.reason);
    }
    if text.is_empty() {
        text.push_str("no runners: nothing to remove\n");
    }
    text
}
