//! A small HTTP/1.1 server whose answers a test writes, for what no real registry does on demand.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One request as it came in.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.target.split('?').next() == Some(path)
    }
}

/// What is sent back.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    manners: Manners,
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    Whole,
    /// Nothing is sent at all.
    HangUp,
    /// The body again and again, for as long as anybody reads.
    Endless,
}

/// An answer without headers and body.
pub fn answer(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Vec::new(), manners: Manners::Whole }
}

/// No answer: the connection is closed after the request was read.
pub fn hang_up() -> Answer {
    Answer { manners: Manners::HangUp, ..answer(0) }
}

impl Answer {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The body is sent again and again, for as long as anybody reads.
    pub fn endless(mut self) -> Self {
        self.manners = Manners::Endless;
        self
    }
}

/// A running server; it ends with the test's runtime.
pub struct HttpServer {
    host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl HttpServer {
    /// Starts one whose answers come from `handler`.
    pub async fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, handler) = (Arc::clone(&seen), Arc::new(handler));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                tokio::spawn(async move {
                    let _ = serve(stream, &log, handler.as_ref()).await;
                });
            }
        });
        Self { host, seen }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port alone.
    pub fn port(&self) -> &str {
        self.host.rsplit(':').next().unwrap()
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// One request per connection.
async fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    handler: &(dyn Fn(&Request) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method, target, ..Request::default() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    log.lock().unwrap().push(request.clone());
    let answer = handler(&request);
    if answer.manners == Manners::HangUp {
        return stream.shutdown().await;
    }
    let mut head = format!("HTTP/1.1 {} Test\r\nconnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer.manners == Manners::Endless {
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        loop {
            stream.write_all(&answer.body).await?;
        }
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
    stream.write_all(head.as_bytes()).await?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body).await?;
    }
    stream.shutdown().await
}
