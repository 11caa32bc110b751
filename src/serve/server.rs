//! [`Server`]: a pool that listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::Audit;
use super::http::{App, Tls, listen};
use super::ledger::{Ledger, Opened};
use super::limits::Limits;
use super::numbers::Numbers;
use super::pool::{Pool, REMEMBERED, Slots};
use super::reach::Callers;
use super::row::Stage;
use super::slot::{Intent, Slot};
use super::tokens::Tokens;
use crate::clock::SharedClock;
use crate::custody::Custodian;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::lease::OwnerId;
use crate::lock_file::LockFile;
use crate::plan::Tiers;
use crate::record::StateStore;

/// How often it is looked what is over.
const TICK: Duration = Duration::from_millis(250);

/// How often what ended long ago is forgotten on the disk.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// How long an end is remembered on the disk.
const KEPT_ENDED: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// How long requests under way may take when the server ends.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// What a server is made of.
#[derive(Debug)]
pub struct ServerParts {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate and key; without them it listens on loopback only.
    pub tls: Option<Tls>,
    /// Who may lease, in the order in which they are tried.
    pub custodians: Vec<Custodian>,
    /// Who may ask.
    pub tokens: Tokens,
    /// The sizes there are.
    pub tiers: Tiers,
    /// How much anybody gets.
    pub limits: Limits,
    /// Whose the runners are, where the pool has no owner of its own yet.
    pub owner: OwnerId,
    /// The pool's own directory.
    pub state: PathBuf,
    /// History of builds.
    pub store: Arc<dyn StateStore>,
    /// The clock.
    pub clock: SharedClock,
}

/// A pool that listens.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    has_tls: bool,
    pool: Arc<Pool>,
    stop: CancellationToken,
    tasks: TaskTracker,
    connections: TaskTracker,
    /// Held for as long as it lives: two servers of one directory would destroy each other's runners.
    _lock: LockFile,
}

impl Server {
    /// Takes up the leases that an earlier process left, and listens.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an address that must not be listened at without TLS; [`ErrorKind::State`] when the directory or
    /// the address cannot be used.
    pub async fn start(parts: ServerParts) -> Result<Self> {
        let has_tls = parts.tls.is_some();
        let is_loopback = parts.listen.ip().is_loopback();
        if !is_loopback && parts.tls.is_none() {
            return Err(Error::usage(format!("`{}` is not loopback, and there is no certificate", parts.listen))
                .hint("tokens would be sent in the clear: name `--tls-cert` and `--tls-key`, or listen on 127.0.0.1"));
        }
        for custodian in &parts.custodians {
            let provider = custodian.provider();
            if !is_loopback && provider.capabilities().isolation == crate::lease::Isolation::None {
                return Err(Error::usage(format!(
                    "runners of `{}` are this machine itself, and `{}` is not loopback",
                    provider.name(),
                    parts.listen
                ))
                .hint("whoever leases one has a shell here: serve a provider whose runners are apart"));
            }
        }
        crate::private_dir::create_private(&parts.state)
            .context(ErrorKind::State, || format!("cannot make `{}`", parts.state.display()))?;
        let lock = LockFile::try_take(&parts.state.join("serve.lock"))?.ok_or_else(|| {
            Error::new(ErrorKind::State, format!("another server uses `{}`", parts.state.display()))
                .hint("end it, or name another `--state-dir`")
        })?;
        let audit = Audit::open(&parts.state.join("audit.jsonl"))?;
        let now = parts.clock.now();
        let (state, owner) = (parts.state.clone(), parts.owner.clone());
        let opening = tokio::task::spawn_blocking(move || Ledger::open(&state, now - REMEMBERED, &owner));
        let opened = opening.await.context(ErrorKind::State, || "cannot open the pool's leases".to_owned())??;
        let Opened { ledger, rows, owner } = opened;
        let listener = TcpListener::bind(parts.listen)
            .await
            .context(ErrorKind::State, || format!("cannot listen at `{}`", parts.listen))?;
        let address = listener.local_addr().context(ErrorKind::State, || "cannot tell the address".to_owned())?;

        let mut slots = Slots::default();
        for row in rows {
            let (lease, is_over) = (row.lease_id.clone(), row.stage == Stage::Ended);
            let slot = Arc::new(Slot::new(row, Intent::Written));
            if is_over {
                slots.ended.insert(lease, slot)
            } else {
                slots.held.insert(lease, slot)
            };
        }
        let stop = CancellationToken::new();
        let pool = Arc::new(Pool {
            custodians: parts.custodians.into_iter().map(Custodian::without_renewals).collect(),
            ledger,
            clock: Arc::clone(&parts.clock),
            owner,
            tiers: parts.tiers,
            limits: parts.limits,
            callers: if is_loopback { Callers::ThisMachine } else { Callers::Anywhere },
            numbers: Arc::new(Numbers::default()),
            slots: Mutex::new(slots),
            keepers: TaskTracker::new(),
            stop: stop.clone(),
        });
        pool.resume();
        // At once: what ended while nobody was here must not wait.
        pool.end_what_is_over();
        let app = Arc::new(App {
            pool: Arc::clone(&pool),
            tokens: parts.tokens,
            store: parts.store,
            audit,
            clock: parts.clock,
        });
        let (tasks, connections) = (TaskTracker::new(), TaskTracker::new());
        tasks.spawn(tick(Arc::clone(&app), stop.clone()));
        tasks.spawn(listen(listener, parts.tls, app, connections.clone(), stop.clone()));
        Ok(Self { address, has_tls, pool, stop, tasks, connections, _lock: lock })
    }

    /// Where callers on this machine find it.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.has_tls { "https" } else { "http" }, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends in an orderly way: takes no connection any more, answers what was asked, and leaves the leases to its next start.
    /// Runners that end with this process are released.
    pub async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        let _ = tokio::time::timeout(LAST_REQUESTS, self.connections.wait()).await;
        self.tasks.close();
        self.tasks.wait().await;
        self.pool.keepers.close();
        self.pool.keepers.wait().await;
    }
}

/// Looks again and again what is over, and whether the tokens have changed.
async fn tick(app: Arc<App>, stop: CancellationToken) {
    let mut forgotten: Option<tokio::time::Instant> = None;
    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
        app.pool.end_what_is_over();
        if let Err(error) = app.tokens.refresh() {
            tracing::error!(%error, "the tokens; those that were known stay known");
        }
        if forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
            forgotten = Some(tokio::time::Instant::now());
            if app.pool.ledger.forget(app.clock.now() - KEPT_ENDED).await.is_err() {
                app.pool.numbers.ledger_failed();
            }
        }
    }
}
