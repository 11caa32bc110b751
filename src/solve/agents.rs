//! [`forward`]: the caller's SSH agents on the runner, each as a socket in its private tmpfs.
//!
//! Only the socket is there, and only as long as the connection stands: no key ever leaves the caller's machine. Whoever owns
//! the runner can use an agent for that long.

use std::path::PathBuf;

use super::{buildctl, secret_store};
use crate::error::Result;
use crate::lease::Endpoint;
use crate::remote::Session;

/// Makes every agent reachable over `session`; `sockets` are the caller's, in the order of the solve's ids. For each connection anew: a forward ends with its connection.
///
/// # Errors
/// As [`secret_store::inside`] and [`Session::forward`].
pub async fn forward(session: &Session, endpoint: &Endpoint, sockets: &[PathBuf]) -> Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = (0..sockets.len()).map(|index| buildctl::agent_socket(&endpoint.paths, index)).collect();
    // A connection that was lost has left its sockets there.
    let remove: Vec<&str> = ["rm", "-f", "--"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    secret_store::inside(session, endpoint, "SSH agents", &remove, None).await?;
    for (path, socket) in paths.iter().zip(sockets) {
        session.forward(path, socket).await?;
    }
    Ok(())
}
