//! [`block_on`]: waits for something on a runtime, from within another one.

use tokio::runtime::Runtime;

/// Waits for something on a runtime of its own, from within another one: what a harness looks at is looked at from outside.
pub(crate) fn block_on<T: Send>(runtime: &Runtime, work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work())).join().unwrap())
}
