//! `runners release`: releases leases by their ids, wherever they were leased from.

use std::time::Duration;

use tokio::time::Instant;

use super::args::ReleaseArgs;
use super::pick::pick;
use super::site::Site;
use super::survey::{Known, OTHER_BACKEND, Survey, survey};
use crate::custody;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Holder, HolderState};
use crate::provider::Released;
use crate::report::CommandDocument;
use crate::report::runners::{ReleaseItem, ReleaseOutcome, RunnersRelease};
use crate::sanitise;

/// How often it is looked whether another process has released a lease.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why, as the record says it.
const WHY: &str = "`runners release` was asked for it";

/// How long a reaper that is at it is waited for.
const REAPER_LIMIT: Duration = Duration::from_secs(60);

/// Releases what was named. Whatever is refused is refused before the first is released; then one that fails does not
/// stop the others.
///
/// # Errors
/// `Usage` for an id that names no runner, or one that must not be released; `State` when the journal cannot be read.
pub(super) async fn release(args: &ReleaseArgs, site: &Site) -> Result<CommandDocument<RunnersRelease>> {
    let Survey { runners, warnings, fault, is_incomplete, .. } = survey(site, true).await?;
    if let Some(error) = fault {
        return Err(error);
    }
    let leases: Vec<LeaseId> = runners.iter().filter_map(|known| known.lease_id.clone()).collect();
    let mut targets: Vec<(LeaseId, Option<&Known>)> = Vec::new();
    for said in &args.ids {
        let lease = pick(said, &leases)?;
        let known = runners.iter().find(|known| known.lease_id.as_ref() == Some(&lease));
        if let Some(known) = known {
            may_be_released(known, args, site)?;
        }
        if targets.iter().all(|(other, _)| *other != lease) {
            targets.push((lease, known));
        }
    }
    let mut items = Vec::with_capacity(targets.len());
    for (lease, known) in targets {
        let released = match known {
            Some(known) => release_known(site, &lease, known).await,
            None if !is_incomplete => Ok(Released::AlreadyGone),
            None => Err(unconfirmed("not every provider could be asked for it")),
        };
        items.push(item(lease, known, released));
    }
    let failed = items.iter().filter(|item| item.outcome == ReleaseOutcome::Unconfirmed);
    let failed: Vec<String> = failed.map(|item| format!("`{}`", item.lease_id)).collect();
    let document = CommandDocument::done(RunnersRelease { released: items }, warnings);
    if failed.is_empty() {
        return Ok(document);
    }
    let error = unconfirmed(&format!("these runners may still exist: {}", failed.join(", ")));
    Ok(document.because(&error.hint("the same command tries again")))
}

fn item(lease: LeaseId, known: Option<&Known>, released: Result<Released>) -> ReleaseItem {
    let (outcome, error) = match released {
        Ok(Released::Destroyed) => (ReleaseOutcome::Released, None),
        Ok(Released::AlreadyGone) => (ReleaseOutcome::AlreadyGone, None),
        Err(error) => (ReleaseOutcome::Unconfirmed, Some(error.message())),
    };
    ReleaseItem { lease_id: lease, provider: known.map(|known| known.provider.clone()), outcome, error }
}

/// Refuses what is in use, what is somebody else's, and what cannot be proven to be one of lian-build's.
fn may_be_released(known: &Known, args: &ReleaseArgs, site: &Site) -> Result<()> {
    let name = sanitise::line(&known.name);
    if let Some(Err(why)) = known.listed.as_ref().map(|listed| &listed.labels)
        && !known.is_this_users
    {
        return Err(Error::usage(format!("the runner `{name}` cannot be proven to be one of lian-build's: {why}"))
            .hint(format!("remove it with the tools of `{}`, if you know what it is", known.provider)));
    }
    let is_past = known.labels().is_some_and(|labels| site.services.clock.now() > labels.hard_deadline);
    if !args.all_owners && !is_past && !known.is_ours(site) {
        let owner = known.labels().map_or_else(String::new, |labels| labels.owner.to_string());
        return Err(Error::usage(format!("the runner `{name}` belongs to another owner, `{owner}`"))
            .hint("`--owner NAME` says whose runners are yours; `--all-owners` releases it all the same"));
    }
    let is_held = known.recorded.as_ref().is_some_and(|recorded| recorded.held);
    let in_use = known.kept_until().is_none()
        && match known.holder() {
            HolderState::Alive => true,
            HolderState::Dead => false,
            HolderState::Unknown => is_held,
        };
    if !in_use {
        return Ok(());
    }
    let holder = known.labels().and_then(|labels| labels.holder);
    let process = holder.map_or_else(|| "a process".to_owned(), |holder| format!("the process {}", holder.pid()));
    Err(Error::usage(format!("the runner `{name}` is in use: {process} builds on it"))
        .hint("end that build, with Ctrl-C say; its runner goes with it"))
}

