//! Waiting until a machine answers on SSH with the host key that was made for it.
//!
//! Asked for its key only: nobody logs in, and nothing is sent, before the key is the right one. Until then another key means
//! that the first boot has not come so far, or that the address was somebody else's a moment ago.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::process::Cmd;

/// How long one question may take, in seconds, and its process a little longer.
const ASK_SECONDS: &str = "3";
const ASK_LIMIT: Duration = Duration::from_secs(8);

/// What a machine says when it is asked for its key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// The key that was made for it.
    Right,
    /// Another one.
    Other,
    /// None: nothing listens, or not yet.
    None,
}

/// Returns once `host` answers with `host_key`.
///
/// # Errors
/// `Provider` when it does not until `end`: with another key, that one is not trusted and never logged in to.
pub(super) async fn wait(
    ssh_keyscan: &Path,
    host: &str,
    host_key: &str,
    mut pauses: impl Iterator<Item = Duration>,
    end: Instant,
    limit: Duration,
) -> Result<()> {
    loop {
        let answer = ask(ssh_keyscan, host, host_key).await?;
        if answer == Answer::Right {
            return Ok(());
        }
        if Instant::now() >= end {
            let limit = limit.as_secs();
            let why = match answer {
                Answer::Other => format!(
                    "it answers on SSH with a host key that is not the one that was made for it, also after {limit} s: \
                     nobody logged in to it"
                ),
                _ => format!("it did not answer on SSH within {limit} s"),
            };
            return Err(Error::new(ErrorKind::Provider, format!("the runner's machine is not usable: {why}")).hint(
                "the image must run cloud-init, which is given the host key; port 22 must be reachable from here",
            ));
        }
        tokio::time::sleep(pauses.next().unwrap_or_default()).await;
    }
}

async fn ask(ssh_keyscan: &Path, host: &str, host_key: &str) -> Result<Answer> {
    let output = Cmd::new(ssh_keyscan, ErrorKind::Provider)
        .plain_env()
        .args(["-T", ASK_SECONDS, "-t", "ed25519", "--", host])
        .output_within(ASK_LIMIT)
        .await;
    match output {
        Ok(output) => Ok(read(&output.stdout_text(), host_key)),
        // It took too long: nobody is there.
        Err(error) => {
            tracing::debug!(%error, "asking for the host key");
            Ok(Answer::None)
        }
    }
}

/// `HOST ssh-ed25519 AAAA…`, beside lines that begin with `#`.
fn read(said: &str, host_key: &str) -> Answer {
    let wanted: Vec<&str> = host_key.split_whitespace().take(2).collect();
    let keys = said.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().skip(1).take(2).collect();
        (words.len() == 2).then_some(words)
    });
    let keys: Vec<_> = keys.collect();
    match keys.as_slice() {
        [] => Answer::None,
        [only] if *only == wanted => Answer::Right,
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_key_is_the_right_one() {
        let key = "ssh-ed25519 AAAAright";
        assert_eq!(read("# 192.0.2.1:22 SSH-2.0-x\n192.0.2.1 ssh-ed25519 AAAAright\n", key), Answer::Right);
        assert_eq!(read("192.0.2.1 ssh-ed25519 AAAAwrong\n", key), Answer::Other);
        assert_eq!(read("192.0.2.1 ssh-ed25519 AAAAright\n192.0.2.1 ssh-ed25519 AAAAwrong\n", key), Answer::Other);
        assert_eq!(read("# only a comment\n", key), Answer::None);
        assert_eq!(read("", key), Answer::None);
    }
}
