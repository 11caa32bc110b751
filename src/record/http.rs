//! [`HttpStore`]: the history that a vm-pool keeps, beside our own.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::Workspace;
use crate::pool_api::{self, P95, PostMetrics};
use crate::provider::vm_pool::{PoolClient, VmPoolConfig};
use crate::record::{Advice, Approved, AttemptRecord, StateStore};
use crate::sanitise;

/// How long a pool may take to say what past runs needed, and to take the metrics of one: nobody waits longer for either.
const LIMIT: Duration = Duration::from_secs(3);

/// The longest name of who approved a size that is shown.
const LONGEST_NAME: usize = 64;

/// The history of a vm-pool: of all who lease there, so that a CI job with an empty home has one too.
#[derive(Debug)]
pub struct HttpStore {
    client: PoolClient,
}

impl HttpStore {
    /// The history of this pool. Asks nothing of it yet.
    pub fn new(config: &VmPoolConfig) -> Self {
        Self { client: config.client() }
    }
}

#[async_trait]
impl StateStore for HttpStore {
    async fn record(&self, attempt: AttemptRecord) -> Result<()> {
        let metrics = to_wire(&attempt);
        self.client
            .post_metrics(&metrics, LIMIT)
            .await
            .map_err(|failure| failure.into_error().of_kind(ErrorKind::State))
    }

    async fn advice(&self, workspace: &Workspace, platform: &str) -> Result<Advice> {
        let said = self.client.p95(workspace.as_str(), platform, LIMIT).await;
        match said.map_err(|failure| failure.into_error().of_kind(ErrorKind::State))? {
            None => Ok(Advice::default()),
            Some(said) if said.workspace == workspace.as_str() => Ok(from_wire(said)),
            Some(_) => Err(Error::new(ErrorKind::State, "the pool answered with the history of another workspace")),
        }
    }

    /// A pool adds up what it is told, and lists none of it.
    async fn history(&self, _workspace: Option<&Workspace>, _limit: u32) -> Result<Vec<AttemptRecord>> {
        Err(Error::new(ErrorKind::State, "a pool does not list single runs"))
    }
}

fn to_wire(attempt: &AttemptRecord) -> PostMetrics {
    let metrics = attempt.metrics.as_ref();
    PostMetrics {
        run_id: attempt.run_id.to_string(),
        workspace: attempt.workspace.to_string(),
        platform: attempt.platform.clone(),
        build_kind: attempt.build_kind.clone(),
        actor: attempt.actor.as_str().to_owned(),
        attempt: attempt.attempt,
        runner_type: attempt.runner_type.clone(),
        outcome: attempt.outcome.as_str().to_owned(),
        cpu_p95: metrics.map(|metrics| metrics.cpu_p95),
        mem_p95: metrics.map(|metrics| metrics.mem_p95),
        mem_peak: metrics.map(|metrics| metrics.mem_peak),
        seconds: attempt.seconds,
        cpu: Some(attempt.cpu),
        memory_gb: Some(attempt.memory_gb),
    }
}

/// What is no amount is looked at where sizes are decided; what is shown is made safe here.
fn from_wire(said: P95) -> Advice {
    let sample = |value: f64| (value > 0.0).then_some(value);
    Advice {
        samples: said.samples,
        cpu_p95: sample(said.cpu_p95),
        cpu_at_least: said.cpu_at_least,
        mem_p95: sample(said.mem_p95),
        mem_more_than: said.mem_more_than,
        approved: said.approved.and_then(approved),
    }
}

/// An approval without a time is none.
fn approved(said: pool_api::Approved) -> Option<Approved> {
    let at: Timestamp = said.at.parse().ok()?;
    let by = sanitise::short(&sanitise::line(&said.by), LONGEST_NAME);
    Some(Approved { cpu: said.cpu, memory_gb: said.memory_gb, by, at: at.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Metrics;

    #[test]
    fn what_a_pool_says_is_read_with_care() {
        let said = P95 {
            workspace: "shop".to_owned(),
            cpu_p95: 0.0,
            mem_p95: 5.0,
            samples: 7,
            cpu_at_least: Some(4.0),
            mem_more_than: None,
            approved: Some(pool_api::Approved {
                cpu: 4.0,
                memory_gb: 8.0,
                by: "an\u{1b}[31mn\n".to_owned(),
                at: "2026-11-29T10:00:00Z".to_owned(),
            }),
        };
        let advice = from_wire(said.clone());
        assert_eq!(
            (advice.samples, advice.cpu_p95, advice.cpu_at_least, advice.mem_p95),
            (7, None, Some(4.0), Some(5.0))
        );
        let by = advice.approved.unwrap().by;
        assert!(by.starts_with("an") && !by.contains(['\u{1b}', '\n']), "{by:?}");
        let undated = said.approved.clone().map(|approved| pool_api::Approved { at: "soon".to_owned(), ..approved });
        assert_eq!(from_wire(P95 { approved: undated, ..said }).approved, None);
    }

    #[test]
    fn an_attempt_is_told_with_what_it_could_use() {
        let metrics = Metrics { cpu_p95: 1.5, mem_p95: 2.0, mem_peak: 3.0 };
        let told = to_wire(&AttemptRecord { metrics: Some(metrics), ..AttemptRecord::example() });
        assert_eq!((told.cpu, told.memory_gb, told.mem_peak), (Some(4.0), Some(8.0), Some(3.0)));
        assert_eq!((told.outcome.as_str(), told.actor.as_str()), ("succeeded", "human"));
        assert_eq!(to_wire(&AttemptRecord::example()).cpu_p95, None);
    }
}
