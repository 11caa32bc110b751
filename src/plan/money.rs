//! [`Money`]: what a build can cost, as far as that can be told before it.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lease::HourlyPrice;
use crate::report::envelope::Cost;

/// What a build can cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// The price of one attempt.
    pub each: Price,
    /// The most attempts that one build may make.
    pub attempts: u32,
    /// What each hour that was begun costs; `null` where nothing is billed, or the price is not known.
    #[serde(default)]
    pub hourly: Option<Amount>,
    /// The most hours that are billed for one attempt; 0 where none are, or the price is not known.
    #[serde(default)]
    pub hours: u32,
}

/// What one attempt costs, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Price {
    /// The machine is there anyway.
    Nothing,
    /// Each hour that was begun.
    Hourly,
    /// It is not known.
    Unknown,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amount {
    /// A decimal number as text, so that no digit is lost.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
}

impl Money {
    /// Nothing is billed.
    pub const fn nothing(attempts: u32) -> Self {
        Self { each: Price::Nothing, attempts, hourly: None, hours: 0 }
    }

    /// Nobody says what it costs.
    pub const fn unknown(attempts: u32) -> Self {
        Self { each: Price::Unknown, attempts, hourly: None, hours: 0 }
    }

    /// At `price`, with attempts of so many seconds at most.
    pub fn hourly(attempts: u32, price: &HourlyPrice, seconds: u64) -> Self {
        let hourly = Amount { amount: price.amount.normalize().to_string(), currency: price.currency.clone() };
        Self { each: Price::Hourly, attempts, hourly: Some(hourly), hours: price.of_seconds(seconds).billed_hours }
    }

    /// The most that one attempt costs; `None` where nothing is billed, or the price is not known.
    pub fn most_each(&self) -> Option<Cost> {
        let hourly = self.hourly.as_ref()?;
        let amount: Decimal = hourly.amount.parse().ok()?;
        let amount = amount.checked_mul(Decimal::from(self.hours))?;
        Some(Cost {
            amount: amount.normalize().to_string(),
            currency: hourly.currency.clone(),
            billed_hours: self.hours,
            used_seconds: 0,
        })
    }

    /// Whether an attempt may cost more than one of `other`, or something that cannot be compared with it.
    pub fn is_dearer_than(&self, other: &Self) -> bool {
        if self.each != other.each {
            return self.each > other.each;
        }
        let (Some(own), Some(its)) = (self.most_each(), other.most_each()) else { return false };
        let number = |cost: &Cost| cost.amount.parse::<Decimal>().unwrap_or(Decimal::MAX);
        own.currency != its.currency || number(&own) > number(&its)
    }

    /// What an attempt costs, in words.
    pub fn words(&self) -> String {
        match (self.each, &self.hourly) {
            (Price::Nothing, _) => "nothing".to_owned(),
            (Price::Hourly, Some(hourly)) => {
                let hours = if self.hours == 1 { "one hour".to_owned() } else { format!("{} hours", self.hours) };
                format!("{} {} for each started hour, at most {hours} an attempt", hourly.amount, hourly.currency)
            }
            _ => "unknown".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(amount: &str, currency: &str, seconds: u64) -> Money {
        Money::hourly(5, &HourlyPrice::parse(amount, currency).unwrap(), seconds)
    }

    #[test]
    fn what_is_dearer_is_more_money_or_money_that_cannot_be_compared() {
        let base = hourly("0.01", "EUR", 3600);
        assert_eq!(base.words(), "0.01 EUR for each started hour, at most one hour an attempt");
        assert_eq!(base.most_each().map(|cost| cost.amount), Some("0.01".to_owned()));
        for (other, is_dearer) in [
            (Money::nothing(9), false),
            (hourly("0.0100", "EUR", 60), false),
            (hourly("0.009", "EUR", 3600), false),
            (hourly("0.01", "EUR", 3601), true),
            (hourly("0.011", "EUR", 1), true),
            (hourly("0.001", "USD", 1), true),
            (Money::unknown(1), true),
        ] {
            assert_eq!(other.is_dearer_than(&base), is_dearer, "{other:?}");
        }
        assert!(!Money::unknown(1).is_dearer_than(&Money::unknown(1)));
        assert!(base.is_dearer_than(&Money::nothing(1)));
    }

    #[test]
    fn a_document_of_an_older_version_reads_back() {
        let old: Money = serde_json::from_str(r#"{"each":"unknown","attempts":5}"#).unwrap();
        assert_eq!(old, Money::unknown(5));
    }
}
