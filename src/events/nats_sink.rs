//! [`NatsSink`]: sends events to NATS, in the background, and spools what does not get there.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::SharedClock;
use crate::events::nats_link::{Answer, Link, NoLink, Sent};
use crate::events::sink::{EventSink, QUEUE};
use crate::events::spool::{Claim, Spool};
use crate::events::{Message, NatsConfig};

/// How long the very first attempt to connect is waited for, counted from its start: with a server that does not
/// answer, a build that took longer than this ends at once.
const FIRST_CONNECT: Duration = Duration::from_secs(2);

/// What is left after the deadline for writing the spool.
const SPOOLING: Duration = Duration::from_millis(400);

/// Sends events to NATS, in the background, and spools what does not get there.
#[derive(Debug)]
pub(super) struct NatsSink {
    server: String,
    /// True once there is something that is worth a wait.
    used: AtomicBool,
    queue: mpsc::Sender<Message>,
    closing: oneshot::Sender<Instant>,
    task: JoinHandle<Vec<String>>,
}

impl NatsSink {
    /// Begins to connect. Must be called within the runtime.
    pub(super) fn start(config: NatsConfig, state: &Path, clock: SharedClock) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let (closing, closed) = oneshot::channel();
        let server = config.to_string();
        let delivery = Delivery {
            server: server.clone(),
            config,
            spool: Spool::new(state),
            clock,
            pending: VecDeque::new(),
            claim: None,
            health: watch::Sender::default(),
            warnings: Vec::new(),
        };
        let task = tokio::spawn(delivery.run(receiver, closed));
        Self { server, used: AtomicBool::new(false), queue, closing, task }
    }
}

#[async_trait]
impl EventSink for NatsSink {
    fn push(&self, message: &Message) {
        self.used.store(true, Ordering::Relaxed);
        if self.queue.try_send(message.clone()).is_err() {
            tracing::debug!(id = message.id, "no room for an event");
        }
    }

    async fn finish(self: Box<Self>, deadline: Instant) -> Vec<String> {
        let Self { server, used, queue, closing, task } = *self;
        let deadline = if used.into_inner() { deadline } else { Instant::now() };
        drop(queue);
        let _ = closing.send(deadline);
        let abort = task.abort_handle();
        match tokio::time::timeout_at(deadline + SPOOLING, task).await {
            Ok(Ok(warnings)) => warnings,
            Ok(Err(error)) => vec![format!("events for `{server}` are lost: {error}")],
            Err(_) => {
                abort.abort();
                vec![format!("events for `{server}` are lost: the state directory does not take them in time")]
            }
        }
    }
}

/// A message that is not known to have arrived.
#[derive(Debug)]
struct Pending {
    message: Message,
    /// Where it waits already, when an earlier run could not send it.
    file: Option<PathBuf>,
    /// On which connection it was sent.
    sent_in: Option<u64>,
}

/// How it goes with the connection.
#[derive(Debug, Default)]
struct Health {
    connected: bool,
    /// The reason of the last failure.
    failure: Option<String>,
}

/// The task's state: everything between the queue and the server.
struct Delivery {
    config: NatsConfig,
    /// The server's name in warnings and in the spool.
    server: String,
    spool: Spool,
    clock: SharedClock,
    /// Oldest first.
    pending: VecDeque<Pending>,
    claim: Option<Claim>,
    health: watch::Sender<Health>,
    warnings: Vec<String>,
}

impl Delivery {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>, closing: oneshot::Receiver<Instant>) -> Vec<String> {
        let mut health = self.health.subscribe();
        let began = Instant::now();
        let given_up = async {
            // Without a word the publisher was dropped: there is no time at all.
            let deadline = closing.await.unwrap_or(began);
            loop {
                let until = patience(&health.borrow_and_update(), began, deadline);
                tokio::select! {
                    () = tokio::time::sleep_until(until) => return,
                    Ok(()) = health.changed() => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = self.deliver_all(&mut queue) => {}
            () = given_up => {}
        }
        self.take_in(&mut queue);
        self.spool_the_rest().await;
        self.warnings
    }

    /// Delivers until the queue is closed and everything has arrived, or the server refuses us.
    async fn deliver_all(&mut self, queue: &mut mpsc::Receiver<Message>) {
        while let Ok(mut link) = self.connect().await {
            if self.claim.is_none() {
                self.take_spool().await;
            }
            // What was sent on a link before this one may be lost.
            self.pending.iter_mut().for_each(|pending| pending.sent_in = None);
            loop {
                self.take_in(queue);
                if self.pending.is_empty() {
                    match queue.recv().await {
                        Some(message) => self.add(message),
                        None => return,
                    }
                }
                if !self.deliver(&mut link).await {
                    break;
                }
            }
        }
    }

    /// Connects, however long it takes, unless the server refuses us.
    async fn connect(&self) -> Result<Link, NoLink> {
        let delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(10))
            .with_jitter()
            .without_max_times();
        let result = (|| async {
            Link::connect(&self.config).await.inspect_err(|no_link| self.note_health(false, Some(no_link.why.clone())))
        })
        .retry(delays)
        .when(|no_link: &NoLink| !no_link.refused)
        .await;
        if result.is_ok() {
            self.note_health(true, None);
        }
        result
    }

