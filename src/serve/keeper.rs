//! The task of one lease: makes its runner, holds it, and destroys it. It outlives whoever asked for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::pool::Pool;
use super::reach;
use super::row::{Failure, MadeRow, Stage};
use super::slot::Slot;
use crate::custody::{self, Custodian, HeldLease};
use crate::error::{Error, ErrorKind};
use crate::lease::{Endpoint, Made};
use crate::pool_api::Code;
use crate::provider::AcquireWatch;

use super::refusal::Refusal;

/// The pause before a release is tried again that could not be confirmed.
const RELEASE_PAUSE: Duration = Duration::from_secs(10);

/// Why a lease failed whose runner cannot outlive the process that made it.
const ENDED_WITH_US: &str = "its runner ended with the pool's process";

/// Where the task of a lease begins.
pub(super) enum From {
    /// Nothing was asked of a provider yet.
    Request,
    /// An earlier process left the runner standing.
    Runner(Box<Endpoint>),
    /// An earlier process ended while it was being made, or destroyed.
    Remains,
}

/// What came of making a runner.
enum Making {
    /// It answers.
    Ready(Box<HeldLease>),
    /// It came to nothing, and what was begun is verified gone.
    Gone,
    /// The pool ends: what was begun is the next process's.
    Left,
}

/// Writes down what the provider confirms.
struct Recorder<'a> {
    pool: &'a Pool,
    slot: &'a Slot,
}

#[async_trait]
impl AcquireWatch for Recorder<'_> {
    fn waiting(&self, _what: &str) {}

    async fn created(&self, made: &Made) {
        let ((), written) = self.slot.change(&self.pool.ledger, |row| row.made = Some(MadeRow::from(made)));
        if written.await.is_err() {
            self.pool.numbers.ledger_failed();
        }
        crate::failpoint::reach("pool-made-written");
    }
}

impl Pool {
    /// Starts the task of a lease that is on the disk.
    pub(super) fn keep(self: &Arc<Self>, slot: Arc<Slot>, from: From) {
        let pool = Arc::clone(self);
        self.keepers.spawn(async move { pool.keep_until_gone(&slot, from).await });
    }

    async fn keep_until_gone(&self, slot: &Arc<Slot>, from: From) {
        let making = match from {
            From::Request => self.make(slot).await,
            From::Runner(endpoint) => self.take_up(slot, &endpoint).await,
            From::Remains => self.make_anew(slot).await,
        };
        let gone = match making {
            Making::Ready(held) => self.hold(slot, &held).await,
            Making::Gone => true,
            Making::Left => false,
        };
        if !gone {
            return;
        }
        let now = self.clock.now();
        let ((), written) = slot.change(&self.ledger, |row| {
            row.stage = Stage::Ended;
            row.endpoint = None;
            row.ended_at = Some(now);
        });
        // At once: what is said to be gone is held nowhere, although its end may not be on the disk yet.
        self.has_ended(slot);
        if written.await.is_err() {
            self.numbers.ledger_failed();
        }
        slot.ended.cancel();
    }

    /// Asks the providers one after the other, beginning with the one that said it has room.
    async fn make(&self, slot: &Slot) -> Making {
        let (first, wanted) = slot.with(|row| (row.provider.clone(), row.wanted.clone()));
        let candidates = self.candidates(&wanted);
        let from = candidates.iter().position(|custodian| custodian.provider().name() == first).unwrap_or_default();
        let mut refused: Vec<String> = Vec::new();
        for custodian in candidates.into_iter().skip(from) {
            let name = custodian.provider().name();
            if !refused.is_empty() {
                let ((), written) = slot.change(&self.ledger, |row| name.clone_into(&mut row.provider));
                if written.await.is_err() {
                    self.numbers.ledger_failed();
                }
            }
            match self.make_with(slot, custodian).await {
                Ok(making) => return making,
                Err(error) if error.kind() == ErrorKind::NoCapacity => refused.push(format!("{name}: {error}")),
                Err(error) => {
                    self.fail(slot, Refusal::of(&error)).await;
                    return Making::Gone;
                }
            }
        }
        if refused.is_empty() {
            refused.push("no provider of this pool can lease it any more".to_owned());
        }
        self.fail(slot, Refusal::new(Code::NoCapacity, refused.join("; "))).await;
        Making::Gone
    }

