//! [`reaper_main`]: the reaper's own process.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::leases::Leases;
use super::wire::{FromReaper, ToReaper, to_line};
use crate::clock::{Clock as _, SystemClock};
use crate::custody::Timing;
use crate::custody::retry::{LastFailure, release_until};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{Holder, Journal, JournalEntry, LeaseState};
use crate::provider::{ComputeProvider, Released, Scope};

/// How long a reaper goes on when a release fails; after that the runner's labels are what the next sweep has.
const GIVE_UP_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

/// The longest pause between two attempts to release a runner.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What was asked for in the moment its process died may come into being after it was looked for: it is looked for again
/// after these pauses, where somebody else than the kernel makes it.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// How long the journal, or what is tidied up afterwards, may take: neither decides over a runner.
const SIDE_LIMIT: Duration = Duration::from_secs(10);

/// A lease whose deadline is further away than any process lives.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Runs the reaper: a build that is to be survived at the other end of standard input.
pub fn reaper_main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let code = match runtime.block_on(serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    };
    // A directory that hangs must not keep it alive.
    runtime.shutdown_background();
    code
}

async fn serve() -> Result<()> {
    let stdin = std::io::stdin();
    rustix::net::sockopt::socket_type(stdin.as_fd())
        .context(ErrorKind::Usage, || "this command is started by `lian-build` itself".to_owned())?;
    let broken = || "the socket to the build".to_owned();
    let stream = stdin.as_fd().try_clone_to_owned().context(ErrorKind::State, broken)?;
    let stream = StdUnixStream::from(stream);
    stream.set_nonblocking(true).context(ErrorKind::State, broken)?;
    let (reading, mut writing) = UnixStream::from_std(stream).context(ErrorKind::State, broken)?.into_split();
    let mut lines = BufReader::new(reading).lines();
    let first = lines.next_line().await.context(ErrorKind::State, broken)?.unwrap_or_default();
    match Reaper::new(&first) {
        Ok((reaper, signals)) => {
            answer(&mut writing, &FromReaper::Ready { holder: Holder::current() }).await;
            reaper.run(lines, writing, signals).await;
            Ok(())
        }
        Err(error) => {
            answer(&mut writing, &FromReaper::Refused { why: error.message() }).await;
            Err(error)
        }
    }
}

/// Who does not listen any more is gone, which the next read tells.
async fn answer(writing: &mut OwnedWriteHalf, answer: &FromReaper) {
    if let Ok(line) = to_line(answer) {
        let _ = writing.write_all(&line).await;
    }
}

/// What ends other processes and is not for this one; and what is.
struct Signals {
    terminate: Signal,
    _ignored: Vec<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let ignored = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()];
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            // A handler of ours stands instead of the default one, which would end the process.
            _ignored: ignored.into_iter().map(signal).collect::<std::io::Result<_>>()?,
        })
    }
}

/// What a release works with.
#[derive(Debug)]
struct Hands {
    provider: Arc<dyn ComputeProvider>,
    journal: Journal,
    timing: Timing,
}

/// One reaper.
struct Reaper {
    hands: Arc<Hands>,
    leases: Leases,
    /// The records of what is kept, locked: so everybody sees that somebody sees to it.
    kept: BTreeMap<LeaseId, JournalEntry>,
    releasing: JoinSet<()>,
}

impl Reaper {
    /// Leaves the session of whoever started it, and opens the provider.
    fn new(first: &str) -> Result<(Self, Signals)> {
        let message = serde_json::from_str(first).context(ErrorKind::State, || "no usable first message".to_owned())?;
        let ToReaper::Guard { provider, journal, timing } = message else {
            return Err(Error::new(ErrorKind::State, "the first message is not the one that says what to guard"));
        };
        rustix::process::setsid().context(ErrorKind::State, || "cannot begin a session".to_owned())?;
        let signals = Signals::listen().context(ErrorKind::State, || "cannot listen for signals".to_owned())?;
        let hands = Arc::new(Hands { provider: provider.open()?, journal: Journal::in_dir(journal), timing });
        let (leases, kept, releasing) = (Leases::default(), BTreeMap::new(), JoinSet::new());
        Ok((Self { hands, leases, kept, releasing }, signals))
    }

