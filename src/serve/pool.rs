//! [`Pool`]: the leases, what is asked of them, and their ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::Digest as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ledger::Ledger;
use super::limits::Limits;
use super::numbers::Numbers;
use super::reach::Callers;
use super::refusal::Refusal;
use super::row::{LeaseRow, Stage, later};
use super::slot::{Intent, Slot};
use super::token::Token;
use super::wanted::{Wanted, within};
use crate::clock::SharedClock;
use crate::custody::Custodian;
use crate::error::{Error, ErrorKind};
use crate::ids::LeaseId;
use crate::lease::OwnerId;
use crate::plan::Tiers;
use crate::pool_api::{Code, CreateLease};

/// How long a lease is remembered after its end: for who asks again, and for the hours of a day.
pub(super) const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// How long a provider may take to say whether it has room.
const CHECK_LIMIT: Duration = Duration::from_secs(20);

/// The longest key of a request.
const LONGEST_KEY: usize = 128;

/// The leases, what is asked of them, and their ends.
#[derive(Debug)]
pub(super) struct Pool {
    /// In the order in which they are tried.
    pub(super) custodians: Vec<Custodian>,
    pub(super) ledger: Ledger,
    pub(super) clock: SharedClock,
    pub(super) owner: OwnerId,
    pub(super) tiers: Tiers,
    pub(super) limits: Limits,
    pub(super) callers: Callers,
    pub(super) numbers: Arc<Numbers>,
    pub(super) slots: Mutex<Slots>,
    /// One task a lease.
    pub(super) keepers: TaskTracker,
    /// Cancelled when the process is to end: what is held stays held.
    pub(super) stop: CancellationToken,
}

/// The leases in memory. One that ended moves over.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) held: HashMap<LeaseId, Arc<Slot>>,
    pub(super) ended: HashMap<LeaseId, Arc<Slot>>,
}

impl Slots {
    fn get(&self, lease: &LeaseId) -> Option<&Arc<Slot>> {
        self.held.get(lease).or_else(|| self.ended.get(lease))
    }
}

/// Whether a lease was made by this request or by an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    /// By this one.
    Now,
    /// By an earlier one with the same key.
    Before,
}

impl Pool {
    /// Leases a runner, or finds the lease that an earlier request with this key made. Returns once the request is on the disk;
    /// the runner is made meanwhile.
    pub(super) async fn create(
        self: &Arc<Self>,
        token: &Token,
        key: &str,
        body: CreateLease,
    ) -> Result<(LeaseRow, Created), Refusal> {
        let lease = lease_of(&token.id, key)?;
        let digest = digest(&body);
        if let Some(slot) = self.slot(&lease) {
            return earlier(&slot, token, &digest).await.map(|row| (row, Created::Before));
        }
        let wanted = Wanted::check(body, &lease, &self.tiers, &self.limits)?;
        in_scope(token, &wanted)?;
        let now = self.clock.now();
        let mut row = LeaseRow {
            token_id: token.id.clone(),
            actor_id: token.id.parse().map_err(|_| Refusal::internal())?,
            digest: digest.clone(),
            provider: String::new(),
            created_at: now,
            expires_at: later(now, wanted.ttl_s),
            hard_deadline: later(now, wanted.max_ttl_s),
            stage: Stage::Pending,
            endpoint: None,
            made: None,
            reason: None,
            failure: None,
            ended_at: None,
            lease_id: lease.clone(),
            wanted,
        };
        // Before the question to a provider, which may be slow, and again when the lease is taken in.
        self.admit(token, &row, &self.lock())?;
        row.provider = self.provider_with_room(token, &row).await?;
        let slot = Arc::new(Slot::new(row.clone(), Intent::Writing));
        let other = {
            let mut slots = self.lock();
            match slots.get(&lease).cloned() {
                Some(other) => Some(other),
                None => {
                    self.admit(token, &row, &slots)?;
                    slots.held.insert(lease.clone(), Arc::clone(&slot));
                    None
                }
            }
        };
        if let Some(other) = other {
            return earlier(&other, token, &digest).await.map(|row| (row, Created::Before));
        }
        // On a task of its own: the caller may go away in the middle.
        let pool = Arc::clone(self);
        let begun = Arc::clone(&slot);
        let beginning = tokio::spawn(async move { pool.begin(begun).await });
        if beginning.await.is_ok_and(|written| written) {
            Ok((slot.row(), Created::Now))
        } else {
            Err(Refusal::internal())
        }
    }

