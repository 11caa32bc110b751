//! [`HeldPoolLease`]: what this process holds for one lease of a pool.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, Refused};
use super::{DIR, PoolClient, VmPoolConfig, reached};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Endpoint, HourlyPrice, LeaseRequest, Made};
use crate::lock_file::LockFile;
use crate::pool_api::{Code, CreateLease, PoolLease, PoolState};
use crate::provider::Watch;
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::host::runtime_dir::prepare_runtime_dir;
use crate::report::envelope::Cost;

/// For how long the request for a runner is sent again while its failures may pass.
const CREATE_LIMIT: Duration = Duration::from_secs(90);

/// The first pause between two such requests; each later one is twice as long.
const CREATE_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a pool may take to make a runner.
const READY_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How often it is asked how far it is.
const FIRST_POLL: Duration = Duration::from_millis(100);
const LAST_POLL: Duration = Duration::from_secs(3);

/// For how long a pool may be silent while it makes a runner.
const SILENCE: Duration = Duration::from_secs(60);

/// The shortest time for which a lease is asked for.
const LEAST_TTL: u64 = 60;

/// The highest price of an hour that is believed.
const HIGHEST_PRICE: u32 = 10_000;

/// What this process holds for one lease. Each field is set before, or at once when, the thing exists, so a release finds it
/// however far the acquisition came.
#[derive(Debug)]
pub(super) struct HeldPoolLease {
    dir: LeaseDir,
    lock: Option<LockFile>,
    /// The request that makes the runner: a task of its own, so that it has an end that is known also when nobody waits for it
    /// any more.
    pub(super) creating: Option<JoinHandle<Result<PoolLease, Failure>>>,
    /// True from just before the request goes out: before that there is nothing to release at the pool.
    pub(super) asked: bool,
    /// Cancelled by the first release: after it no request that makes something may be sent any more.
    pub(super) releasing: CancellationToken,
    endpoint: Option<Endpoint>,
}

impl HeldPoolLease {
    pub(super) fn new(config: &VmPoolConfig, lease: &LeaseId) -> Self {
        Self {
            dir: LeaseDir::new(&config.runtime_dir, DIR, lease),
            lock: None,
            creating: None,
            asked: false,
            releasing: CancellationToken::new(),
            endpoint: None,
        }
    }

    /// Leases the runner.
    pub(super) async fn acquire(
        &mut self,
        config: &VmPoolConfig,
        client: &Arc<PoolClient>,
        request: &LeaseRequest,
        watch: Watch<'_>,
    ) -> Result<Endpoint> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        prepare_runtime_dir(&config.runtime_dir)?;
        let lease = &request.lease_id;
        if self.lock.is_none() {
            self.lock = self.dir.take_lock().await?;
        }
        if self.lock.is_none() {
            return Err(Error::new(ErrorKind::Provider, format!("lease `{lease}` is held by another process")));
        }
        self.dir.create(&config.backend())?;
        self.dir.make_client_key().await?;
        watch.waiting("the pool to lease a runner");
        let body = body(config, request, self.dir.client_public().await?);
        let made = self.create(client, lease, body).await?;
        let ready = wait_until_ready(client, lease, made, watch).await?;
        let endpoint = reached::endpoint(&ready, request, config, &self.dir, &|text| client.quote(text))?;
        self.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// Asks for the runner, or waits for the answer to an earlier request of this lease.
    async fn create(&mut self, client: &Arc<PoolClient>, lease: &LeaseId, body: CreateLease) -> Result<PoolLease> {
        if self.releasing.is_cancelled() {
            return Err(Error::new(ErrorKind::Provider, format!("lease `{lease}` is being released")));
        }
        if self.creating.is_none() {
            self.dir.set_creating(true)?;
            self.asked = true;
            let (client, lease, releasing) = (Arc::clone(client), lease.clone(), self.releasing.clone());
            self.creating = Some(tokio::spawn(async move { send(&client, &lease, &body, &releasing).await }));
        }
        let Some(creating) = &mut self.creating else {
            return Err(Error::new(ErrorKind::Provider, "the request was not sent"));
        };
        let ended = creating.await;
        self.creating = None;
        match ended {
            Ok(Ok(made)) => {
                self.dir.set_creating(false)?;
                Ok(made)
            }
            Ok(Err(failure)) => {
                if matches!(failure, Failure::Refused(_) | Failure::Final(_)) {
                    self.dir.set_creating(false)?;
                }
                // Then there is nothing to be released, and who is let in no more need not be asked.
                self.asked = !matches!(failure, Failure::Refused(_));
                Err(failure.into_error())
            }
            Err(panic) => Err(Error::new(ErrorKind::Provider, "the request for a runner died").because(panic)),
        }
    }

