//! [`Meter`] and [`Bill`]: what the servers cost. Each started hour counts, from the creation until the DELETE; whether the
//! power is on is irrelevant.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::money::Money;

/// What was ever rented.
#[derive(Debug, Default)]
pub struct Meter(Mutex<Vec<Entry>>);

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A machine.
    Server,
    /// A public address.
    PrimaryIp,
}

/// One thing that is paid for, as the meter knows it.
#[derive(Debug, Clone)]
pub struct Metered {
    /// What it is.
    pub kind: Kind,
    /// The cloud's id.
    pub id: String,
    /// The name it was created with.
    pub name: String,
    /// Its size, by the cloud's name.
    pub server_type: String,
    /// Where it stands.
    pub location: String,
    /// The labels it was created with.
    pub labels: BTreeMap<String, String>,
    /// The price of one started hour.
    pub hourly: Money,
    /// Since when it is paid for.
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
struct Entry {
    metered: Metered,
    deleted: Option<Timestamp>,
}

/// What is owed at one time.
#[derive(Debug, Clone, Serialize)]
pub struct Bill {
    /// One line for each server and each address that is paid for, in the order of their creation.
    pub lines: Vec<Line>,
    /// The sum of all lines.
    pub total: Money,
}

/// What one thing costs.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// The cloud's id.
    pub id: String,
    /// The name it was created with.
    pub name: String,
    /// Its size, by the cloud's name.
    pub server_type: String,
    /// Where it stands or stood.
    pub location: String,
    /// The labels it was created with.
    pub labels: BTreeMap<String, String>,
    /// Since when it is paid for.
    pub created: Timestamp,
    /// Until when; `None` while the meter runs.
    pub deleted: Option<Timestamp>,
    /// Started hours.
    pub hours: u64,
    /// The price of one.
    pub hourly: Money,
    /// Both multiplied.
    pub amount: Money,
}

impl Bill {
    /// The lines of servers.
    pub fn servers(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.kind == Kind::Server)
    }

    /// The lines of servers that were created with this name: names are free again after a DELETE.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> {
        self.servers().filter(move |line| line.name == name)
    }

    /// The started hours of all servers.
    pub fn hours(&self) -> u64 {
        self.servers().map(|line| line.hours).sum()
    }

    /// What the servers cost, without their addresses.
    pub fn servers_total(&self) -> Money {
        self.servers().map(|line| line.amount).sum()
    }

    /// The lines whose meter still runs.
    pub fn running(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.deleted.is_none())
    }
}

impl Meter {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is there from now on.
    pub fn begin(&self, metered: Metered) {
        self.entries().push(Entry { metered, deleted: None });
    }

    /// What has this id is gone. Only the first time counts.
    pub fn end(&self, id: &str, at: Timestamp) {
        if let Some(entry) = self.entries().iter_mut().find(|entry| entry.metered.id == id && entry.deleted.is_none()) {
            entry.deleted = Some(at);
        }
    }

    /// What is owed at `now`.
    pub fn bill(&self, now: Timestamp) -> Bill {
        let lines: Vec<Line> = self.entries().iter().map(|entry| line(entry, now)).collect();
        let total = lines.iter().map(|line| line.amount).sum();
        Bill { lines, total }
    }
}

fn line(Entry { metered, deleted }: &Entry, now: Timestamp) -> Line {
    let hours = started_hours(metered.created, deleted.unwrap_or(now));
    Line {
        kind: metered.kind,
        id: metered.id.clone(),
        name: metered.name.clone(),
        server_type: metered.server_type.clone(),
        location: metered.location.clone(),
        labels: metered.labels.clone(),
        created: metered.created,
        deleted: *deleted,
        hours,
        hourly: metered.hourly,
        amount: metered.hourly * hours,
    }
}

/// Each started hour counts as a whole one, the first one from its first moment.
fn started_hours(from: Timestamp, to: Timestamp) -> u64 {
    const HOUR_MS: i128 = 3_600_000;
    let ms = to.duration_since(from).as_millis().max(0);
    u64::try_from((ms + HOUR_MS - 1) / HOUR_MS).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn server(id: &str, created: i64) -> Metered {
        Metered {
            kind: Kind::Server,
            id: id.to_owned(),
            name: format!("server-{id}"),
            server_type: "cax11".to_owned(),
            location: "fsn1".to_owned(),
            labels: BTreeMap::new(),
            hourly: "0.0053".parse().unwrap(),
            created: at(created),
        }
    }

    #[test]
    fn each_started_hour_is_paid() {
        for (seconds, hours) in [(0, 1), (1, 1), (3600, 1), (3601, 2), (7200, 2), (86_400, 24)] {
            assert_eq!(started_hours(at(1000), at(1000 + seconds)), hours, "{seconds} s");
        }
    }

    #[test]
    fn a_deleted_server_costs_no_more() {
        let meter = Meter::default();
        meter.begin(server("1", 0));
        meter.begin(server("2", 0));
        meter.end("1", at(60));
        meter.end("1", at(99_999));
        let bill = meter.bill(at(3601));
        assert_eq!(bill.hours(), 3);
        assert_eq!(bill.total.to_string(), "0.0159");
        assert_eq!(bill.running().map(|line| line.id.as_str()).collect::<Vec<_>>(), ["2"]);
        assert_eq!(bill.of("server-1").next().unwrap().amount.to_string(), "0.0053");
    }
}
