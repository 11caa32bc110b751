//! Fetches results from the runner to where they belong. Whatever the runner says is input: files are bounded, trees pass
//! the strict unpacker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::ChildStdout;
use tokio_util::io::SyncIoBridge;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::output::Delivery;
use crate::lease::Endpoint;
use crate::plan::{Export, Purpose};
use crate::process::Cmd;
use crate::remote::Session;
use crate::report::units;
use crate::solve::{buildctl, unpack};

/// The part of BuildKit's metadata that counts here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    #[serde(rename = "containerimage.digest")]
    digest: Option<String>,
    #[serde(skip)]
    raw: Vec<u8>,
}

impl Metadata {
    /// The digest BuildKit says the image has.
    pub(super) fn digest(&self) -> Option<&str> {
        self.digest.as_deref().filter(|digest| crate::registry::is_digest(digest))
    }

    /// The document as BuildKit wrote it, for `--metadata-file`.
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Reads it from the runner. A build that exports files only has none.
    pub(super) async fn fetch(session: &Session, endpoint: &Endpoint) -> Result<Self> {
        const SCRIPT: &str = r#"if [ -e "$1" ]; then cat -- "$1"; else echo '{}'; fi"#;
        let path = format!("{}/{}", endpoint.paths.run, buildctl::METADATA_FILE);
        let output = session
            .run(&["sh", "-c", SCRIPT, "metadata", path.as_str()], None)
            .await?
            .ok("reading BuildKit's metadata")?;
        let mut metadata: Self = serde_json::from_slice(&output.stdout)
            .context(ErrorKind::Runner, || "BuildKit's metadata is not valid JSON".to_owned())?;
        metadata.raw = output.stdout;
        Ok(metadata)
    }
}

/// A result that has arrived and does not stand at its place yet.
enum Arrived {
    File(unpack::IncomingFile, PathBuf, Purpose),
    Directory(unpack::IncomingDirectory, PathBuf),
}

/// Brings every result home that has a place on the caller's machine, and says where each is. Nothing is put in its place
/// before all have arrived. What the user should know of them goes to `warnings`.
pub(super) async fn fetch(
    session: &Session,
    endpoint: &Endpoint,
    exports: &[Export],
    warnings: &mut Vec<String>,
) -> Result<Vec<String>> {
    let mut arrived = Vec::new();
    for (index, export) in exports.iter().enumerate() {
        let path = buildctl::output_path(&endpoint.paths, index);
        match export.spec.delivery() {
            Delivery::Registry => {}
            Delivery::File(dest) => {
                make_place(&dest, export.purpose)?;
                // On its way to Docker a file is nobody's result: a name of its own, so that no other build meets it.
                let dest = match export.purpose {
                    Purpose::DockerLoad => dest.with_file_name(format!("{}.load.tar", endpoint.lease_id)),
                    Purpose::Asked | Purpose::Kept | Purpose::Discarded => dest,
                };
                let target = dest.clone();
                let receive = move |reader| unpack::IncomingFile::receive(reader, &target, &unpack::Limits::default());
                arrived.push(Arrived::File(stream(session, &path, receive).await?, dest, export.purpose));
            }
            Delivery::Directory(dest) => {
                let target = dest.clone();
                let receive =
                    move |reader| unpack::IncomingDirectory::receive(reader, &target, &unpack::Limits::default());
                arrived.push(Arrived::Directory(stream(session, &path, receive).await?, dest));
            }
        }
    }
    let mut outputs = Vec::new();
    for result in arrived {
        outputs.push(match result {
            Arrived::File(file, dest, purpose) => {
                blocking(move || file.commit()).await?;
                match purpose {
                    Purpose::DockerLoad => docker_load(&dest).await?,
                    Purpose::Asked | Purpose::Kept | Purpose::Discarded => dest.display().to_string(),
                }
            }
            Arrived::Directory(directory, dest) => {
                let unpacked = blocking(move || directory.commit()).await?;
                if unpacked.stripped > 0 {
                    let count = units::count(unpacked.stripped, "file or directory");
                    warnings.push(format!(
                        "in `{}` setuid, setgid and sticky bits were taken off: {count}",
                        dest.display()
                    ));
                }
                dest.display().to_string()
            }
        });
    }
    Ok(outputs)
}

/// Runs what writes much on a thread where it may block, so that a signal is still seen.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::State, "a worker thread died").because(error))?
}

/// Our own cache directory is made when it is missing; a destination that the user named has to be there.
fn make_place(dest: &Path, purpose: Purpose) -> Result<()> {
    match (purpose, dest.parent()) {
        (Purpose::Kept | Purpose::DockerLoad, Some(parent)) => std::fs::create_dir_all(parent)
            .context(ErrorKind::State, || format!("cannot make the directory `{}`", parent.display())),
        _ => Ok(()),
    }
}

/// Streams a file of the runner through `receive`, on a thread where it may block.
async fn stream<T, F>(session: &Session, path: &str, receive: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(Noting) -> Result<T> + Send + 'static,
{
    let mut child = session.spawn(&["cat", "--", path])?;
    let lost = || Error::new(ErrorKind::Runner, "the result cannot be read from the runner");
    let ended = Arc::new(AtomicBool::new(false));
    let stdout = SyncIoBridge::new(child.stdout().ok_or_else(lost)?);
    let bridge = Noting { stream: stdout, ended: Arc::clone(&ended) };
    // Held open until the end: `cat` does not read it, but its end would end the channel.
    let stdin = child.stdin();
    let received = tokio::task::spawn_blocking(move || receive(bridge)).await.map_err(|error| lost().because(error))?;
    drop(stdin);
    if received.is_err() && !ended.load(Ordering::Relaxed) {
        // It is the content's own fault, and nobody reads on.
        child.kill();
        return received;
    }
    match child.wait().await? {
        0 => received,
        code => Err(lost().hint(format!("`cat` on the runner ended with exit code {code}"))),
    }
}

/// A file of the runner on its way, and whether its end was seen: what is cut short because the connection broke is no
/// fault of its content.
struct Noting {
    stream: SyncIoBridge<ChildStdout>,
    ended: Arc<AtomicBool>,
}

impl std::io::Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.ended.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }
}

/// Asks the local Docker whether it is there, before anything is leased for an image that nobody could load.
pub(super) async fn check_docker() -> Result<()> {
    let limit = Duration::from_secs(10);
    let asked = Cmd::new("docker", ErrorKind::State).args(["version", "--format", "{{.Server.Version}}"]);
    let output = asked.output_within(limit).await;
    let why = match output {
        Ok(output) if output.success() => return Ok(()),
        Ok(output) => output.stderr_text(),
        Err(error) => error.message(),
    };
    Err(Error::new(ErrorKind::State, format!("`--load` needs a running Docker: {why}"))
        .hint("without it, `--output type=docker,dest=FILE` gives you the image as a file"))
}

/// Hands the archive to the local Docker and removes it. When Docker refuses, the archive stays: it was paid for.
async fn docker_load(archive: &Path) -> Result<String> {
    let output = Cmd::new("docker", ErrorKind::State).args(["load", "--input"]).arg(archive).output().await?;
    if !output.success() {
        return Err(Error::new(ErrorKind::State, format!("`docker load` failed: {}", output.stderr_text()))
            .hint(format!("the image is kept in `{}`", archive.display())));
    }
    // Only a copy is left behind when it cannot be removed; the next build replaces it.
    let _ = std::fs::remove_file(archive);
    Ok(crate::sanitise::line(&output.stdout_text()))
}
