//! The conformance suite against a real account of Hetzner Cloud, for money: `ci/live` runs it, and nothing else does.
//! [docs/live.md](../../../docs/live.md) says what it does, what it costs at most and what it touches. That it does so is shown
//! against the simulator, through the very same entry: [`simulated`].
#![expect(clippy::print_stdout, reason = "whoever pays reads what is done")]

mod account;
mod cases;
mod live_hcloud;
mod run;
mod settings;
mod simulated;
mod spending;
mod sweep;

use settings::Settings;

/// What the environment says, or a failure that says what is missing.
fn settings() -> Settings {
    Settings::from_environment(&crate::support::environment()).unwrap_or_else(|why| panic!("{why}"))
}

#[tokio::test]
#[ignore = "makes servers of a real account, for money: run it with ci/live"]
async fn hcloud_conformance() {
    run::suite(settings(), cases::CASES).await.result.unwrap();
}

#[tokio::test]
#[ignore = "removes servers of a real account: run it with ci/live sweep"]
async fn hcloud_sweep() {
    run::sweep_only(&settings()).result.unwrap();
}