async fn release_known(site: &Site, lease: &LeaseId, known: &Known) -> Result<Released> {
    if let Some(recorded) = &known.recorded
        && let Some(reaper) = &recorded.record.reaper
    {
        if known.kept_until().is_some() {
            end(reaper)?;
        }
        if was_released_by(reaper, site, lease).await? {
            // A record that is not there proves nothing: the provider has the last word.
            release_now(site, lease, known, WHY).await?;
            return Ok(Released::Destroyed);
        }
    }
    release_now(site, lease, known, WHY).await
}

/// Tells a reaper to do its work now.
fn end(reaper: &Holder) -> Result<()> {
    let pid = i32::try_from(reaper.pid()).ok().and_then(rustix::process::Pid::from_raw);
    match pid.filter(|_| reaper.state() == HolderState::Alive) {
        Some(pid) => rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .or_else(|error| if error == rustix::io::Errno::SRCH { Ok(()) } else { Err(error) })
            .context(ErrorKind::Provider, || format!("the process {} that keeps it cannot be told", reaper.pid())),
        None => Ok(()),
    }
}

/// Waits until a reaper, which is at it, has released the lease and taken it off the record; false when it ended without,
/// or is at it too long.
async fn was_released_by(reaper: &Holder, site: &Site, lease: &LeaseId) -> Result<bool> {
    let deadline = Instant::now() + REAPER_LIMIT;
    loop {
        let lives = reaper.state() == HolderState::Alive;
        let (records, _) = site.journal.read()?;
        if !records.iter().any(|recorded| recorded.record.labels.lease_id == *lease) {
            return Ok(true);
        }
        if !lives || Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Destroys a runner that no living process needs, and takes it off the record.
///
/// # Errors
/// `ReleaseUnconfirmed` when something may be left; then it stays on record.
pub(super) async fn release_now(site: &Site, lease: &LeaseId, known: &Known, reason: &str) -> Result<Released> {
    let Some(provider) = site.providers.iter().find(|provider| provider.name() == known.provider) else {
        return Err(unconfirmed(&format!("its provider `{}` cannot be asked", known.provider)));
    };
    if known.recorded.as_ref().is_some_and(|recorded| recorded.record.backend != provider.backend()) {
        return Err(unconfirmed(OTHER_BACKEND));
    }
    let clock = site.services.clock.as_ref();
    custody::release(provider.as_ref(), &site.journal, lease, reason, clock, site.timing.release_limit).await
}

fn unconfirmed(why: &str) -> Error {
    Error::new(ErrorKind::ReleaseUnconfirmed, why)
}

/// What was done, for people: a line for each.
pub(super) fn text(release: &RunnersRelease) -> String {
    release.released.iter().fold(String::new(), |text, item| {
        let lease = &item.lease_id;
        text + &match (item.outcome, &item.error) {
            (ReleaseOutcome::Released, _) => format!("released {lease}\n"),
            (ReleaseOutcome::AlreadyGone, _) => format!("already gone: {lease}\n"),
            (ReleaseOutcome::Unconfirmed, error) => {
                let why = error.as_deref().map(sanitise::line).unwrap_or_default();
                format!("may still exist: {lease}: {why}\n")
            }
        }
    })
}
