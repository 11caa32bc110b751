//! [`Money`]: an amount as clouds write it, in decimal. Nothing is rounded.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::Error;

/// Digits after the point.
const DIGITS: usize = 16;
const UNIT: u128 = 10_u128.pow(16);

/// An amount that is not negative, exact to 16 digits after the point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u128);

impl Money {
    /// With all its 16 digits, as Hetzner writes what taxes were added to: `0.0071400000000000`.
    pub fn long(self) -> String {
        format!("{}.{:016}", self.0 / UNIT, self.0 % UNIT)
    }

    /// So many per cent more.
    #[must_use]
    pub fn plus_percent(self, percent: u32) -> Self {
        Self(self.0 + self.0 * u128::from(percent) / 100)
    }
}

/// At least two digits after the point, and no zero after those.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let long = self.long();
        let (whole, part) = long.split_once('.').unwrap_or((&long, ""));
        write!(f, "{whole}.{:0<2}", part.trim_end_matches('0'))
    }
}

impl FromStr for Money {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::new(format!("`{text}` is no amount of money such as 0.0060"));
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || part.len() > DIGITS || !digits(whole) || !digits(part) {
            return Err(error());
        }
        let whole: u64 = whole.parse().map_err(|_| error())?;
        let part: u128 = format!("{part:0<DIGITS$}").parse().map_err(|_| error())?;
        Ok(Self(u128::from(whole) * UNIT + part))
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Mul<u64> for Money {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self(self.0 * u128::from(times))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!((money("0.0060") * 3 + money("0.1")).to_string(), "0.118");
        assert_eq!(money("12").to_string(), "12.00");
        assert_eq!(money("0.006").plus_percent(19).long(), "0.0071400000000000");
        assert_eq!([money("0.1"), money("0.2")].into_iter().sum::<Money>(), money("0.3"));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".5", "-1", "1,5", "0.00000000000000001", "1e3", "+1"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }
}
