//! [`Link`]: one connection to NATS on which delivery can be confirmed.
//!
//! The client library's `flush` only says that the kernel took the bytes. A [`Link`] asks the server: what a server
//! answers to a message sent after the events tells that it has read the events.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, Event as ClientEvent, HeaderMap, ServerError};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use url::Url;

use crate::events::{Message, NatsConfig};

/// How long one server may take for the handshake before the next attempt.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long an answer is waited for before it is asked for again.
const ANSWER: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct NoLink {
    /// True when another attempt would end the same way: the server knows us, and refuses.
    pub(super) refused: bool,
    /// In words.
    pub(super) why: String,
}

/// One connection to NATS, which the client library renews when it breaks.
pub(super) struct Link {
    client: Client,
    events: mpsc::Receiver<ClientEvent>,
    /// Counts connections: what was sent on an earlier one may be lost.
    epoch: u64,
}

/// What asking the server told.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has read everything that was sent; these are the errors it named meanwhile.
    Delivered(Vec<String>),
    /// The connection broke; the client library makes a new one. What was sent on it may be lost.
    Broken,
    /// The client library gave up.
    Gone,
    /// No answer yet.
    None,
}

/// What became of a message on its way out.
#[derive(Debug)]
pub(super) enum Sent {
    /// It is on its way.
    OnItsWay,
    /// It can never be sent on this server.
    Impossible(String),
    /// The client library gave up.
    Gone,
}

impl Link {
    /// Tries each configured address once.
    pub(super) async fn connect(config: &NatsConfig) -> Result<Self, NoLink> {
        let (sender, events) = mpsc::channel(64);
        let options = config
            .login()
            .name("lian-build")
            .connection_timeout(HANDSHAKE)
            // An address that the server advertises is not one that the login is meant for.
            .ignore_discovered_servers()
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    // A full queue means that nobody waits for an answer.
                    let _ = sender.try_send(event);
                }
            });
        let servers: Vec<&str> = config.servers().iter().map(Url::as_str).collect();
        match options.connect(servers.as_slice()).await {
            Ok(client) => Ok(Self { client, events, epoch: 0 }),
            Err(error) => Err(NoLink {
                refused: matches!(
                    error.kind(),
                    ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
                ),
                why: match error.kind() {
                    ConnectErrorKind::Authentication => "the NKey seed is not valid".to_owned(),
                    ConnectErrorKind::AuthorizationViolation => "the server refused the login".to_owned(),
                    _ => error.to_string(),
                },
            }),
        }
    }

    /// The number of the connection; grows with each new one.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Waits for a connection, and learns what happened to it so far; false when there will be none any more. What is
    /// sent without one would wait in the client library, and be sent once more afterwards.
    pub(super) async fn wait_until_connected(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            self.note(&event);
        }
        while self.client.connection_state() != State::Connected {
            match self.events.recv().await {
                Some(event) => self.note(&event),
                None => return false,
            }
        }
        true
    }

    /// Sends a message, without asking whether it arrived.
    pub(super) async fn send(&self, message: &Message) -> Sent {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", message.id.as_str());
        headers.insert("Content-Type", "application/cloudevents+json");
        let sent =
            self.client.publish_with_headers(message.subject.clone(), headers, message.body.clone().into()).await;
        match sent {
            Ok(()) => Sent::OnItsWay,
            Err(error) => match error.kind() {
                async_nats::client::PublishErrorKind::Send => Sent::Gone,
                _ => Sent::Impossible(error.to_string()),
            },
        }
    }

    /// Asks the server whether it has read everything that was sent.
    ///
    /// A message to an inbox of our own comes back, or the server says that we may not subscribe or publish there:
    /// either is the answer, so the login needs no permission beyond the events' subjects.
    pub(super) async fn ask(&mut self) -> Answer {
        let inbox = self.client.new_inbox();
        let Ok(mut echo) = self.client.subscribe(inbox.clone()).await else { return Answer::Gone };
        let timeout = tokio::time::sleep(ANSWER);
        tokio::pin!(timeout);
        let mut errors = Vec::new();
        // Twice: errors reach us through another task of the client library than the echo, and one that the server
        // sent before the first echo has arrived when the second one does.
        let mut echoes = 0;
        while echoes < 2 {
            if self.client.publish(inbox.clone(), "".into()).await.is_err() {
                return Answer::Gone;
            }
            loop {
                tokio::select! {
                    biased;
                    event = self.events.recv() => {
                        let Some(event) = event else { return Answer::Gone };
                        self.note(&event);
                        if matches!(event, ClientEvent::Disconnected) {
                            return Answer::Broken;
                        }
                        match server_error(event) {
                            Some(text) if text.contains(&inbox) => return Answer::Delivered(errors),
                            Some(text) => errors.push(text),
                            None => {}
                        }
                    }
                    _ = echo.next() => {
                        echoes += 1;
                        break;
                    }
                    () = &mut timeout => return Answer::None,
                }
            }
        }
        Answer::Delivered(errors)
    }

    fn note(&mut self, event: &ClientEvent) {
        if matches!(event, ClientEvent::Disconnected) {
            self.epoch += 1;
        }
    }
}

fn server_error(event: ClientEvent) -> Option<String> {
    match event {
        ClientEvent::ServerError(ServerError::Other(text)) => Some(text),
        _ => None,
    }
}
