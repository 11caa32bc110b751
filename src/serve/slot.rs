//! [`Slot`]: one lease in the memory of the pool.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::row::{LeaseRow, Stage};
use crate::error::Result;

/// Whether the request for a lease has reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// Not yet.
    Writing,
    /// It has.
    Written,
    /// It will not: there is no such lease.
    Lost,
}

/// One lease in the memory of the pool.
#[derive(Debug)]
pub(super) struct Slot {
    row: Mutex<LeaseRow>,
    intent: watch::Sender<Intent>,
    /// When somebody last began to ask whether its runner lives.
    looked: Mutex<Option<Instant>>,
    /// Told when the end was moved.
    pub(super) renewed: Notify,
    /// Cancelled when the lease is to end.
    pub(super) end: CancellationToken,
    /// Cancelled when it is verified gone.
    pub(super) ended: CancellationToken,
}

impl Slot {
    pub(super) fn new(row: LeaseRow, intent: Intent) -> Self {
        let (end, ended) = (CancellationToken::new(), CancellationToken::new());
        if row.stage == Stage::Ended {
            ended.cancel();
        }
        let intent = watch::channel(intent).0;
        Self { row: Mutex::new(row), intent, looked: Mutex::default(), renewed: Notify::new(), end, ended }
    }

    /// A copy of it.
    pub(super) fn row(&self) -> LeaseRow {
        self.lock().clone()
    }

    /// Looks at it.
    pub(super) fn with<T>(&self, look: impl FnOnce(&LeaseRow) -> T) -> T {
        look(&self.lock())
    }

    /// Changes it, and writes it down in the order of the changes. What is returned waits for the disk.
    pub(super) fn change<T, C>(
        &self,
        ledger: &Ledger,
        change: C,
    ) -> (T, impl Future<Output = Result<()>> + Send + use<T, C>)
    where
        C: FnOnce(&mut LeaseRow) -> T,
    {
        let mut row = self.lock();
        let changed = change(&mut row);
        (changed, ledger.put(row.clone()))
    }

    /// Asks for its end, for a reason that is the first one's.
    pub(super) fn ask_to_end(&self, reason: &str) {
        let mut row = self.lock();
        if !self.end.is_cancelled() {
            row.reason.get_or_insert_with(|| reason.to_owned());
            self.end.cancel();
        }
    }

    /// True for who is to ask whether its runner lives: nobody has begun to for so long.
    pub(super) fn begins_to_look(&self, pause: Duration) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked.is_none_or(|at| at.elapsed() >= pause);
        if is_due {
            *looked = Some(Instant::now());
        }
        is_due
    }

    /// The request for it has reached the disk, or will not.
    pub(super) fn settle(&self, intent: Intent) {
        self.intent.send_replace(intent);
    }

    /// Waits until the request for it has reached the disk. False when it will not.
    pub(super) async fn is_written(&self) -> bool {
        let mut intent = self.intent.subscribe();
        matches!(intent.wait_for(|intent| *intent != Intent::Writing).await.as_deref(), Ok(Intent::Written))
    }

    fn lock(&self) -> MutexGuard<'_, LeaseRow> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
