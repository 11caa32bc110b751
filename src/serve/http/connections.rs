//! [`listen`]: takes connections and answers on them, each within its bounds.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{App, Tls};

/// Most connections at the same time; more wait to be taken.
const CONNECTIONS: usize = 2048;

/// How long a handshake, and the head of a request, may take. It ends a connection that only waits, too.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Most bytes of a request's head, and most of its lines.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// The pause after the system could not take a connection: it has too many open files, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until `stop`. Those that are open then answer what they were asked.
pub(in super::super) async fn listen(
    listener: TcpListener,
    tls: Option<Tls>,
    app: Arc<App>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let (room, tls) = (Arc::new(Semaphore::new(CONNECTIONS)), tls.map(Arc::new));
    loop {
        let taken = async {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return None };
            Some((listener.accept().await, place))
        };
        let Some(Some((accepted, place))) = stop.run_until_cancelled(taken).await else { return };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (app, tls, stop) = (Arc::clone(&app), tls.clone(), stop.clone());
        connections.spawn(async move {
            let _place = place;
            serve(stream, from, tls.as_deref(), app, stop).await;
        });
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, tls: Option<&Tls>, app: Arc<App>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return answer(stream, from, app, stop).await };
    let handshake = tokio::time::timeout(head_limit(), tls.acceptor().accept(stream));
    match stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => answer(stream, from, app, stop).await,
        _ => app.pool.numbers.connection_refused(),
    }
}

async fn answer<S>(stream: S, from: SocketAddr, app: Arc<App>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let its_app = Arc::clone(&app);
    let service = service_fn(move |request: Request<Incoming>| {
        let app = Arc::clone(&its_app);
        async move { Ok::<_, Infallible>(app.answer(request, from).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_limit()).max_headers(HEADERS).max_buf_size(HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if ended.is_err() {
        app.pool.numbers.connection_refused();
    }
}

fn head_limit() -> Duration {
    crate::failpoint::seconds("pool-head-limit", HEAD_LIMIT)
}
