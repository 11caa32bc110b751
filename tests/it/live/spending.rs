//! [`Spending`]: what a run may cost, and what it has cost so far.

use std::sync::atomic::{AtomicU32, Ordering};

use rust_decimal::Decimal;

/// What a run may cost, and what it has cost so far: each server that is asked for counts as one started hour, also when it
/// never comes. No case lasts an hour, so none costs two.
#[derive(Debug)]
pub(super) struct Spending {
    most: Decimal,
    /// One started hour of one server, in EUR with tax.
    hourly: Decimal,
    asked: AtomicU32,
}

impl Spending {
    /// What is planned, when it fits.
    ///
    /// # Errors
    /// When the worst case costs more than it may.
    pub(super) fn plan(servers: u32, hourly: Decimal, most: Decimal) -> Result<Self, String> {
        let worst = hourly * Decimal::from(servers);
        if worst > most {
            return Err(format!(
                "refused: {servers} servers at {} EUR are {} EUR, and `{}` allows {most}. Nothing was made",
                hourly.normalize(),
                worst.normalize(),
                super::settings::MOST
            ));
        }
        Ok(Self { most, hourly, asked: AtomicU32::new(0) })
    }

    /// One more server is about to be asked for.
    ///
    /// # Panics
    /// When it would cost more than it may: whoever asks is stopped before the request.
    pub(super) fn one_more(&self) {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let cost = self.hourly * Decimal::from(asked);
        assert!(cost <= self.most, "stopped: one more server would make it {} EUR of {}", cost.normalize(), self.most);
    }

    /// How many servers were asked for.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    /// What they cost at most.
    pub(super) fn cost(&self) -> Decimal {
        (self.hourly * Decimal::from(self.asked())).normalize()
    }
}
