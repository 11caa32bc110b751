//! [`KeptCache`]: the volume that keeps BuildKit's state of one workspace and actor from one lease to the next.
//!
//! It is no lease's: it does not have a lease's labels, and neither a release nor a sweep removes it. Two `buildkitd` must
//! never have it at once. Within one cache directory a lock sees to that; its path is in the volume's name, so whoever has
//! another directory (another user, another machine with the same daemon) has other volumes. A lock goes with its process,
//! and a container may stay for a while: so the daemon is asked, too.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::ListContainersOptionsBuilder;
use sha2::Digest as _;

use super::{CacheConfig, failure};
use crate::error::Result;
use crate::lease::LeaseRequest;
use crate::lock_file::LockFile;
use crate::provider::host::machine::fingerprint;
use crate::provider::host::runtime_dir::make_private;

/// Marks a volume as a kept cache; its value is `1`.
const CACHE: &str = "lian-cache";

/// How long somebody may look at a lock that we want. Another build holds it for longer.
const LOCK_LIMIT: Duration = Duration::from_millis(100);

/// A kept cache that this process may use.
#[derive(Debug)]
pub(super) struct KeptCache {
    /// The volume's name.
    pub(super) name: String,
    /// What the volume is labelled with when it is made.
    pub(super) labels: HashMap<String, String>,
    /// The most that BuildKit may keep in it.
    pub(super) cap_bytes: u64,
    _lock: LockFile,
}

impl KeptCache {
    /// Takes the cache of the request's workspace and actor, or says why it cannot be had: then a build starts without one
    /// and keeps nothing.
    pub(super) async fn take(
        config: &CacheConfig,
        docker: &Docker,
        daemon_id: &str,
        request: &LeaseRequest,
    ) -> std::result::Result<Self, String> {
        let workspace = &request.workspace;
        let without = "this one starts without and keeps nothing";
        let dir = config.dir.join("docker");
        // An actor id has no separator, so the name has one reading.
        let name = format!("lian-cache-{workspace}-{}-{}", request.actor_id, mark(&dir, daemon_id));
        let lock = match take_lock(&dir, &name).await {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(format!("another build of `{workspace}` uses its BuildKit cache; {without}")),
            Err(error) => return Err(format!("the BuildKit cache cannot be locked ({error}); {without}")),
        };
        let labels: HashMap<String, String> = [
            (CACHE, "1".to_owned()),
            ("lian-workspace", workspace.to_string()),
            ("lian-actor", request.actor_id.to_string()),
            ("lian-cache-dir", crate::sanitise::line(&config.dir.to_string_lossy())),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        match why_not(docker, &name).await {
            Ok(None) => Ok(Self { name, labels, cap_bytes: config.cap_bytes, _lock: lock }),
            Ok(Some(why)) => Err(format!("{why}; {without}")),
            Err(error) => {
                Err(format!("Docker cannot say who uses the BuildKit cache ({}); {without}", failure::words(&error)))
            }
        }
    }
}

async fn take_lock(dir: &Path, name: &str) -> Result<Option<LockFile>> {
    make_private(dir)?;
    LockFile::take_within(&dir.join(format!("{name}.lock")), LOCK_LIMIT).await
}

/// Tells the caches of one directory and daemon from all others.
fn mark(dir: &Path, daemon_id: &str) -> String {
    let user = rustix::process::geteuid().as_raw();
    let mut digest = sha2::Sha256::new();
    digest.update(format!("{}\0{user}\0{daemon_id}\0", fingerprint()));
    digest.update(dir.as_os_str().as_bytes());
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Why the volume must not be used although its lock is ours.
async fn why_not(docker: &Docker, name: &str) -> std::result::Result<Option<String>, bollard::errors::Error> {
    match docker.inspect_volume(name).await {
        Ok(volume) if volume.labels.get(CACHE).map(String::as_str) == Some("1") => {}
        Ok(_) => return Ok(Some(format!("the volume `{name}` is not one of lian-build's"))),
        Err(error) if failure::is_not_found(&error) => {}
        Err(error) => return Err(error),
    }
    let filters = HashMap::from([("volume", vec![name.to_owned()])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let users = docker.list_containers(Some(options)).await?;
    Ok((!users.is_empty()).then(|| format!("a container has the BuildKit cache `{name}` still")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_directory_or_daemon_has_other_caches() {
        let (one, other) = (Path::new("/home/ann/.cache"), Path::new("/home/ben/.cache"));
        assert_eq!(mark(one, "a"), mark(one, "a"));
        assert_ne!(mark(one, "a"), mark(one, "b"));
        assert_ne!(mark(one, "a"), mark(other, "a"));
        assert_eq!(mark(one, "a").len(), 12);
    }
}
