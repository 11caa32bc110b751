//! Waiting until a machine's sshd answers, and learning from inside of it by which key it is known.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::agent;
use super::client::Client;
use super::cluster::Place;
use super::failure::Failure;
use crate::error::{Error, ErrorKind, Result};

/// How long a machine may take from its start until it answers.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// The pauses between two questions.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How long one connection may take to say that it leads to an sshd.
const TRY_LIMIT: Duration = Duration::from_secs(2);

const SSH: u16 = 22;

/// The key of a machine's own, and where the runner's recipe keeps the one that sshd answers with.
const HOST_KEYS: [&str; 2] = ["/etc/ssh/lian_host_ed25519_key.pub", "/etc/ssh/ssh_host_ed25519_key.pub"];

/// A machine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) host: IpAddr,
    pub(super) port: u16,
    /// As `known_hosts` writes it.
    pub(super) host_key: String,
}

/// Where the machine is reached, and by which key it is known: read by the guest agent through the API, so that nobody on the
/// way to the machine can put another one in its place.
///
/// # Errors
/// `Provider` when the machine stopped, has no agent, or does not answer within five minutes.
pub(super) async fn wait(client: &Client, place: &Place, mac: Option<&str>) -> Result<Guest> {
    let end = Instant::now() + LIMIT;
    let mut pause = FIRST_PAUSE;
    loop {
        let waits_for = match look(client, place, mac).await? {
            Ok(guest) => return Ok(guest),
            Err(waits_for) => waits_for,
        };
        if Instant::now() >= end {
            return Err(Error::new(
                ErrorKind::Provider,
                format!("the machine {} was not ready within {} s: {waits_for}", place.shown(), LIMIT.as_secs()),
            )
            .hint("does the template have qemu-guest-agent and sshd, and can its network be reached from here? docs/proxmox.md"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// One look; in the inner error what is waited for.
async fn look(client: &Client, place: &Place, mac: Option<&str>) -> Result<Result<Guest, String>> {
    let vmid = place.vmid.to_string();
    let asked = client.get_once(&place.with(&vmid, &["agent", "network-get-interfaces"]), &[]).await;
    let data = match asked {
        Ok(data) => data,
        Err(failure) => return not_yet(client, place, failure).await.map(Err),
    };
    let addresses = agent::addresses(&data, mac);
    if addresses.is_empty() {
        return Ok(Err("it has no address yet".to_owned()));
    }
    let mut answering = None;
    for address in &addresses {
        if is_sshd(*address).await {
            answering = Some(*address);
            break;
        }
    }
    let Some(host) = answering else {
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        return Ok(Err(format!("no sshd answers at {} yet", addresses.join(", "))));
    };
    for file in HOST_KEYS {
        match client.get_once(&place.with(&vmid, &["agent", "file-read"]), &[("file", file)]).await {
            Ok(data) => {
                if let Some(host_key) = agent::host_key(&data) {
                    return Ok(Ok(Guest { host, port: SSH, host_key }));
                }
            }
            Err(failure @ Failure::Refused { status: 401 | 403, .. }) => {
                return Err(failure.into_error("read the machine's host key through its guest agent"));
            }
            // There is no such file, or none yet.
            Err(_) => {}
        }
    }
    Ok(Err("it has no host key of type Ed25519 yet".to_owned()))
}

/// What is waited for when the agent does not answer.
///
/// # Errors
/// When it never will.
async fn not_yet(client: &Client, place: &Place, failure: Failure) -> Result<String> {
    let words = failure.words().to_owned();
    match &failure {
        Failure::Refused { status: 401 | 403, .. } => {
            return Err(failure.into_error("ask the machine's guest agent"));
        }
        Failure::Refused { .. } if words.contains("No QEMU guest agent configured") => {
            return Err(failure.into_error("ask the machine's guest agent"));
        }
        _ => {}
    }
    let vmid = place.vmid.to_string();
    let status = client.get(&place.with(&vmid, &["status", "current"]), &[]).await;
    let dead = |why: String| Error::new(ErrorKind::Provider, format!("the machine {} {why}", place.shown()));
    match status {
        Ok(status) if status.get("status").and_then(Value::as_str) == Some("stopped") => {
            Err(dead("stopped while it was booting".to_owned()))
        }
        Err(failure) if failure.is_missing() => Err(dead("went away while it was booting".to_owned())),
        _ => Ok(format!("its guest agent says: {words}")),
    }
}

async fn is_sshd(host: IpAddr) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect((host, SSH)).await?;
        let mut start = [0; 4];
        stream.read_exact(&mut start).await?;
        std::io::Result::Ok(&start == b"SSH-")
    };
    matches!(tokio::time::timeout(TRY_LIMIT, greeting).await, Ok(Ok(true)))
}
