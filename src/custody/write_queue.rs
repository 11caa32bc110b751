//! [`WriteQueue`]: does the writes of one lease's record, in their order, where they may block.
//!
//! The state directory may be on a file system that hangs. No task waits inside such a write, least of all the one that
//! listens for signals: a request to destroy a runner goes out while the record of its making still hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// How long a write may take until nobody waits for it any more.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// One write.
type Write = Box<dyn FnOnce() + Send>;

/// Does writes one after the other, in the order in which they were added, on threads where they may block.
#[derive(Debug, Clone)]
pub(super) struct WriteQueue {
    writes: mpsc::UnboundedSender<(Write, oneshot::Sender<()>)>,
    /// True from a write that was not done in time until one that is.
    hangs: Arc<AtomicBool>,
}

/// What became of the wait for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It is done.
    Done,
    /// It hangs, or one before it. It is done when that goes on.
    Hangs,
}

impl WriteQueue {
    /// A queue that lives until nobody can add to it any more, and all that was added is done.
    pub(super) fn start() -> Self {
        let (writes, mut added) = mpsc::unbounded_channel::<(Write, oneshot::Sender<()>)>();
        let hangs = Arc::new(AtomicBool::new(false));
        let hangs_no_more = Arc::clone(&hangs);
        tokio::spawn(async move {
            while let Some((write, done)) = added.recv().await {
                // One that panics is done, too: the next one must not wait for it.
                let _ = tokio::task::spawn_blocking(write).await;
                hangs_no_more.store(false, Ordering::Relaxed);
                // Who waited for it may be gone.
                let _ = done.send(());
            }
        });
        Self { writes, hangs }
    }

    /// Adds a write behind all that were added before: it is begun whether it is waited for or not. What is returned waits
    /// for it, within a limit, and not at all while an earlier one is known to hang.
    pub(super) fn add<W>(&self, write: W) -> impl Future<Output = Waited> + Send + use<W>
    where
        W: FnOnce() + Send + 'static,
    {
        let (done, is_done) = oneshot::channel();
        // There is always somebody at the other end, but in a runtime that is going down: then `done` is dropped here.
        let _ = self.writes.send((Box::new(write), done));
        let hangs = Arc::clone(&self.hangs);
        async move {
            let limit = if hangs.load(Ordering::Relaxed) { Duration::ZERO } else { WRITE_LIMIT };
            if tokio::time::timeout(limit, is_done).await.is_ok() {
                return Waited::Done;
            }
            hangs.store(true, Ordering::Relaxed);
            Waited::Hangs
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn writes_keep_their_order_whoever_waits() {
        let (queue, order) = (WriteQueue::start(), Arc::new(Mutex::new(Vec::new())));
        let (open, gate) = channel::<()>();
        let note = |number: u32| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(number)
        };
        let first = note(0);
        drop(queue.add(move || {
            // Ended by the test, also where that fails.
            let _ = gate.recv();
            first();
        }));
        let later: Vec<_> = (1..50).map(|number| queue.add(note(number))).collect();
        assert_eq!(*order.lock().unwrap(), [0; 0], "one overtook the one that hangs");
        open.send(()).unwrap();
        // The last one first: that does not change their order.
        for write in later.into_iter().rev() {
            assert_eq!(write.await, Waited::Done);
        }
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_hangs_is_waited_for_once_and_done_all_the_same() {
        let queue = WriteQueue::start();
        let (open, gate) = channel::<()>();
        let hanging = queue.add(move || {
            let _ = gate.recv();
        });
        assert_eq!(hanging.await, Waited::Hangs);
        let (tell, told) = channel();
        let behind = queue.add(move || tell.send("done").unwrap());
        assert_eq!(behind.await, Waited::Hangs);
        open.send(()).unwrap();
        // Its thread ends with this, when all that was added is done.
        drop(queue);
        let said = tokio::task::spawn_blocking(move || told.recv()).await.unwrap();
        assert_eq!(said, Ok("done"));
    }

    #[tokio::test]
    async fn a_write_that_panics_stops_none() {
        let queue = WriteQueue::start();
        let broken = queue.add(|| panic!("this one"));
        let (tell, told) = channel();
        assert_eq!(queue.add(move || tell.send("done").unwrap()).await, Waited::Done);
        assert_eq!(broken.await, Waited::Done);
        assert_eq!(told.try_recv(), Ok("done"));
    }
}