    /// Puts what earlier runs left in front.
    async fn take_spool(&mut self) {
        let (spool, server) = (self.spool.clone(), self.server.clone());
        let Ok(Some(mut claim)) = tokio::task::spawn_blocking(move || spool.claim(&server)).await else { return };
        for (file, message) in claim.messages.drain(..).rev() {
            self.pending.push_front(Pending { message, file: Some(file), sent_in: None });
        }
        self.claim = Some(claim);
    }

    /// Sends what is pending and asks whether the server has read it; false when the link is of no more use.
    async fn deliver(&mut self, link: &mut Link) -> bool {
        if !link.wait_until_connected().await {
            return false;
        }
        self.note_health(true, None);
        let mut impossible = Vec::new();
        for (position, pending) in self.pending.iter_mut().enumerate() {
            if pending.sent_in == Some(link.epoch()) {
                continue;
            }
            match link.send(&pending.message).await {
                Sent::OnItsWay => pending.sent_in = Some(link.epoch()),
                Sent::Impossible(why) => impossible.push((position, why)),
                Sent::Gone => return false,
            }
        }
        for (position, why) in impossible.into_iter().rev() {
            if let Some(pending) = self.pending.remove(position) {
                self.warn(format!("the event `{}` cannot be sent: {why}", pending.message.subject));
                forget(&pending);
            }
        }
        match link.ask().await {
            Answer::Delivered(errors) => {
                for error in errors {
                    self.warn(format!("`{}` refuses events: {error}", self.server));
                }
                self.pending.drain(..).for_each(|pending| forget(&pending));
                self.claim = None;
            }
            Answer::None => self.note_health(true, Some("the server does not answer".to_owned())),
            Answer::Broken => self.note_health(false, Some("the connection broke".to_owned())),
            Answer::Gone => return false,
        }
        true
    }

    fn take_in(&mut self, queue: &mut mpsc::Receiver<Message>) {
        while let Ok(message) = queue.try_recv() {
            self.add(message);
        }
    }

    fn add(&mut self, message: Message) {
        self.pending.push_back(Pending { message, file: None, sent_in: None });
    }

    /// Keeps what did not arrive for the next run.
    async fn spool_the_rest(&mut self) {
        let rest: Vec<Message> =
            self.pending.drain(..).filter(|pending| pending.file.is_none()).map(|pending| pending.message).collect();
        if rest.is_empty() {
            return;
        }
        let why = self.health.borrow().failure.clone().unwrap_or_else(|| "no answer".to_owned());
        let (spool, server, now, count) = (self.spool.clone(), self.server.clone(), self.clock.now(), rest.len());
        let kept = tokio::task::spawn_blocking(move || spool.keep(&server, &rest, now)).await;
        let directory = self.spool.directory().display();
        let fate = match kept {
            Ok(Ok(())) => format!("they wait in `{directory}` for the next run"),
            Ok(Err(error)) => format!("they are lost: {error}"),
            Err(error) => format!("they are lost: {error}"),
        };
        self.warn(format!("{count} event(s) did not reach `{}` ({why}); {fate}", self.server));
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(crate::sanitise::line(&text));
    }

    fn note_health(&self, connected: bool, failure: Option<String>) {
        self.health.send_replace(Health { connected, failure });
    }
}

/// Until when the end of the run waits for the server: the deadline while the server talks to us, less when it never
/// did, not at all once an attempt to connect has failed.
fn patience(health: &Health, began: Instant, deadline: Instant) -> Instant {
    match (health.connected, &health.failure) {
        (true, _) => deadline,
        (false, None) => deadline.min(began + FIRST_CONNECT),
        (false, Some(_)) => began,
    }
}

fn forget(pending: &Pending) {
    if let Some(file) = &pending.file {
        Spool::forget(file);
    }
}
