//! [`wait_until`]: waits, bounded, for what another process brings about.

use std::time::Duration;

/// How long is waited: only a test that fails takes so long.
const LOOKS: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(20);

/// Waits, bounded, until `happened`.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if happened() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("waited in vain until {what}");
}

/// As [`wait_until`], while the test's own tasks go on.
pub(crate) async fn wait_until_async(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if happened() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("waited in vain until {what}");
}
