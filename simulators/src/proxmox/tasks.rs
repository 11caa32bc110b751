//! [`Tasks`]: what takes time. A task is named by its UPID, runs by the simulator's clock, and can be told to end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::answer::Refused;

/// Everything that was ever started, by its UPID.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    all: BTreeMap<String, Task>,
    count: u32,
}

/// One that was started.
#[derive(Debug)]
struct Task {
    node: String,
    kind: String,
    id: String,
    user: String,
    pid: u32,
    started: Timestamp,
    /// How it ended.
    exit: Option<String>,
    /// Cancelled to end it.
    stop: CancellationToken,
}

impl Tasks {
    /// One more; yields its UPID and what ends it.
    pub(super) fn begin(
        &mut self,
        node: &str,
        kind: &str,
        id: &str,
        user: &str,
        now: Timestamp,
    ) -> (String, CancellationToken) {
        self.count += 1;
        let (pid, start, stop) = (0x1000 + self.count, now.as_second(), CancellationToken::new());
        let upid = format!("UPID:{node}:{pid:08X}:{:08X}:{start:08X}:{kind}:{id}:{user}:", 0x00A0_0000 + self.count);
        let [node, kind, id, user] = [node, kind, id, user].map(str::to_owned);
        let task = Task { node, kind, id, user, pid, started: now, exit: None, stop: stop.clone() };
        self.all.insert(upid.clone(), task);
        (upid, stop)
    }

    /// It has ended: with `OK`, or with what went wrong.
    pub(super) fn end(&mut self, upid: &str, exit: &str) {
        if let Some(task) = self.all.get_mut(upid) {
            task.exit.get_or_insert_with(|| exit.to_owned());
        }
    }

    /// `GET …/tasks/UPID/status`.
    pub(super) fn status(&self, node: &str, upid: &str) -> Result<Value, Refused> {
        let task = self.all.get(upid).filter(|task| task.node == node);
        let task = task.ok_or_else(|| Refused::parameter("upid", "no such task"))?;
        let mut status = json!({
            "upid": upid, "node": task.node, "type": task.kind, "id": task.id, "user": task.user,
            "tokenid": task.user.split_once('!').map(|(_, token)| token), "pid": task.pid, "pstart": task.pid,
            "starttime": task.started.as_second(), "status": "running",
        });
        if let Some(exit) = &task.exit {
            status["status"] = json!("stopped");
            status["exitstatus"] = json!(exit);
        }
        Ok(status)
    }

    /// Those that have not ended.
    pub(super) fn running(&self) -> Vec<String> {
        self.all.iter().filter(|(_, task)| task.exit.is_none()).map(|(upid, _)| upid.clone()).collect()
    }

    /// Who started it.
    pub(super) fn user(&self, upid: &str) -> Option<&str> {
        self.all.get(upid).map(|task| task.user.as_str())
    }

    /// `DELETE …/tasks/UPID`: tells it to end.
    pub(super) fn stop(&self, upid: &str) {
        if let Some(task) = self.all.get(upid) {
            task.stop.cancel();
        }
    }
}