    /// Removes what this machine has of the lease, once it is gone.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` naming what is left.
    pub(super) async fn forget(&mut self, config: &VmPoolConfig) -> Result<()> {
        self.endpoint = None;
        if self.lock.is_some() {
            // Before the lock goes: what could not be removed must not be called removed by the next attempt.
            self.dir.remove().await?;
        }
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
        lease_dir::remove_parent(&config.runtime_dir, DIR);
        Ok(())
    }
}

/// What the pool is asked for.
fn body(config: &VmPoolConfig, request: &LeaseRequest, ssh_public_key: String) -> CreateLease {
    let seconds = |duration: SignedDuration| u64::try_from(duration.as_secs()).unwrap_or(0).max(LEAST_TTL);
    let ttl = seconds(request.expires_at.duration_since(request.created_at));
    CreateLease {
        workspace: request.workspace.to_string(),
        provider: config.asks_for.clone(),
        runner_type: Some(request.tier.name.clone()),
        cpu: request.tier.cpu,
        memory_gb: request.tier.memory_gb,
        memory_is_explicit: request.memory_is_explicit,
        disk_gb: request.tier.disk_gb,
        arch: request.architecture.clone(),
        ssh_public_key,
        ttl_s: crate::failpoint::seconds("pool-ttl", Duration::from_secs(ttl)).as_secs(),
        max_ttl_s: seconds(request.hard_deadline.duration_since(request.created_at)),
        labels: request.labels().to_map(),
    }
}