    /// Asks one provider. After an error, what was begun is verified gone.
    async fn make_with(&self, slot: &Slot, custodian: &Custodian) -> Result<Making, Error> {
        let request = slot.with(|row| row.request(&self.owner));
        let held = custodian.begin(request).await?;
        let recorder = Recorder { pool: self, slot };
        let acquired = tokio::select! {
            acquired = held.acquire(&recorder, &slot.end) => acquired,
            () = self.stop.cancelled() => return Ok(Making::Left),
        };
        let error = match acquired {
            Ok(endpoint) => match reach::check(&endpoint, self.callers) {
                Ok(()) => {
                    self.is_ready(slot, endpoint).await;
                    return Ok(Making::Ready(Box::new(held)));
                }
                Err(why) => Error::new(ErrorKind::Provider, format!("the runner cannot be handed out: {why}")),
            },
            Err(error) => error,
        };
        let is_asked_to_end = slot.end.is_cancelled();
        if !self.release_held(slot, &held).await {
            return Ok(Making::Left);
        }
        if is_asked_to_end { Ok(Making::Gone) } else { Err(error) }
    }

    async fn is_ready(&self, slot: &Slot, endpoint: Endpoint) {
        let ((), written) = slot.change(&self.ledger, |row| {
            row.endpoint = Some(endpoint);
            if row.stage == Stage::Pending {
                row.stage = Stage::Ready;
            }
        });
        if written.await.is_err() {
            self.numbers.ledger_failed();
        }
        crate::failpoint::reach("pool-ready-written");
    }

    pub(super) async fn fail(&self, slot: &Slot, refusal: Refusal) {
        self.numbers.failed(refusal.code);
        let failure = Failure { code: refusal.code, reason: refusal.why };
        let ((), written) = slot.change(&self.ledger, |row| row.failure = Some(failure));
        if written.await.is_err() {
            self.numbers.ledger_failed();
        }
    }

    /// Goes on with a runner that an earlier process made. One that ended with that process is released.
    async fn take_up(&self, slot: &Slot, endpoint: &Endpoint) -> Making {
        let request = slot.with(|row| row.request(&self.owner));
        let Some(custodian) = self.custodian(&slot.with(|row| row.provider.clone())) else {
            // It was served before, and is not now: the operator's to mend.
            tracing::error!(lease = %request.lease_id, "its provider is not served any more; it is left as it is");
            return Making::Left;
        };
        match custodian.take_up(request, endpoint).await {
            Ok(held) if custodian.provider().capabilities().can_keep => Making::Ready(Box::new(held)),
            Ok(held) => {
                self.fail(slot, Refusal::new(Code::Internal, ENDED_WITH_US)).await;
                if self.release_held(slot, &held).await { Making::Gone } else { Making::Left }
            }
            Err(error) => {
                tracing::error!(%error, "a lease of an earlier process");
                self.fail(slot, Refusal::internal()).await;
                if self.release_by_name(slot, custodian).await { Making::Gone } else { Making::Left }
            }
        }
    }

    /// Holds the runner until it is to end. True when it is verified gone then, false when the pool ends.
    async fn hold(&self, slot: &Slot, held: &HeldLease) -> bool {
        loop {
            tokio::select! {
                biased;
                () = slot.end.cancelled() => return self.release_held(slot, held).await,
                () = self.stop.cancelled() => return self.leave(slot, held).await,
                () = slot.renewed.notified() => {
                    if let Err(error) = held.renew(slot.with(super::row::LeaseRow::ends_at)).await {
                        self.numbers.renewal_failed();
                        tracing::warn!(%error, lease = %held.id(), "a renewal at the provider");
                    }
                }
            }
        }
    }

