//! Waiting for tasks: what the API starts, it names, and goes on with by itself.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::failure::Failure;
use super::upid::Upid;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Waits until the task has ended.
///
/// # Errors
/// Its own words when it failed; `Unknown` when it has not ended within `limit`, or nobody says so.
pub(super) async fn wait(client: &Client, task: Option<Upid>, limit: Duration) -> Result<(), Failure> {
    wait_unless(client, task, limit, &CancellationToken::new()).await
}

/// As [`wait`]; once `stop` is cancelled, the task is told to end, and its end is waited for all the same.
pub(super) async fn wait_unless(
    client: &Client,
    task: Option<Upid>,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let Some(task) = task else { return Ok(()) };
    let end = Instant::now() + limit;
    let (mut pause, mut told) = (FIRST_PAUSE, false);
    loop {
        let status = client.get(&["nodes", task.node(), "tasks", task.as_str(), "status"], &[]).await;
        match ended(&status?) {
            Some(Ok(())) => return Ok(()),
            Some(Err(exit)) => return Err(Failure::of_task(&exit)),
            None if Instant::now() >= end => {
                return Err(Failure::Unknown(format!("the task has not ended within {} s", limit.as_secs())));
            }
            None => {}
        }
        if stop.is_cancelled() && !told {
            told = true;
            // One that cannot be stopped ends by itself.
            let _ = client.delete(&["nodes", task.node(), "tasks", task.as_str()], &[]).await;
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled(), if !told => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// How it ended; `None` while it runs.
fn ended(status: &Value) -> Option<Result<(), String>> {
    if status.get("status").and_then(Value::as_str) != Some("stopped") {
        return None;
    }
    let exit = status.get("exitstatus").and_then(Value::as_str).unwrap_or("it does not say how it ended");
    // Warnings are a success, too.
    Some(if exit == "OK" || exit.starts_with("WARNINGS:") { Ok(()) } else { Err(exit.to_owned()) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_task_that_stopped_well_is_done() {
        assert_eq!(ended(&json!({ "status": "running" })), None);
        for exit in ["OK", "WARNINGS: 2"] {
            assert_eq!(ended(&json!({ "status": "stopped", "exitstatus": exit })), Some(Ok(())));
        }
        let failed = ended(&json!({ "status": "stopped", "exitstatus": "clone failed" }));
        assert_eq!(failed, Some(Err("clone failed".to_owned())));
        assert!(ended(&json!({ "status": "stopped" })).unwrap().is_err());
    }
}
