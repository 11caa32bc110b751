//! [`Survey`]: everything that is known of every runner: what its provider says, what is on record, and what a sweep
//! decides, or did.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::site::{Site, cannot_be_asked};
use crate::custody::{Swept, Verdict, sweep};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Holder, HolderState, Labels, LeaseState, Recorded};
use crate::provider::{Listed, Released, Scope};
use crate::report::runners::UnreadableRecord;

/// Of a lease whose backend is not the one that is asked here: that one's "not found" proves nothing.
pub(super) const OTHER_BACKEND: &str =
    "it was leased from another backend, or as another user, than the one asked here";

/// Everything that is known of one runner.
pub(super) struct Known {
    /// Its name at the provider.
    pub(super) name: String,
    pub(super) lease_id: Option<LeaseId>,
    /// The provider's name.
    pub(super) provider: String,
    /// What its provider says; `None` when it does not have it, or was not asked.
    pub(super) listed: Option<Listed>,
    /// What this user has on record.
    pub(super) recorded: Option<Recorded>,
    /// True when nobody but this user can have made it.
    pub(super) is_this_users: bool,
    /// What a sweep decides.
    pub(super) verdict: Verdict,
    /// How its removal ended, when it was to be removed.
    pub(super) removed: Option<Result<Released>>,
}

/// Everything that is known.
#[derive(Default)]
pub(super) struct Survey {
    /// In the order of their leases.
    pub(super) runners: Vec<Known>,
    pub(super) unreadable: Vec<UnreadableRecord>,
    pub(super) warnings: Vec<String>,
    /// Why the journal cannot be read: then only what providers say is known.
    pub(super) fault: Option<Error>,
    /// True when a provider that may have runners gave no answer. One that this machine does not have is none.
    pub(super) is_incomplete: bool,
}

/// Asks every provider and reads what is on record; unless `dry_run`, what a sweep removes is removed.
///
/// # Errors
/// Whatever keeps a provider that was named from being asked.
pub(super) async fn survey(site: &Site, dry_run: bool) -> Result<Survey> {
    let ((records, unreadable), fault) = match site.journal.read() {
        Ok(read) => (read, None),
        Err(error) => (Default::default(), Some(error)),
    };
    let mut records: BTreeMap<LeaseId, Recorded> =
        records.into_iter().map(|recorded| (recorded.record.labels.lease_id.clone(), recorded)).collect();
    let mut survey = Survey {
        unreadable: unreadable.into_iter().map(unreadable_record).collect(),
        is_incomplete: !site.warnings.is_empty(),
        warnings: site.warnings.clone(),
        fault,
        ..Survey::default()
    };
    let mut answered = Vec::new();
    for provider in &site.providers {
        let clock = site.services.clock.as_ref();
        let sweeping = sweep(provider.as_ref(), &site.journal, &site.owner.id, clock, site.timing, dry_run);
        match sweeping.await {
            Ok(swept) => {
                if let Err(error) = swept.tidied {
                    survey.is_incomplete = true;
                    let name = provider.name();
                    survey
                        .warnings
                        .push(format!("what runners of `{name}` left behind cannot be tidied away: {error}"));
                }
                let is_this_users = provider.capabilities().scope == Scope::ThisUser;
                survey.runners.extend(swept.runners.into_iter().map(|swept| {
                    if let Some(lease) = &swept.lease_id {
                        records.remove(lease);
                    }
                    Known::of(provider.name(), swept, is_this_users)
                }));
                answered.push((provider.name(), provider.backend()));
            }
            Err(error) if site.named.is_some() => return Err(no_answer(error)),
            Err(error) => {
                survey.is_incomplete |= error.kind() != ErrorKind::NoCapacity;
                survey.warnings.push(cannot_be_asked(provider.name(), &error));
            }
        }
    }
    let of_this_provider = |recorded: &Recorded| site.named.is_none_or(|named| named == recorded.record.provider);
    survey.runners.extend(
        records.into_values().filter(of_this_provider).filter_map(|recorded| Known::not_asked_for(recorded, &answered)),
    );
    survey.runners.sort_by(|a, b| (&a.lease_id, &a.name).cmp(&(&b.lease_id, &b.name)));
    Ok(survey)
}