    /// Writes the request down, and starts to make the runner. False when it could not be written: nothing was asked for then.
    async fn begin(self: Arc<Self>, slot: Arc<Slot>) -> bool {
        let ((), written) = slot.change(&self.ledger, |_| ());
        crate::failpoint::reach("pool-intent-writing");
        if written.await.is_err() {
            self.numbers.ledger_failed();
            self.lock().held.remove(&slot.with(|row| row.lease_id.clone()));
            slot.settle(Intent::Lost);
            return false;
        }
        crate::failpoint::reach("pool-intent-written");
        slot.settle(Intent::Written);
        self.keep(slot, super::keeper::From::Request);
        true
    }

    /// A lease of this token, as its runner is now.
    pub(super) async fn get(&self, token: &Token, lease: &str) -> Result<LeaseRow, Refusal> {
        let slot = self.of_token(token, lease)?;
        self.look(&slot).await;
        Ok(slot.row())
    }

    /// The leases that this token holds, in the order of their names.
    pub(super) fn list(&self, token: &Token) -> Vec<LeaseRow> {
        let mut rows: Vec<LeaseRow> = self
            .held()
            .iter()
            .filter(|slot| slot.with(|row| row.token_id == token.id))
            .map(|slot| slot.row())
            .collect();
        rows.sort_by(|one, other| one.lease_id.cmp(&other.lease_id));
        rows
    }

    /// Moves the end of a lease. Returns once that is on the disk; the provider hears of it meanwhile.
    pub(super) async fn renew(&self, token: &Token, lease: &str, ttl_s: u64) -> Result<LeaseRow, Refusal> {
        let slot = self.of_token(token, lease)?;
        let ttl_s = within("ttl_s", ttl_s, self.limits.ttl_s)?;
        let now = self.clock.now();
        let is_over = slot.end.is_cancelled()
            || slot.with(|row| !matches!(row.stage, Stage::Pending | Stage::Ready) || row.ends_at() <= now);
        if is_over {
            let reason = slot.with(|row| row.reason.clone()).unwrap_or_else(|| "its time is over".to_owned());
            return Err(Refusal::new(Code::UnknownLease, format!("the lease has ended: {reason}")));
        }
        if let Some(limit) = token.scope.seconds_per_day() {
            let mut longer = slot.row();
            longer.renew(now, ttl_s);
            let other = self.seconds_of_day(token, now, &self.lock(), Some(&longer.lease_id));
            let own = longer.seconds_within(now - REMEMBERED, Timestamp::MAX);
            check_hours(other.saturating_add(own), limit)?;
        }
        let ((), written) = slot.change(&self.ledger, |row| row.renew(now, ttl_s));
        if written.await.is_err() {
            self.numbers.ledger_failed();
        }
        slot.renewed.notify_one();
        Ok(slot.row())
    }

    /// Ends a lease and waits until it is verified gone, for `limit` at most. One that is gone already is as good.
    pub(super) async fn release(&self, token: &Token, lease: &str, limit: Duration) -> Result<LeaseRow, Refusal> {
        let slot = self.of_token(token, lease)?;
        slot.ask_to_end("released by its holder");
        if tokio::time::timeout(limit, slot.ended.cancelled()).await.is_err() {
            return Err(Refusal::new(
                Code::Internal,
                "the runner is not verified gone yet: the pool goes on with that, ask again",
            ));
        }
        Ok(slot.row())
    }

