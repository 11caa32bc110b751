//! Waiting until a container's sshd answers, and knowing at once when it never will.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::container::ssh_addresses;
use super::failure;
use crate::error::{Error, ErrorKind, Result};

/// How long sshd may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How long one try may take, and the pauses between two.
const TRY_LIMIT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// How much of a container's log is shown when it ended.
const LOG_LINES: &str = "20";

/// Returns where sshd is reached, once something there says that it is one: Docker's own proxy takes connections before.
/// Which one it is, the pinned host key proves.
///
/// # Errors
/// `Provider` when the container ended, with its last words, or when sshd does not answer within a minute.
pub(super) async fn wait_for_ssh(docker: &Docker, id: &str) -> Result<(String, u16)> {
    let waiting = async {
        let mut pause = FIRST_PAUSE;
        loop {
            let container = docker
                .inspect_container(id, None)
                .await
                .map_err(|error| failure::fault("say how the runner's container is", &error))?;
            if let Some(why) = why_dead(&container) {
                return Err(Error::new(
                    ErrorKind::Provider,
                    format!("the runner's container {why}; its last words: {}", last_words(docker, id).await),
                ));
            }
            for (host, port) in ssh_addresses(&container) {
                if is_sshd(&host, port).await {
                    return Ok((host, port));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    };
    match tokio::time::timeout(LIMIT, waiting).await {
        Ok(ready) => ready,
        Err(_) => Err(Error::new(
            ErrorKind::Provider,
            format!(
                "sshd of the runner's container did not answer within {} s; its last words: {}",
                LIMIT.as_secs(),
                last_words(docker, id).await
            ),
        )
        .hint("the container's port 22 is published on 127.0.0.1 of Docker's machine: is that this one?")),
    }
}

/// How the container ended; `None` while it runs.
pub(super) fn why_dead(container: &ContainerInspectResponse) -> Option<String> {
    let state = container.state.as_ref()?;
    if state.running == Some(true) {
        return None;
    }
    let error = state.error.as_deref().filter(|error| !error.is_empty());
    let error = error.map_or_else(String::new, |error| format!(": {}", crate::sanitise::line(error)));
    Some(match state.status {
        Some(ContainerStateStatusEnum::CREATED) => format!("was not started{error}"),
        _ => format!("ended with exit code {}{error}", state.exit_code.unwrap_or(-1)),
    })
}

async fn is_sshd(host: &str, port: u16) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        let mut start = [0; 4];
        stream.read_exact(&mut start).await?;
        std::io::Result::Ok(&start == b"SSH-")
    };
    matches!(tokio::time::timeout(TRY_LIMIT, greeting).await, Ok(Ok(true)))
}

/// The end of the container's log.
async fn last_words(docker: &Docker, id: &str) -> String {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(LOG_LINES).build();
    let mut lines = Vec::new();
    let read = async {
        let mut stream = docker.logs(id, Some(options));
        while let Some(Ok(chunk)) = stream.next().await {
            lines.extend_from_slice(&chunk.into_bytes());
        }
    };
    // What came is worth showing even when the rest does not.
    let _ = tokio::time::timeout(TRY_LIMIT, read).await;
    let text = String::from_utf8_lossy(&lines);
    if text.trim().is_empty() { "it said nothing".to_owned() } else { crate::sanitise::lines(text.trim()) }
}
