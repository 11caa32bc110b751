//! [`serve`]: a simulator's API on a socket, with the faults, the log and the admin calls around it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::admin;
use crate::call::{Call, Refusal, Subject};
use crate::core::Core;
use crate::error::Result;
use crate::faults::{Effect, Struck};
use crate::tls::Identity;

/// No request is longer.
const MAX_BODY: usize = 16 << 20;
/// How many characters of a token a message quotes.
const QUOTED: usize = 32;

/// How one cloud says things, and what only it knows.
pub trait Dialect: Send + Sync + 'static {
    /// A refusal in the cloud's own shape. Its headers are added by the caller.
    fn refuse(&self, refusal: &Refusal) -> Response<Body>;

    /// What a call is about.
    fn subject(&self, call: &Call) -> Subject;

    /// All servers that there are, for whoever runs the simulator.
    fn servers(&self) -> Value;
}

/// A simulator that listens. It stops when this is dropped, and takes away what its backend made.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    scheme: &'static str,
    task: JoinHandle<()>,
    core: Core,
}

impl Listening {
    /// Scheme, address and port, without a slash at the end.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        self.core.faults.let_go();
        self.core.backend.destroy_all();
    }
}

/// Everything a connection needs.
struct Front {
    core: Core,
    dialect: Arc<dyn Dialect>,
    api: Router,
    admin: Router,
}

/// Serves an API at `address` (port 0 for a free one), over TLS when there is an identity. Below `/_sim/` are the admin calls.
///
/// The API's router gets every request with its whole body and a [`Struck`] extension. Calls go on when their client
/// hangs up, as a cloud's do.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    core: Core,
    dialect: Arc<dyn Dialect>,
    api: Router,
    address: SocketAddr,
    identity: Option<&Identity>,
) -> Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let acceptor = identity.map(|identity| TlsAcceptor::from(identity.config()));
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let admin = admin::router(core.clone(), Arc::clone(&dialect));
    let front = Arc::new(Front { core: core.clone(), dialect, api, admin });
    let task = tokio::spawn(accept(listener, acceptor, front));
    Ok(Listening { address, scheme, task, core })
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, front: Arc<Front>) {
    // Connections end with this task: dropping the set aborts them.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&front)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, front: Arc<Front>) {
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => speak(stream, front).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                speak(stream, front).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, front: Arc<Front>) {
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        // A task of its own: a client that hangs up takes nothing back.
        async move { tokio::spawn(front.answer(request)).await.unwrap_or(Err(Dropped)) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is dropped")
    }
}

impl std::error::Error for Dropped {}

impl Front {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> std::result::Result<Response<Body>, Dropped> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else { return Err(Dropped) };
        let body = body.to_bytes();
        if parts.uri.path().starts_with("/_sim/") {
            return Ok(ask(&self.admin, Request::from_parts(parts, Body::from(body))).await);
        }
        let call = Call {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            body: body.to_vec(),
        };
        let core = &self.core;
        let effects = core.faults.take(&call, &self.dialect.subject(&call));
        let words = effects.iter().map(|effect| format!("{effect:?}")).collect();
        let place = core.audit.begin(core.clock.now(), &call, words);
        for effect in &effects {
            match effect {
                Effect::Refuse(refusal) => return Ok(self.refuse(refusal, &call, place).await),
                Effect::Drop { done: false } => return Err(Dropped),
                Effect::Hold { done: false } => core.faults.hold().await,
                _ => {}
            }
        }
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(Struck(effects.clone()));
        let response = ask(&self.api, request).await;
        for effect in &effects {
            match effect {
                Effect::LoseReply(refusal) => return Ok(self.refuse(refusal, &call, place).await),
                Effect::Drop { done: true } => return Err(Dropped),
                Effect::Hold { done: true } => core.faults.hold().await,
                _ => {}
            }
        }
        Ok(self.note(response, place).await)
    }

    /// The refusal as the cloud says it, with the caller's token and the time where its text has places for them.
    async fn refuse(&self, refusal: &Refusal, call: &Call, place: usize) -> Response<Body> {
        let token: String = call.credentials().chars().take(QUOTED).collect();
        let now = self.core.clock.now().as_second().to_string();
        let fill = |text: &str| text.replace("{token}", &token).replace("{now}", &now);
        let mut refusal = refusal.clone();
        refusal.message = fill(&refusal.message);
        let mut response = self.dialect.refuse(&refusal);
        for (name, value) in &refusal.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(fill(value))) {
                response.headers_mut().insert(name, value);
            }
        }
        self.note(response, place).await
    }

    /// Writes the answer down.
    async fn note(&self, response: Response<Body>, place: usize) -> Response<Body> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        self.core.audit.end(place, parts.status.as_u16(), &body);
        Response::from_parts(parts, Body::from(body))
    }
}

/// A router's answer.
async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
