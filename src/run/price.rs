//! Asks a provider what a runner costs, and puts the answer into the plan.

use std::time::Duration;

use jiff::SignedDuration;

use super::check::lease_request;
use super::retry::most_attempts;
use super::{Prepared, Services};
use crate::error::Result;
use crate::ids::RunId;
use crate::inputs::request::BuildRequest;
use crate::plan::policy::MoneyCaps;
use crate::plan::{Money, Tier};
use crate::provider::ComputeProvider;
use crate::report::envelope::Cost;
use crate::report::plan_document::UNKNOWN_OFFLINE;

/// How long a provider may take to say what a runner costs: a plan is not held up by a network that is not there.
const LIMIT: Duration = Duration::from_secs(3);

/// Beyond an attempt's time budget: its release, which is billed as well. As [`crate::custody::Timing::release_limit`].
const RELEASE: Duration = Duration::from_secs(120);

/// What is spent counts for so long.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What an attempt costs.
pub(super) struct Quote {
    pub(super) money: Money,
    /// In words.
    pub(super) words: String,
    /// Why it is not known.
    pub(super) warning: Option<String>,
}

/// Asks what an attempt on `tier` costs. A machine that is there anyway costs nothing, and nobody is asked.
pub(super) async fn ask(
    provider: &dyn ComputeProvider,
    prepared: &Prepared,
    tier: &Tier,
    request: &BuildRequest,
    services: &Services,
) -> Quote {
    let (name, attempts) = (provider.name(), most_attempts());
    if let Some(machine) = prepared.capabilities.shared_machine {
        let words = format!("nothing: a runner of the provider `{name}` is a part of {machine}");
        return Quote { money: Money::nothing(attempts), words, warning: None };
    }
    let mut lease = lease_request(RunId::new(), prepared, request, services);
    lease.tier = tier.clone();
    let unknown = |words: String, warning| Quote { money: Money::unknown(attempts), words, warning };
    match tokio::time::timeout(LIMIT, provider.price(&lease)).await {
        Ok(Ok(Some(price))) => {
            let budget = Duration::from_secs_f64((prepared.plan.sizing.time_budget_min * 60.0).clamp(1.0, 86_400.0));
            let longest = budget + RELEASE + request.keep_failed.unwrap_or_default();
            let money = Money::hourly(attempts, &price, longest.as_secs());
            Quote { words: money.words(), money, warning: None }
        }
        Ok(Ok(None)) => unknown(format!("unknown: the provider `{name}` does not say"), None),
        Ok(Err(error)) => unknown(UNKNOWN_OFFLINE.to_owned(), Some(format!("the price is not known: {error}"))),
        Err(_) => {
            let late = format!("the price is not known: `{name}` did not answer within {} s", LIMIT.as_secs());
            unknown(UNKNOWN_OFFLINE.to_owned(), Some(late))
        }
    }
}

/// Puts the price of the plan's runner into it, with what the policy says of that.
pub(super) async fn put(prepared: &mut Prepared, request: &BuildRequest, services: &Services) -> Result<()> {
    let provider = prepared.provider.config(&services.environment, &services.dirs)?.open()?;
    let tier = prepared.plan.sizing.tier.clone();
    let quote = ask(provider.as_ref(), prepared, &tier, request, services).await;
    let caps = MoneyCaps::of(&prepared.policies);
    let spent = spent(&caps, services).await;
    prepared.plan.price(quote.money, &caps, spent.as_deref());
    prepared.price = quote.words;
    prepared.warnings.extend(quote.warning);
    Ok(())
}

/// Whether one more attempt, on `tier`, may be paid for.
///
/// # Errors
/// `OverPolicy` with every cap that it would break.
pub(super) async fn admit(
    provider: &dyn ComputeProvider,
    prepared: &Prepared,
    tier: &Tier,
    request: &BuildRequest,
    services: &Services,
) -> Result<()> {
    let caps = MoneyCaps::of(&prepared.policies);
    if caps.is_empty() {
        return Ok(());
    }
    let quote = ask(provider, prepared, tier, request, services).await;
    caps.admit(provider.name(), &quote.money, spent(&caps, services).await.as_deref())
}

/// What was spent in the last 24 hours, where a cap wants to know; `None` when it cannot be read.
async fn spent(caps: &MoneyCaps, services: &Services) -> Option<Vec<Cost>> {
    if caps.is_empty() {
        return Some(Vec::new());
    }
    let since = services.clock.now().checked_sub(DAY).ok()?;
    services.store.spent(since).await.ok()
}