    /// Ends what is over. Called again and again.
    pub(super) fn end_what_is_over(&self) {
        let now = self.clock.now();
        for slot in self.held() {
            if !slot.end.is_cancelled() && slot.with(|row| row.ends_at() <= now) {
                self.numbers.expired();
                let at_hard_deadline = slot.with(|row| row.hard_deadline <= now);
                slot.ask_to_end(if at_hard_deadline {
                    "its hard deadline has passed"
                } else {
                    "it was not renewed in time"
                });
            }
        }
        let remembered = now - REMEMBERED;
        self.lock().ended.retain(|_, slot| slot.with(|row| row.ended_at.is_none_or(|ended| ended > remembered)));
    }

    /// Those that are held.
    pub(super) fn held(&self) -> Vec<Arc<Slot>> {
        self.lock().held.values().cloned().collect()
    }

    /// Moves a lease over that is verified gone.
    pub(super) fn has_ended(&self, slot: &Arc<Slot>) {
        let lease = slot.with(|row| row.lease_id.clone());
        let mut slots = self.lock();
        slots.held.remove(&lease);
        slots.ended.insert(lease, Arc::clone(slot));
    }

    /// The custodian of a provider.
    pub(super) fn custodian(&self, provider: &str) -> Option<&Custodian> {
        self.custodians.iter().find(|custodian| custodian.provider().name() == provider)
    }

    /// The providers that may be asked for this, in their order.
    pub(super) fn candidates(&self, wanted: &Wanted) -> Vec<&Custodian> {
        let fits = |custodian: &&Custodian| {
            let provider = custodian.provider();
            wanted.provider.as_ref().is_none_or(|name| name == provider.name())
                && provider.capabilities().architectures.contains(&wanted.architecture)
        };
        self.custodians.iter().filter(fits).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, lease: &LeaseId) -> Option<Arc<Slot>> {
        self.lock().get(lease).cloned()
    }

    /// A lease by its name. Another token's is none, and so is what is no name at all.
    fn of_token(&self, token: &Token, lease: &str) -> Result<Arc<Slot>, Refusal> {
        let lease: LeaseId = lease.parse().map_err(|_| Refusal::unknown_lease())?;
        let slot = self.slot(&lease).filter(|slot| slot.with(|row| row.token_id == token.id));
        slot.ok_or_else(Refusal::unknown_lease)
    }

    /// Whether the token may have one more, and the pool has room for it.
    fn admit(&self, token: &Token, row: &LeaseRow, slots: &Slots) -> Result<(), Refusal> {
        if self.stop.is_cancelled() {
            return Err(Refusal::new(Code::NoCapacity, "the pool is about to end; ask again in a moment"));
        }
        if slots.held.len() >= self.limits.leases {
            let why = format!("this pool holds {} leases, which is all it may", slots.held.len());
            return Err(Refusal::new(Code::NoCapacity, why));
        }
        if let Some(most) = token.scope.concurrent_leases {
            let own = slots.held.values().filter(|slot| slot.with(|held| held.token_id == token.id)).count();
            if own >= usize::try_from(most).unwrap_or(usize::MAX) {
                return Err(Refusal::new(Code::Quota, format!("this token holds {own} leases, which is all it may")));
            }
        }
        if let Some(limit) = token.scope.seconds_per_day() {
            let used = self.seconds_of_day(token, row.created_at, slots, None);
            check_hours(used.saturating_add(row.seconds_within(row.created_at, Timestamp::MAX)), limit)?;
        }
        Ok(())
    }

    /// Seconds of the token's leases in the last 24 hours, and until those that are held end by themselves.
    fn seconds_of_day(&self, token: &Token, now: Timestamp, slots: &Slots, but: Option<&LeaseId>) -> u64 {
        let since = now - REMEMBERED;
        let of_token = |row: &LeaseRow| row.token_id == token.id && Some(&row.lease_id) != but;
        let all = slots.held.values().chain(slots.ended.values());
        all.map(|slot| slot.with(|row| if of_token(row) { row.seconds_within(since, Timestamp::MAX) } else { 0 }))
            .fold(0, u64::saturating_add)
    }