    /// Until the build is gone and there is nothing to release any more.
    async fn run(mut self, mut lines: Lines<BufReader<OwnedReadHalf>>, mut writing: OwnedWriteHalf, mut on: Signals) {
        let mut build_lives = true;
        while build_lives || !self.leases.is_empty() || !self.releasing.is_empty() {
            let next = self.leases.next();
            let is_releasing = !self.releasing.is_empty();
            tokio::select! {
                line = lines.next_line(), if build_lives => match line {
                    Ok(Some(line)) => {
                        let done = self.note(&line);
                        answer(&mut writing, &done).await;
                    }
                    // However it went: it says nothing any more.
                    Ok(None) | Err(_) => {
                        build_lives = false;
                        self.leases.orphan(Instant::now());
                        self.take_up_kept().await;
                    }
                },
                _ = on.terminate.recv() => self.leases.end_keeping(Instant::now()),
                _ = self.releasing.join_next(), if is_releasing => {}
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            for (lease, reason) in self.leases.take_due(Instant::now()) {
                self.kept.remove(&lease);
                self.releasing.spawn(Arc::clone(&self.hands).reap(lease, reason));
            }
        }
    }

    async fn take_up_kept(&mut self) {
        for lease in self.leases.kept() {
            let hands = Arc::clone(&self.hands);
            let asked = lease.clone();
            let adopting = tokio::spawn(async move { hands.journal.adopt(&asked).await });
            if let Ok(Ok(Ok(Some(entry)))) = tokio::time::timeout(SIDE_LIMIT, adopting).await {
                self.kept.insert(lease, entry);
            }
        }
    }

    fn note(&mut self, line: &str) -> FromReaper {
        match serde_json::from_str(line) {
            Ok(ToReaper::Hold { lease_id, hard_deadline }) => {
                self.leases.hold(lease_id, at(hard_deadline, self.hands.timing.grace));
            }
            Ok(ToReaper::Released { lease_id }) => self.leases.forget(&lease_id),
            Ok(ToReaper::Keep { lease_id, until }) => self.leases.keep(lease_id, at(until, Duration::ZERO)),
            Ok(ToReaper::Guard { .. }) => return FromReaper::Refused { why: "it guards already".to_owned() },
            Err(error) => return FromReaper::Refused { why: error.to_string() },
        }
        FromReaper::Done
    }
}

/// A time of the wall clock as one of the monotonic clock, by what lies between now and then.
fn at(time: Timestamp, grace: Duration) -> Instant {
    let left = Duration::try_from(time.duration_since(SystemClock.now())).unwrap_or_default();
    Instant::now() + left.saturating_add(grace).min(FOREVER)
}

impl Hands {
    /// Releases a lease, with all that a build would do, as long as it takes.
    async fn reap(self: Arc<Self>, lease: LeaseId, reason: &'static str) {
        // On a task of its own: a directory that hangs, is read-only or gone, must not keep the runner alive.
        let recording = tokio::spawn(
            Arc::clone(&self)
                .record(lease.clone(), LeaseState::Releasing { reason: reason.to_owned(), since: SystemClock.now() }),
        );
        let released = self.release(&lease).await;
        let _ = tokio::time::timeout(SIDE_LIMIT, recording).await;
        if released.is_ok() {
            let verified = LeaseState::Released { verified_at: SystemClock.now() };
            let _ = tokio::time::timeout(SIDE_LIMIT, tokio::spawn(Arc::clone(&self).record(lease, verified))).await;
            let _ = tokio::time::timeout(SIDE_LIMIT, self.provider.tidy()).await;
        }
    }

    async fn release(&self, lease: &LeaseId) -> Result<Released> {
        let last = LastFailure::new();
        let release = || release_until(self.provider.as_ref(), lease, GIVE_UP_AFTER, LONGEST_PAUSE, &last);
        let mut released = release().await;
        let comes_late = self.provider.capabilities().scope == Scope::Credential;
        for pause in LOOK_AGAIN {
            if !comes_late || !matches!(released, Ok(Released::AlreadyGone)) {
                break;
            }
            tokio::time::sleep(pause).await;
            released = release().await;
        }
        released
    }

    /// Writes down where the lease stands, if it is on record and nobody else holds it.
    async fn record(self: Arc<Self>, lease: LeaseId, state: LeaseState) {
        let Ok(Some(mut entry)) = self.journal.adopt(&lease).await else { return };
        let is_over = matches!(state, LeaseState::Released { .. });
        let _ = entry.step(state);
        if is_over {
            entry.remove();
        }
    }
}
