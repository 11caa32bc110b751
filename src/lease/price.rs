//! [`HourlyPrice`] and [`Made`]: what a runner costs, and since when it does.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::report::envelope::Cost;

/// Seconds in the hour that is billed.
const HOUR: u64 = 3600;

/// What an hour of a runner costs, as its provider says. Every hour that was begun is billed as a whole one, from the
/// creation to the deletion, whether the machine is on or not: that is how the clouds of this project bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourlyPrice {
    /// Of one hour, with taxes as the provider would bill them.
    #[serde(with = "rust_decimal::serde::str")]
    pub amount: Decimal,
    /// ISO 4217 code: `EUR`.
    pub currency: String,
}

impl HourlyPrice {
    /// A price from a provider's decimal text; `None` when it is none, or negative.
    pub fn parse(amount: &str, currency: &str) -> Option<Self> {
        let amount: Decimal = amount.trim().parse().ok()?;
        let currency = currency.trim();
        let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
        (is_code && !amount.is_sign_negative()).then(|| Self { amount, currency: currency.to_owned() })
    }

    /// What so many seconds cost. Even none is one hour: it was begun.
    pub fn of_seconds(&self, seconds: u64) -> Cost {
        let hours = seconds.div_ceil(HOUR).max(1);
        let amount = self.amount.checked_mul(Decimal::from(hours)).unwrap_or(Decimal::MAX);
        Cost {
            amount: amount.normalize().to_string(),
            currency: self.currency.clone(),
            billed_hours: u32::try_from(hours).unwrap_or(u32::MAX),
            used_seconds: seconds,
        }
    }

    /// What a runner has cost between its creation and `now`.
    pub fn between(&self, created_at: Timestamp, now: Timestamp) -> Cost {
        self.of_seconds(u64::try_from(now.duration_since(created_at).as_secs()).unwrap_or(0))
    }
}

/// A runner that its provider has confirmed to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The provider's own id of it. Never empty.
    pub remote_id: String,
    /// Since when it costs something, by the provider's clock where that is known.
    pub since: Timestamp,
    /// What an hour of it costs; `None` where nothing is billed, or nobody says what.
    pub price: Option<HourlyPrice>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hour_that_was_begun_is_billed() {
        let price = HourlyPrice::parse("0.0107000000", "EUR").unwrap();
        for (seconds, hours, amount) in
            [(0, 1, "0.0107"), (3600, 1, "0.0107"), (3601, 2, "0.0214"), (36_000, 10, "0.107")]
        {
            let cost = price.of_seconds(seconds);
            assert_eq!((cost.billed_hours, cost.amount.as_str(), cost.used_seconds), (hours, amount, seconds));
        }
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(price.between(at(100), at(3701)).billed_hours, 2);
        assert_eq!(price.between(at(100), at(0)).billed_hours, 1, "clocks differ");
    }

    #[test]
    fn a_price_is_a_number_and_a_currency() {
        for (amount, currency) in [("", "EUR"), ("x", "EUR"), ("-1", "EUR"), ("1", ""), ("1", "eur"), ("1", "EURO")] {
            assert_eq!(HourlyPrice::parse(amount, currency), None, "{amount} {currency}");
        }
        let price = HourlyPrice::parse("1.5", "USD").unwrap();
        let text = serde_json::to_string(&price).unwrap();
        assert_eq!(text, r#"{"amount":"1.5","currency":"USD"}"#);
        assert_eq!(serde_json::from_str::<HourlyPrice>(&text).unwrap(), price);
    }
}