    /// The first provider that says it could lease this.
    async fn provider_with_room(&self, token: &Token, row: &LeaseRow) -> Result<String, Refusal> {
        let wanted = &row.wanted;
        if let Some(name) = &wanted.provider
            && self.custodian(name).is_none()
        {
            let served: Vec<&str> = self.custodians.iter().map(|custodian| custodian.provider().name()).collect();
            let why = format!("this pool does not lease from `{name}`; it does from: {}", served.join(", "));
            return Err(Refusal::new(Code::OverPolicy, why));
        }
        let candidates = self.candidates(wanted);
        if candidates.is_empty() {
            let why = format!("no provider of this pool has runners of the architecture `{}`", wanted.architecture);
            return Err(Refusal::new(Code::NoCapacity, why));
        }
        let mut refused = Vec::new();
        let request = row.request(&self.owner);
        for custodian in candidates {
            let provider = custodian.provider();
            let name = provider.name();
            if !token.scope.has_provider(name) {
                refused.push((name, Refusal::new(Code::OverPolicy, "this token may not lease from it")));
                continue;
            }
            let checked = tokio::time::timeout(CHECK_LIMIT, provider.check(&request)).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Provider, format!("`{name}` does not say in time whether it has room")))
            });
            match checked {
                Ok(()) => return Ok(name.to_owned()),
                Err(error) => refused.push((name, Refusal::of(&error))),
            }
        }
        // The most hopeful one is the answer, with what each of them said.
        let code = [Code::NoCapacity, Code::Internal, Code::OverPolicy]
            .into_iter()
            .find(|code| refused.iter().any(|(_, refusal)| refusal.code == *code))
            .unwrap_or(Code::Internal);
        let why: Vec<String> = refused.iter().map(|(name, refusal)| format!("{name}: {}", refusal.why)).collect();
        Err(Refusal::new(code, why.join("; ")))
    }
}

/// The lease that an earlier request with this key made, when it is the same request.
async fn earlier(slot: &Slot, token: &Token, digest: &str) -> Result<LeaseRow, Refusal> {
    let is_same = slot.with(|row| row.token_id == token.id && row.digest == *digest);
    if !is_same {
        return Err(Refusal::new(Code::KeyReused, "this key was used for another request"));
    }
    if slot.is_written().await { Ok(slot.row()) } else { Err(Refusal::internal()) }
}

/// The lease that a key names: the key itself where it is the name of one, else one that the key always gives.
fn lease_of(token_id: &str, key: &str) -> Result<LeaseId, Refusal> {
    if let Ok(lease) = key.parse() {
        return Ok(lease);
    }
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > LONGEST_KEY || !is_plain {
        let why = format!("the header `{}` has to be a key of its own", crate::pool_api::IDEMPOTENCY_KEY);
        return Err(Refusal::invalid(format!("{why}: up to {LONGEST_KEY} visible characters")));
    }
    let digest = sha2::Sha256::digest(format!("{token_id}:{key}").as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("lb-{hex}").parse().map_err(|_| Refusal::internal())
}

/// What the same request has again: of the fields that are known.
fn digest(body: &CreateLease) -> String {
    let text = serde_json::to_vec(body).unwrap_or_default();
    sha2::Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_scope(token: &Token, wanted: &Wanted) -> Result<(), Refusal> {
    let over = |what: &str, name: &str| {
        Err(Refusal::new(Code::OverPolicy, format!("this token may not have the {what} `{name}`")))
    };
    if !token.scope.has_workspace(&wanted.workspace) {
        return over("workspace", wanted.workspace.as_str());
    }
    if !token.scope.has_runner_type(&wanted.tier.name) {
        return over("tier", &wanted.tier.name);
    }
    match &wanted.provider {
        Some(name) if !token.scope.has_provider(name) => over("provider", name),
        _ => Ok(()),
    }
}

fn check_hours(seconds: u64, limit: u64) -> Result<(), Refusal> {
    if seconds <= limit {
        return Ok(());
    }
    let why = format!("this would be {seconds} seconds of runners in 24 hours, and this token may have {limit}");
    Err(Refusal::new(Code::Quota, why))
}
