//! The bill of the killed builds at Hetzner: of each server the started hours that the plan promised, at the plan's price.

use std::fmt;

use lian_simulators::bill::Line;
use rust_decimal::Decimal;
use serde_json::Value;

use super::cloud::is_machine;

/// The tax that prices are shown with and the bill is without.
const TAX: Decimal = Decimal::from_parts(119, 0, 0, false, 2);

/// What was promised, and what was paid for so far.
#[derive(Debug, Default)]
pub(super) struct Paid {
    /// One started hour, by the plan.
    hourly: Decimal,
    /// The most hours of one attempt, by the plan.
    most_hours: u64,
    servers: usize,
    hours: u64,
}

impl Paid {
    /// What the plan of a build promises, and nothing paid yet.
    pub(super) fn promised(plan: &Value) -> Self {
        let money = &plan["plan"]["reach"]["money"];
        assert_eq!((&money["each"], &money["hourly"]["currency"]), (&"hourly".into(), &"EUR".into()), "{plan}");
        let hourly = money["hourly"]["amount"].as_str().unwrap().parse().unwrap();
        Self { hourly, most_hours: money["hours"].as_u64().unwrap(), ..Self::default() }
    }

    /// The new servers are billed with so many hours each, and all that was billed is the plan's price.
    #[track_caller]
    pub(super) fn count(&mut self, billed: &[Line], new: &[&Line], hours: u64) {
        for line in new {
            assert_eq!((line.hours, line.server_type.as_str()), (hours, super::cloud::SIZE), "{line:?}");
        }
        let servers = billed.iter().filter(|line| is_machine(line));
        (self.servers, self.hours) = (servers.clone().count(), servers.map(|line| line.hours).sum());
        let net = billed.iter().map(|line| line.amount.to_string().parse::<Decimal>().unwrap()).sum::<Decimal>();
        let promised = self.hourly * Decimal::from(self.hours);
        assert_eq!((net * TAX).normalize(), promised.normalize(), "the bill is not the plan's: {billed:#?}");
    }
}

impl fmt::Display for Paid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = (self.hourly * Decimal::from(self.hours)).normalize();
        let beyond = match self.hours - u64::try_from(self.servers).unwrap() {
            0 => "one each".to_owned(),
            beyond => {
                format!("one each and {beyond} more, of a runner that was kept and whose caller's machine was lost")
            }
        };
        writeln!(
            f,
            "{} started hours billed, {beyond}: {amount} EUR with tax. The plan said {} EUR for each hour that is begun, and {} at most",
            self.hours, self.hourly, self.most_hours
        )
    }
}
