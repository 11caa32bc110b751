//! What happens to servers after the answer: they are made, started, stopped and taken away, each in its time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Cloud;
use super::image::Snapshot;
use super::server::Status;
use crate::clock::later;
use crate::error::Result;
use crate::faults::Struck;

/// How a step of a lifecycle is to end, by the faults that struck its call.
struct Fate {
    longer: Duration,
    error: Option<(String, String)>,
}

impl From<&Struck> for Fate {
    fn from(struck: &Struck) -> Self {
        Self { longer: Duration::from_secs(struck.slow_seconds()), error: struck.action_error() }
    }
}

/// What an action fails with when the machine does not do what it is told.
fn failed(result: Result<()>) -> Option<(String, String)> {
    result.err().map(|error| ("server_error".to_owned(), error.to_string()))
}

/// A new server: `initializing`, then `off`, then, when it is to start, `starting` and `running`.
pub(super) fn after_create(cloud: &Arc<Cloud>, id: u64, action: u64, next: Option<u64>, struck: &Struck) {
    let fate = Fate::from(struck);
    // From the request on, whenever the task gets its turn.
    let made = cloud.core.clock.after(cloud.options.create_time + fate.longer);
    let cloud = Arc::clone(cloud);
    tokio::spawn(async move {
        cloud.core.clock.wait_until(made).await;
        cloud.set_status(id, Status::Off);
        let error = fate.error;
        cloud.end(action, error.clone());
        let Some(next) = next else { return };
        // What was not made does not start; it is there, and it is paid for.
        if error.is_some() { cloud.end(next, error) } else { start(&cloud, id, next, made).await }
    });
}

/// Gives it power at `begun`.
async fn start(cloud: &Cloud, id: u64, action: u64, begun: Timestamp) {
    cloud.set_status(id, Status::Starting);
    let seed = cloud.state().servers.get(&id).map(|server| server.seed.clone());
    let Some(seed) = seed else {
        return cloud.end(action, Some(("not_found".to_owned(), "server is gone".to_owned())));
    };
    let error = failed(cloud.core.backend.start(&id.to_string(), &seed).await);
    cloud.core.clock.wait_until(later(begun, cloud.options.start_time)).await;
    cloud.set_status(id, if error.is_none() { Status::Running } else { Status::Off });
    cloud.end(action, error);
}

/// Gives it power.
pub(super) fn power_on(cloud: &Arc<Cloud>, id: u64, action: u64) {
    let begun = cloud.core.clock.now();
    let cloud = Arc::clone(cloud);
    tokio::spawn(async move { start(&cloud, id, action, begun).await });
}

/// Takes its power away, and gives it back when it is to start again.
pub(super) fn power_off(cloud: &Arc<Cloud>, id: u64, action: u64, and_on: bool) {
    let begun = cloud.core.clock.now();
    let cloud = Arc::clone(cloud);
    tokio::spawn(async move {
        let error = failed(cloud.core.backend.stop(&id.to_string()).await);
        cloud.set_status(id, Status::Off);
        match (&error, and_on) {
            (None, true) => start(&cloud, id, action, begun).await,
            _ => cloud.end(action, error),
        }
    });
}

/// Takes it away, with its primary IPs and its place in firewalls. The meter stops when it is gone.
pub(super) fn delete(cloud: &Arc<Cloud>, id: u64, action: u64, struck: &Struck) -> impl Future<Output = ()> + use<> {
    let fate = Fate::from(struck);
    let gone = cloud.core.clock.after(fate.longer);
    let cloud = Arc::clone(cloud);
    cloud.set_status(id, Status::Deleting);
    async move {
        cloud.core.clock.wait_until(gone).await;
        let error = fate.error.or(failed(cloud.core.backend.destroy(&id.to_string()).await));
        if error.is_some() {
            cloud.set_status(id, Status::Running);
        } else {
            let now = cloud.core.clock.now();
            let ips = cloud.state().remove_server(id);
            for gone in ips.into_iter().chain([id]) {
                cloud.core.meter.end(&gone.to_string(), now);
            }
        }
        cloud.end(action, error);
    }
}

/// Keeps its disk.
pub(super) fn snapshot(cloud: &Arc<Cloud>, server: u64, image: u64, action: u64, struck: &Struck) {
    let fate = Fate::from(struck);
    let kept = cloud.core.clock.after(cloud.options.create_time + fate.longer);
    let cloud = Arc::clone(cloud);
    tokio::spawn(async move {
        cloud.core.clock.wait_until(kept).await;
        let name = Snapshot::backend_name(image);
        let error = fate.error.or(failed(cloud.core.backend.snapshot(&server.to_string(), &name).await));
        let mut state = cloud.state();
        if let Some(server) = state.servers.get_mut(&server) {
            server.locked = false;
        }
        if error.is_some() {
            state.snapshots.remove(&image);
        } else if let Some(image) = state.snapshots.get_mut(&image) {
            image.available = true;
        }
        drop(state);
        cloud.end(action, error);
    });
}