impl Survey {
    /// What makes the answer less than whole: the journal's fault, else that a provider gave none.
    pub(super) fn fault(&mut self) -> Option<Error> {
        let is_incomplete = self.is_incomplete;
        self.fault.take().or_else(|| is_incomplete.then(incomplete))
    }
}

/// A provider that may have runners gave no answer; its warning says why.
fn incomplete() -> Error {
    Error::new(ErrorKind::Provider, "not every provider could be asked, so there may be more runners")
        .hint("`--provider NAME` asks one only")
}

impl Known {
    fn of(provider: &str, swept: Swept, is_this_users: bool) -> Self {
        Self {
            name: swept.name,
            lease_id: swept.lease_id,
            provider: provider.to_owned(),
            listed: swept.listed,
            recorded: swept.recorded,
            is_this_users,
            verdict: swept.verdict,
            removed: swept.removed,
        }
    }

    /// A lease on record that no provider was asked for; `None` for one that was released in this moment.
    fn not_asked_for(recorded: Recorded, answered: &[(&str, String)]) -> Option<Self> {
        let record = &recorded.record;
        let backend = answered.iter().find(|(name, _)| *name == record.provider).map(|(_, backend)| backend);
        let why = match backend {
            Some(backend) if *backend == record.backend => return None,
            Some(_) => OTHER_BACKEND.to_owned(),
            None => format!("its provider `{}` cannot be asked", record.provider),
        };
        // Only its holder's death makes it somebody else's to remove.
        let removed = (!recorded.held).then(|| Err(Error::new(ErrorKind::ReleaseUnconfirmed, &*why)));
        Some(Self {
            name: record.labels.lease_id.to_string(),
            lease_id: Some(record.labels.lease_id.clone()),
            provider: record.provider.clone(),
            listed: None,
            is_this_users: true,
            verdict: Verdict::Keep(why),
            removed,
            recorded: Some(recorded),
        })
    }

    /// What the runner's labels, or else the record, say of it.
    pub(super) fn labels(&self) -> Option<Labels> {
        let listed = self.listed.as_ref().and_then(|listed| listed.labels.as_ref().ok());
        listed.cloned().or_else(|| self.recorded.as_ref().map(|recorded| recorded.record.labels.clone()))
    }

    /// Whether the process that leased it lives.
    pub(super) fn holder(&self) -> HolderState {
        let on_record = self.recorded.as_ref().and_then(|recorded| recorded.record.labels.holder.as_ref());
        match (on_record.map(Holder::state), &self.listed) {
            (Some(state), None) => state,
            (Some(state), _) if state != HolderState::Unknown => state,
            (_, Some(listed)) => listed.holder,
            (None, None) => HolderState::Unknown,
        }
    }

    /// Whether the process lives that releases it when its holder is gone; `None` when there is none.
    pub(super) fn reaper(&self) -> Option<HolderState> {
        self.recorded.as_ref()?.record.reaper.as_ref().map(Holder::state)
    }

    /// Until when it is kept after a failure.
    pub(super) fn kept_until(&self) -> Option<Timestamp> {
        match self.recorded.as_ref()?.record.state {
            LeaseState::Kept { until, .. } => Some(until),
            _ => None,
        }
    }

    /// True when it is of our owner or this user's.
    pub(super) fn is_ours(&self, site: &Site) -> bool {
        self.is_this_users
            || self.recorded.is_some()
            || self.labels().is_some_and(|labels| labels.owner == site.owner.id)
    }
}

/// That a provider is not there at all is a fault here, where it was named.
fn no_answer(error: Error) -> Error {
    if error.kind() == ErrorKind::NoCapacity { error.of_kind(ErrorKind::Provider) } else { error }
}

fn unreadable_record((path, why): (PathBuf, String)) -> UnreadableRecord {
    UnreadableRecord { path: path.to_string_lossy().into_owned(), reason: crate::sanitise::line(&why) }
}
