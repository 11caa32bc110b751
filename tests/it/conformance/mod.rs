//! What every provider must do, asked of each of them, and what the lease protocol makes of a cloud that fails.
//!
//! A provider joins with a [`Harness`] and one line `conformance!`. What it cannot do it declares, and then that is tested:
//! nothing is skipped.

pub(crate) mod acquiring;
mod docker_local;
mod fake;
mod harness;
mod hcloud;
pub(crate) mod listing;
mod local;
mod pool;
mod protocol;
mod proxmox;
pub(crate) mod releasing;
mod renewing;
mod sweeping;
mod world;

pub(crate) use harness::{Declared, Harness, Renewal, Second};

/// Every case of the suite for the provider of one harness; `$make` makes a fresh world for each.
macro_rules! conformance {
    ($make:expr) => {
        conformance!($make, acquiring: [
            the_same_name_is_the_same_runner,
            another_process_never_doubles_a_runner,
            labels_are_there_when_it_is_created,
            the_endpoint_is_what_was_declared,
            a_check_changes_nothing,
            a_failed_acquisition_leaves_nothing_after_its_release,
            a_cancelled_acquisition_leaves_nothing_after_its_release,
            a_dropped_acquisition_leaves_nothing_after_its_release,
        ]);
        conformance!($make, releasing: [
            releasing_is_idempotent,
            what_is_not_ours_is_refused,
            a_runner_lives_as_long_as_was_declared,
            a_stopped_runner_is_released,
        ]);
        conformance!($make, listing: [
            the_list_shows_whose_a_runner_is,
            the_list_shows_what_cannot_be_read,
            liveness_is_the_providers_word,
            renewing_is_what_was_declared,
            the_backend_is_the_same_for_all_processes,
        ]);
    };
    ($make:expr, $module:ident: [$($case:ident),+ $(,)?]) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::harness::in_world($make, async |harness| {
                    $crate::conformance::$module::$case(harness).await;
                })
                .await;
            }
        )+
    };
}
use conformance;
