//! [`Caps`]: upper limits on machines, time and money.

use serde::{Deserialize, Serialize};

use crate::lease::Isolation;

/// Upper limits on machines, time and money. `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// The largest tier, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_type: Option<String>,
    /// The most minutes an attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_budget_min: Option<f64>,
    /// The most runners that this user may hold at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_leases: Option<u32>,
    /// The most that this user's builds may cost in 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_day: Option<Money>,
    /// The most minutes that a failed runner may be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_failed_min: Option<f64>,
}

/// Money.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// How much.
    pub amount: f64,
    /// The currency: `EUR`.
    #[serde(default = "euro")]
    pub currency: String,
}

/// The least isolation of a runner, by actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MinimumIsolation {
    /// For `'ci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<Isolation>,
    /// For `'ci_aux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_aux: Option<Isolation>,
    /// For `'human`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human: Option<Isolation>,
    /// For `'agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Isolation>,
}

fn euro() -> String {
    "EUR".to_owned()
}