    /// The pool ends: the runner is the next process's, unless it ends with this one. True when it is verified gone.
    async fn leave(&self, slot: &Slot, held: &HeldLease) -> bool {
        let can_keep = self
            .custodian(&slot.with(|row| row.provider.clone()))
            .is_none_or(|custodian| custodian.provider().capabilities().can_keep);
        if can_keep {
            return false;
        }
        self.fail(slot, Refusal::new(Code::Internal, ENDED_WITH_US)).await;
        let reason = self.is_ending(slot).await;
        match held.release(&reason, &CancellationToken::new()).await {
            Ok(_) => true,
            Err(error) => {
                self.numbers.release_unconfirmed();
                tracing::error!(%error, "a release");
                false
            }
        }
    }

    /// Destroys the runner, as long as it takes. False when the pool ends before that.
    async fn release_held(&self, slot: &Slot, held: &HeldLease) -> bool {
        let reason = self.is_ending(slot).await;
        let never = CancellationToken::new();
        loop {
            let released = tokio::select! {
                released = held.release(&reason, &never) => released,
                () = self.stop.cancelled() => return false,
            };
            let Err(error) = released else { return true };
            if !self.tries_again(&error).await {
                return false;
            }
        }
    }

    /// Removes what an earlier process began, and begins again unless the lease is to end: the caller waits for it.
    async fn make_anew(&self, slot: &Slot) -> Making {
        let Some(custodian) = self.custodian(&slot.with(|row| row.provider.clone())) else {
            tracing::error!(lease = %slot.with(|row| row.lease_id.clone()), "its provider is not served any more");
            return Making::Left;
        };
        if !self.release_by_name(slot, custodian).await {
            return Making::Left;
        }
        if slot.end.is_cancelled() || slot.with(|row| row.stage != Stage::Pending || row.failure.is_some()) {
            return Making::Gone;
        }
        self.make(slot).await
    }

    /// As [`Pool::release_held`], of a lease that only its name is known of.
    async fn release_by_name(&self, slot: &Slot, custodian: &Custodian) -> bool {
        let reason = self.is_ending(slot).await;
        let lease = slot.with(|row| row.lease_id.clone());
        let (provider, limit) = (custodian.provider().as_ref(), custodian.timing().release_limit);
        loop {
            let releasing =
                custody::release(provider, custodian.journal(), &lease, &reason, self.clock.as_ref(), limit);
            let released = tokio::select! {
                released = releasing => released,
                () = self.stop.cancelled() => return false,
            };
            let Err(error) = released else { return true };
            if !self.tries_again(&error).await {
                return false;
            }
        }
    }

    /// Waits until a release is tried again. False when the pool ends before that.
    async fn tries_again(&self, error: &Error) -> bool {
        self.numbers.release_unconfirmed();
        tracing::error!(%error, "a release");
        self.stop.run_until_cancelled(tokio::time::sleep(RELEASE_PAUSE)).await.is_some()
    }

    /// Writes down that it ends, and yields why.
    async fn is_ending(&self, slot: &Slot) -> String {
        let (reason, written) = slot.change(&self.ledger, |row| {
            // One that another provider is asked for is not over yet.
            if row.stage == Stage::Ready || row.reason.is_some() || row.failure.is_some() {
                row.stage = Stage::Ending;
            }
            let failed = row.failure.as_ref().map(|failure| failure.reason.clone());
            row.reason.clone().or(failed).unwrap_or_else(|| "it could not be made".to_owned())
        });
        if written.await.is_err() {
            self.numbers.ledger_failed();
        }
        reason
    }

    /// Takes up what an earlier process left, as it stands on the disk: what was ready goes on, what was being made is made
    /// anew once nothing is left of the attempt, and what was to end ends.
    pub(super) fn resume(self: &Arc<Self>) {
        for slot in self.held() {
            let row = slot.row();
            let from = match (row.stage, row.endpoint) {
                (Stage::Ready, Some(endpoint)) => From::Runner(Box::new(endpoint)),
                _ => From::Remains,
            };
            if matches!(row.stage, Stage::Ending | Stage::Ended) {
                slot.ask_to_end("it was being released");
            }
            self.keep(slot, from);
        }
    }
}
