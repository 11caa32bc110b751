//! A live run from its first question to its last look: what it may cost, the sweep before, the cases, the sweep after.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use lian_build::provider::ComputeProvider as _;
use lian_build::provider::hcloud::HcloudProvider;

use super::account::Account;
use super::cases::Case;
use super::live_hcloud::{LiveHcloud, plain_request, tier};
use super::settings::{MOST, Settings};
use super::spending::Spending;
use super::sweep::sweep;
use crate::conformance::Harness;

/// No case takes so long.
const CASE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// All of them together: no server stands for longer, and so none costs a second hour.
const RUN_LIMIT: Duration = Duration::from_secs(50 * 60);

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    /// All that was said.
    pub(super) said: Vec<String>,
    /// How many servers were asked for.
    pub(super) asked: u32,
    /// What went wrong first.
    pub(super) result: Result<(), String>,
}

impl Outcome {
    fn new() -> Self {
        Self { said: Vec::new(), asked: 0, result: Ok(()) }
    }

    fn say(&mut self, line: String) {
        println!("live: {line}");
        self.said.push(line);
    }

    fn fail(&mut self, why: String) {
        self.say(why.clone());
        if self.result.is_ok() {
            self.result = Err(why);
        }
    }

    /// Sweeps, and says what that did; how much it removed.
    fn sweep(&mut self, when: &str, account: &Account, settings: &Settings) -> usize {
        let swept = sweep(account, settings.sweep_limit);
        for removed in &swept.removed {
            self.say(format!("{when}: removed {removed}"));
        }
        for left in &swept.left {
            self.fail(format!("{when}: STILL THERE, and billed if it is a server: {left}"));
        }
        if swept.removed.is_empty() && swept.left.is_empty() {
            self.say(format!("{when}: nothing of live runs is in the account"));
        }
        swept.removed.len()
    }
}

/// Only removes what earlier runs left.
pub(super) fn sweep_only(settings: &Settings) -> Outcome {
    let mut outcome = Outcome::new();
    outcome.sweep("sweep", &Account::open(settings), settings);
    outcome
}

/// The whole suite. Whatever happens in between, its end is a sweep.
pub(super) async fn suite(settings: Settings, cases: &[Case]) -> Outcome {
    let mut outcome = Outcome::new();
    let account = Account::open(&settings);
    let (spending, architecture) = match plan(&settings, &account, cases).await {
        Ok(planned) => planned,
        Err(why) => {
            outcome.fail(why);
            return outcome;
        }
    };
    outcome.say(format!("{} cases, {} EUR at most", cases.len(), settings.most.unwrap_or_default()));
    outcome.sweep("sweep before", &account, &settings);
    if outcome.result.is_err() {
        return outcome;
    }
    let harness = LiveHcloud::new(settings.clone(), account, Arc::clone(&spending), architecture);
    let work = tokio::time::timeout(RUN_LIMIT, carry_out(&harness, cases, &mut outcome));
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(_)) => outcome.fail(format!("it was not over within {} min", RUN_LIMIT.as_secs() / 60)),
        Err(panic) => outcome.fail(format!("it ended in the middle: {}", words(panic.as_ref()))),
    }
    let has_passed = outcome.result.is_ok();
    let removed = outcome.sweep("sweep after", &harness.account, &settings);
    if has_passed && removed > 0 {
        outcome.fail(format!("all cases passed, and {removed} things were left for the sweep"));
    }
    if !has_passed {
        // A request that was under way then may be carried out only now.
        tokio::time::sleep(settings.late).await;
        outcome.sweep("second sweep after", &harness.account, &settings);
    }
    outcome.asked = spending.asked();
    outcome.say(format!("{} servers were asked for: {} EUR at most", spending.asked(), spending.cost()));
    outcome
}

/// What it costs at worst, by the account's own price, and whether that is allowed.
async fn plan(settings: &Settings, account: &Account, cases: &[Case]) -> Result<(Arc<Spending>, String), String> {
    let most =
        settings.most.ok_or_else(|| format!("`{MOST}` is not set: what a run may cost, in EUR with tax: 0.50, say"))?;
    let provider = HcloudProvider::new(settings.config.clone());
    let architecture = provider.architecture(&settings.server_type).await.map_err(|error| error.to_string())?;
    let request = plain_request(&tier(settings, account), &architecture);
    let price = provider.price(&request).await.map_err(|error| error.to_string())?;
    let price = price.ok_or("the account does not say what a server costs: nothing is made")?;
    if price.currency != "EUR" {
        return Err(format!("the account's prices are in {}, and `{MOST}` is in EUR", price.currency));
    }
    // And one that is somebody else's, throughout.
    let servers = cases.iter().map(|case| case.servers).sum::<u32>() + 1;
    Ok((Arc::new(Spending::plan(servers, price.amount, most)?), architecture))
}

/// One case after the other, up to the first that fails. Somebody else's server stands beside them all the time.
async fn carry_out(harness: &LiveHcloud, cases: &[Case], outcome: &mut Outcome) {
    let foreign = harness.plant_foreign().await;
    let (traces, runners) = (harness.traces(&foreign), harness.runners());
    for case in cases {
        let work = AssertUnwindSafe(tokio::time::timeout(CASE_LIMIT, (case.run)(harness))).catch_unwind();
        match work.await {
            Ok(Ok(())) => outcome.say(format!("{}: ok", case.name)),
            Ok(Err(_)) => outcome.fail(format!("{}: not ended within {} min", case.name, CASE_LIMIT.as_secs() / 60)),
            Err(panic) => outcome.fail(format!("{}: {}", case.name, words(panic.as_ref()))),
        }
        if outcome.result.is_err() {
            return;
        }
        assert_eq!(harness.traces(&foreign), traces, "{}: what is not ours was touched", case.name);
        assert_eq!(harness.runners(), runners, "{}: something is left", case.name);
    }
    harness.uproot_foreign(&foreign).await;
}

/// What a panic says.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}
