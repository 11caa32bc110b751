//! What is put into a runner's container and read from it: archives, for they need neither a process nor a mount in it.

use bollard::Docker;
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::failure;
use crate::error::{Context as _, ErrorKind, Result};

/// Until when the lease is held: read by the runner's own deadman.
pub(super) const EXPIRES: &str = "/var/lib/lian-build/expires";

/// No answer of ours is larger; a build step may own the runner.
const MAX_ARCHIVE: usize = 64 << 10;

/// One file of the container.
pub(super) struct File {
    /// Absolute.
    pub(super) path: &'static str,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
}

impl File {
    /// A file that everyone in the container may read.
    pub(super) fn public(path: &'static str, text: String) -> Self {
        Self { path, mode: 0o644, bytes: text.into_bytes() }
    }

    /// A file for root alone.
    pub(super) fn private(path: &'static str, bytes: Vec<u8>) -> Self {
        Self { path, mode: 0o600, bytes }
    }
}

/// A time as the deadman reads it.
pub(super) fn unix_time(at: Timestamp) -> String {
    format!("{}\n", at.as_second())
}

/// Puts files into the container, which need not run.
///
/// # Errors
/// `Provider` with the daemon's words.
pub(super) async fn put(docker: &Docker, container: &str, files: &[File]) -> Result<()> {
    let archive = pack(files).context(ErrorKind::Provider, || "cannot pack the runner's files".to_owned())?;
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    // As a stream: a whole body would stand in the diagnostics, and there is a key in it.
    let body = futures_util::stream::once(async move { archive.into() });
    docker
        .upload_to_container(container, Some(options), bollard::body_stream(body))
        .await
        .map_err(|error| failure::fault("put files into the runner's container", &error))
}

fn pack(files: &[File]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(file.mode);
        header.set_size(file.bytes.len() as u64);
        archive.append_data(&mut header, file.path.trim_start_matches('/'), file.bytes.as_slice())?;
    }
    archive.into_inner()
}

/// Until when the container's lease was renewed; `None` when that cannot be read.
pub(super) async fn renewed_until(docker: &Docker, container: &str) -> Option<Timestamp> {
    let options = DownloadFromContainerOptionsBuilder::default().path(EXPIRES).build();
    let stream = docker.download_from_container(container, Some(options));
    futures_util::pin_mut!(stream);
    let mut archive = Vec::new();
    while let Some(chunk) = stream.next().await {
        archive.extend_from_slice(&chunk.ok()?);
        if archive.len() > MAX_ARCHIVE {
            return None;
        }
    }
    time_in(&archive)
}

fn time_in(archive: &[u8]) -> Option<Timestamp> {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().ok()?.next()?.ok()?;
    if !entry.header().entry_type().is_file() {
        return None;
    }
    let mut text = String::new();
    entry.take(64).read_to_string(&mut text).ok()?;
    Timestamp::from_second(text.trim().parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_reads_back_and_anything_else_is_no_time() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let archive = pack(&[File::public(EXPIRES, unix_time(at))]).unwrap();
        assert_eq!(time_in(&archive), Some(at));
        for odd in ["", "soon", "99999999999999999999"] {
            let archive = pack(&[File::public(EXPIRES, odd.to_owned())]).unwrap();
            assert_eq!(time_in(&archive), None, "{odd}");
        }
        assert_eq!(time_in(b"no archive"), None);
    }

    #[test]
    fn a_link_is_not_followed() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "expires", "/etc/shadow").unwrap();
        assert_eq!(time_in(&archive.into_inner().unwrap()), None);
    }

    #[test]
    fn a_key_is_for_root_alone() {
        let archive = pack(&[File::private("/etc/ssh/key", b"k".to_vec())]).unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        assert_eq!(entry.path().unwrap().to_str(), Some("etc/ssh/key"));
    }
}
