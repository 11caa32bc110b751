//! [`MoneyCaps`]: `caps.cost_per_day`, what builds may cost in 24 hours.

use rust_decimal::Decimal;

use super::Finding;
use super::verdict::over_policy;
use crate::error::Result;
use crate::inputs::policy::{Money as Most, Policies, Rule};
use crate::plan::{Money, Price};
use crate::report::envelope::Cost;

/// The caps on money that a policy sets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MoneyCaps(Vec<(Rule, Most)>);

/// What was spent in the last 24 hours; `None` when that cannot be read.
pub type Spent<'a> = Option<&'a [Cost]>;

impl MoneyCaps {
    /// Those of `policies`.
    pub fn of(policies: &Policies) -> Self {
        let said = policies.said("caps.cost_per_day", |policy| policy.caps.cost_per_day.as_ref());
        Self(said.map(|(rule, most)| (rule, most.clone())).collect())
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one more attempt at `money` may be made, after what was spent.
    ///
    /// # Errors
    /// With every cap that it would break.
    pub fn admit(&self, provider: &str, money: &Money, spent: Spent<'_>) -> Result<()> {
        let refused: Vec<String> = self.findings(provider, money, spent).iter().map(ToString::to_string).collect();
        if refused.is_empty() { Ok(()) } else { Err(over_policy(&refused)) }
    }

    /// The caps that one more attempt at `money` would break. The most that it can cost counts, not what it will.
    pub(in crate::plan) fn findings(&self, provider: &str, money: &Money, spent: Spent<'_>) -> Vec<Finding> {
        if money.each == Price::Nothing {
            return Vec::new();
        }
        self.0.iter().filter_map(|(rule, most)| broken(rule, most, provider, money, spent)).collect()
    }
}

fn broken(rule: &Rule, most: &Most, provider: &str, money: &Money, spent: Spent<'_>) -> Option<Finding> {
    let allowed = || format!("at most {} {} in 24 hours", most.amount, most.currency);
    let refused = |asked: String| Some(Finding::refused(rule.clone(), asked, allowed()));
    let Some(next) = money.most_each() else {
        return refused(format!("a runner of `{provider}`, whose price is not known,"));
    };
    if next.currency != most.currency {
        return refused(format!("a runner of `{provider}` for {} {}", next.amount, next.currency));
    }
    let Some(spent) = spent else {
        return refused("a runner, while what was spent cannot be read,".to_owned());
    };
    let number = |text: &str| text.parse::<Decimal>().unwrap_or(Decimal::MAX);
    let of_this_currency = spent.iter().filter(|cost| cost.currency == most.currency);
    let before = of_this_currency.fold(Decimal::ZERO, |sum, cost| sum.saturating_add(number(&cost.amount)));
    let cap = Decimal::try_from(most.amount).unwrap_or(Decimal::ZERO);
    if before.saturating_add(number(&next.amount)) <= cap {
        return None;
    }
    let (before, currency) = (before.normalize(), &next.currency);
    refused(format!("a runner for up to {} {currency} after {before} {currency}", next.amount))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inputs::policy::policies;
    use crate::lease::HourlyPrice;

    fn said(caps: serde_json::Value, money: &Money, spent: Spent<'_>) -> Vec<String> {
        let rules = policies(&[(json!({ "caps": caps }), &[("caps", 3)])]);
        MoneyCaps::of(&rules).findings("cloud", money, spent).iter().map(ToString::to_string).collect()
    }

    fn hourly(amount: &str, currency: &str) -> Money {
        Money::hourly(5, &HourlyPrice::parse(amount, currency).unwrap(), 4000)
    }

    #[test]
    fn what_may_cost_anything_is_refused_and_what_costs_nothing_is_not() {
        let cap = json!({ "cost_per_day": { "amount": 2.5 } });
        assert_eq!(
            said(cap.clone(), &Money::unknown(5), Some(&[])),
            [
                "/p0:3 (caps.cost_per_day): a runner of `cloud`, whose price is not known, is asked for, and at most 2.5 EUR in \
              24 hours is allowed"
            ]
        );
        assert_eq!(said(cap, &Money::nothing(5), None), [""; 0]);
        assert_eq!(said(json!({}), &Money::unknown(5), Some(&[])), [""; 0]);
    }

    #[test]
    fn what_was_spent_counts_and_the_next_attempt_at_its_most() {
        let cap = || json!({ "cost_per_day": { "amount": 0.3 } });
        let spent = |amount: &str| {
            vec![Cost { amount: amount.to_owned(), currency: "EUR".to_owned(), billed_hours: 1, used_seconds: 1 }; 2]
        };
        // Two hours an attempt.
        assert_eq!(said(cap(), &hourly("0.1", "EUR"), Some(&spent("0.05"))), [""; 0]);
        let refused = said(cap(), &hourly("0.1", "EUR"), Some(&spent("0.06")));
        assert!(refused[0].contains("a runner for up to 0.2 EUR after 0.12 EUR is asked for"), "{refused:?}");
        assert!(said(cap(), &hourly("0.1", "USD"), Some(&[]))[0].contains("for 0.2 USD"));
        assert!(said(cap(), &hourly("0.1", "EUR"), None)[0].contains("cannot be read"));
    }
}