/// Sends the request, and again with the same key while its failures may pass: also a reply that was lost is such a one.
async fn send(
    client: &PoolClient,
    lease: &LeaseId,
    body: &CreateLease,
    releasing: &CancellationToken,
) -> Result<PoolLease, Failure> {
    let (mut pause, mut waited, mut is_first) = (CREATE_PAUSE, Duration::ZERO, true);
    loop {
        let failure = match client.create(lease, body).await {
            Err(failure) if failure.is_passing() && waited < CREATE_LIMIT => failure,
            // An earlier one may have been carried out whose answer was lost.
            Err(Failure::Refused(error)) if !is_first => return Err(Failure::Final(error)),
            ended => return ended,
        };
        is_first = false;
        let wait = failure.pause(pause);
        tokio::select! {
            biased;
            () = releasing.cancelled() => return Err(failure),
            () = tokio::time::sleep(wait) => {}
        }
        waited += wait;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks how far it is until it is ready. That the runner is made is told when the pool says what it costs, or that it is ready:
/// before that its own provider has not confirmed it.
async fn wait_until_ready(
    client: &PoolClient,
    lease: &LeaseId,
    made: PoolLease,
    watch: Watch<'_>,
) -> Result<PoolLease> {
    let waiting = async {
        let (mut standing, mut pause, mut silent_for) = (made, FIRST_POLL, Duration::ZERO);
        let mut is_told = false;
        loop {
            check_name(client, &standing, lease)?;
            if !is_told && (standing.cost.is_some() || standing.state == PoolState::Ready) {
                watch.created(&Made { remote_id: lease.to_string(), ..since(standing.cost.as_ref()) }).await;
                is_told = true;
            }
            match standing.state {
                PoolState::Ready => return Ok(standing),
                PoolState::Failed => return Err(failed(client, &standing)),
                PoolState::Released => {
                    let what = format!("has released the lease `{lease}` before it was used");
                    return Err(client.error(ErrorKind::Provider, &what));
                }
                PoolState::Pending | PoolState::Unknown => {}
            }
            let reason = standing.reason.as_deref().map(|reason| client.quote(reason));
            watch.waiting(&match reason.filter(|reason| !reason.is_empty()) {
                Some(reason) => format!("the pool's runner ({reason})"),
                None => "the pool's runner".to_owned(),
            });
            tokio::time::sleep(pause).await;
            match client.get(lease).await {
                Ok(found) => {
                    standing = found;
                    silent_for = Duration::ZERO;
                }
                Err(failure) if failure.is_passing() && silent_for < SILENCE => silent_for += pause,
                Err(failure) => return Err(failure.into_error()),
            }
            pause = (pause * 2).min(LAST_POLL);
        }
    };
    tokio::time::timeout(READY_LIMIT, waiting).await.unwrap_or_else(|_| {
        let what = format!("did not make the runner `{lease}` within {} minutes", READY_LIMIT.as_secs() / 60);
        Err(client.error(ErrorKind::Provider, &what))
    })
}

/// A runner that could not be made, by what the pool would have said had it known at once.
fn failed(client: &PoolClient, standing: &PoolLease) -> Error {
    let said = standing.reason.as_deref().map(|reason| client.quote(reason)).filter(|reason| !reason.is_empty());
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    match standing.code {
        Some(code @ (Code::NoCapacity | Code::Quota | Code::OverPolicy | Code::Invalid)) => Failure::refused(Refused {
            pool: client.shown(),
            doing: "lease a runner",
            status: code.status(),
            code: Some(code),
            said,
            after: None,
            with_token: true,
            creates: true,
        })
        .into_error(),
        _ => client.error(ErrorKind::Provider, &format!("could not make the runner{said}")),
    }
}

/// An answer about another lease is about nothing of ours.
fn check_name(client: &PoolClient, found: &PoolLease, lease: &LeaseId) -> Result<()> {
    if found.lease_id == lease.as_str() {
        return Ok(());
    }
    let what = format!("answered with the lease `{}` when asked for `{lease}`", client.quote(&found.lease_id));
    Err(client.error(ErrorKind::Provider, &what))
}

/// Since when the runner costs something, and what an hour of it does, by what it has cost so far.
fn since(cost: Option<&Cost>) -> Made {
    let now = SystemClock.now();
    let price = cost.and_then(hourly);
    let used = cost.filter(|_| price.is_some()).map_or(0, |cost| cost.used_seconds);
    let used = SignedDuration::from_secs(i64::try_from(used.min(30 * 86_400)).unwrap_or(0));
    let since: Timestamp = now.checked_sub(used).unwrap_or(now);
    Made { remote_id: String::new(), since, price }
}

/// The price of one of the hours that were billed; `None` for what is no price.
fn hourly(cost: &Cost) -> Option<HourlyPrice> {
    let amount: Decimal = cost.amount.parse().ok()?;
    let each = amount.checked_div(Decimal::from(cost.billed_hours.max(1)))?;
    (each <= Decimal::from(HIGHEST_PRICE)).then(|| HourlyPrice::parse(&each.to_string(), &cost.currency)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_is_what_one_billed_hour_cost() {
        let cost = |amount: &str, currency: &str, billed_hours| Cost {
            amount: amount.to_owned(),
            currency: currency.to_owned(),
            billed_hours,
            used_seconds: 60,
        };
        let price = hourly(&cost("0.0214", "EUR", 2)).unwrap();
        assert_eq!((price.amount.normalize().to_string().as_str(), price.currency.as_str()), ("0.0107", "EUR"));
        assert_eq!(hourly(&cost("1", "EUR", 0)).unwrap().amount, Decimal::ONE);
        for (amount, currency) in [("x", "EUR"), ("-1", "EUR"), ("1", "euro"), ("99999999", "EUR"), ("", "")] {
            assert_eq!(hourly(&cost(amount, currency, 1)), None, "{amount} {currency}");
        }
        assert_eq!(since(None).price, None);
    }
}
