//! [`Numbers`]: what a pool counts, as Prometheus reads it. No label has more values than there are routes, codes, stages or
//! providers: neither leases nor workspaces nor tokens are named.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::pool_api::Code;

/// Upper bounds of a request's duration, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How often requests of one route took how long.
#[derive(Debug, Clone, Default)]
struct Durations {
    below: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

/// What a pool counts.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    durations: Mutex<BTreeMap<&'static str, Durations>>,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    expired: AtomicU64,
    releases_unconfirmed: AtomicU64,
    renewals_failed: AtomicU64,
    ledger_failures: AtomicU64,
    connections_refused: AtomicU64,
}

impl Numbers {
    /// A request was answered.
    pub(super) fn answered(&self, route: &'static str, status: u16, took: Duration) {
        *lock(&self.requests).entry((route, status)).or_default() += 1;
        let mut all = lock(&self.durations);
        let durations = all.entry(route).or_default();
        let seconds = took.as_secs_f64();
        durations.count += 1;
        durations.seconds += seconds;
        for (below, bound) in durations.below.iter_mut().zip(BOUNDS) {
            *below += u64::from(seconds <= bound);
        }
    }

    /// A lease came to nothing after it was taken in.
    pub(super) fn failed(&self, code: Code) {
        *lock(&self.failures).entry(code_name(code)).or_default() += 1;
    }

    /// A lease was ended by the pool.
    pub(super) fn expired(&self) {
        self.expired.fetch_add(1, Ordering::Relaxed);
    }

    /// A release was not confirmed, and is tried again.
    pub(super) fn release_unconfirmed(&self) {
        self.releases_unconfirmed.fetch_add(1, Ordering::Relaxed);
    }

    /// A provider did not take a renewal.
    pub(super) fn renewal_failed(&self) {
        self.renewals_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Something could not be written to the disk.
    pub(super) fn ledger_failed(&self) {
        self.ledger_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection came to nothing before a request.
    pub(super) fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it in Prometheus's text format, with the leases that are held by provider and stage.
    pub(super) fn text(&self, leases: &BTreeMap<(String, &'static str), u64>) -> String {
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        head(&mut text, "lian_pool_info", "gauge", "The program's version.");
        let _ = writeln!(text, "lian_pool_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        head(&mut text, "lian_pool_leases", "gauge", "Leases that are held, by provider and stage.");
        for ((provider, stage), count) in leases {
            let _ = writeln!(text, "lian_pool_leases{{provider=\"{provider}\",stage=\"{stage}\"}} {count}");
        }
        head(
            &mut text,
            "lian_pool_requests_total",
            "counter",
            "Requests that were answered, by route and HTTP status.",
        );
        for ((route, status), count) in lock(&self.requests).iter() {
            let _ = writeln!(text, "lian_pool_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}");
        }
        let name = "lian_pool_request_seconds";
        head(&mut text, name, "histogram", "How long requests took, by route.");
        for (route, durations) in lock(&self.durations).iter() {
            for (below, bound) in durations.below.iter().zip(BOUNDS) {
                let _ = writeln!(text, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(text, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {}", durations.count);
            let _ = writeln!(text, "{name}_sum{{route=\"{route}\"}} {}", durations.seconds);
            let _ = writeln!(text, "{name}_count{{route=\"{route}\"}} {}", durations.count);
        }
        let name = "lian_pool_leases_failed_total";
        head(&mut text, name, "counter", "Leases that came to nothing after they were taken in, by code.");
        for (code, count) in lock(&self.failures).iter() {
            let _ = writeln!(text, "{name}{{code=\"{code}\"}} {count}");
        }
        for (name, help, count) in [
            (
                "lian_pool_leases_expired_total",
                "Leases that the pool ended because nobody renewed them.",
                &self.expired,
            ),
            (
                "lian_pool_releases_unconfirmed_total",
                "Attempts to destroy a runner that were not confirmed and are tried again.",
                &self.releases_unconfirmed,
            ),
            (
                "lian_pool_provider_renewals_failed_total",
                "Renewals that a provider did not take.",
                &self.renewals_failed,
            ),
            ("lian_pool_ledger_failures_total", "Writes to the pool's file that failed.", &self.ledger_failures),
            (
                "lian_pool_connections_refused_total",
                "Connections that came to nothing before a request.",
                &self.connections_refused,
            ),
        ] {
            head(&mut text, name, "counter", help);
            let _ = writeln!(text, "{name} {}", count.load(Ordering::Relaxed));
        }
        text
    }
}

/// The code as it stands in answers.
pub(super) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::NoCapacity => "no_capacity",
        Code::Quota => "quota",
        Code::OverPolicy => "over_policy",
        Code::UnknownLease => "unknown_lease",
        Code::KeyReused => "key_reused",
        Code::Invalid => "invalid",
        Code::Unauthorized => "unauthorized",
        Code::Internal => "internal",
        Code::Other => "other",
    }
}

fn lock<T>(numbers: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_that_prometheus_reads() {
        let numbers = Numbers::default();
        numbers.answered("create", 201, Duration::from_millis(3));
        numbers.answered("create", 429, Duration::from_secs(60));
        numbers.failed(Code::NoCapacity);
        numbers.expired();
        let leases = BTreeMap::from([(("hcloud".to_owned(), "ready"), 7)]);
        let text = numbers.text(&leases);
        let line = regex::Regex::new(
            r#"^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? [0-9.e+-]+)$"#,
        );
        let line = line.unwrap();
        for one in text.lines() {
            assert!(line.is_match(one), "{one}");
        }
        for expected in [
            "lian_pool_leases{provider=\"hcloud\",stage=\"ready\"} 7",
            "lian_pool_requests_total{route=\"create\",status=\"201\"} 1",
            "lian_pool_request_seconds_bucket{route=\"create\",le=\"0.005\"} 1",
            "lian_pool_request_seconds_bucket{route=\"create\",le=\"+Inf\"} 2",
            "lian_pool_leases_failed_total{code=\"no_capacity\"} 1",
            "lian_pool_leases_expired_total 1",
        ] {
            assert!(text.lines().any(|one| one == expected), "{expected} in {text}");
        }
        // A histogram's buckets never go down.
        let buckets: Vec<u64> = text
            .lines()
            .filter_map(|one| one.strip_prefix("lian_pool_request_seconds_bucket")?.rsplit_once(' ')?.1.parse().ok())
            .collect();
        assert!(buckets.is_sorted() && buckets.len() == BOUNDS.len() + 1, "{buckets:?}");
    }
}
