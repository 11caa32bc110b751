//! [`JsonLinesSink`]: appends each event to a file, as one line of JSON.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::events::Message;
use crate::events::sink::{EventSink, QUEUE};

/// Appends each event to a file, as one line of JSON. The file is made with mode 0600; an existing one keeps its mode.
///
/// Writes on a thread of its own that nobody has to wait for: the path may be a pipe without a reader.
#[derive(Debug)]
pub(super) struct JsonLinesSink {
    path: PathBuf,
    lines: mpsc::SyncSender<String>,
    result: oneshot::Receiver<std::io::Result<()>>,
}

impl JsonLinesSink {
    /// Starts the thread; the file is made now, so that a reader finds it also before the first event.
    pub(super) fn start(path: &Path) -> Self {
        let (lines, queue) = mpsc::sync_channel(QUEUE);
        let (done, result) = oneshot::channel();
        let file = path.to_owned();
        let thread = std::thread::Builder::new().name("events-file".to_owned()).spawn(move || {
            // Nobody listens any more when the run ended early.
            let _ = done.send(write_lines(&file, &queue));
        });
        if let Err(error) = thread {
            tracing::debug!(%error, "no thread for the events file");
        }
        Self { path: path.to_owned(), lines, result }
    }
}

#[async_trait]
impl EventSink for JsonLinesSink {
    fn push(&self, message: &Message) {
        // A full or closed queue shows in the result: the thread is stuck, or has ended with an error.
        let _ = self.lines.try_send(format!("{}\n", message.body));
    }

    async fn finish(self: Box<Self>, deadline: Instant) -> Vec<String> {
        let Self { path, lines, result } = *self;
        drop(lines);
        let why = match tokio::time::timeout_at(deadline, result).await {
            Ok(Ok(Ok(()))) => return Vec::new(),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => "no thread could be started".to_owned(),
            Err(_) => "it does not take what is written".to_owned(),
        };
        vec![crate::sanitise::line(&format!("not every event is in the events file `{}`: {why}", path.display()))]
    }
}

fn write_lines(path: &Path, queue: &mpsc::Receiver<String>) -> std::io::Result<()> {
    let mut file = File::options().append(true).create(true).mode(0o600).open(path)?;
    for line in queue {
        // One write a line: builds that share the file do not mix theirs.
        file.write_all(line.as_bytes())?;
    }
    Ok(())
}
