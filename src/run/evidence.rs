//! Reads the memory evidence on a runner, before and after a solve.

use crate::error::Result;
use crate::lease::Endpoint;
use crate::remote::Session;
use crate::solve::oom::{self, Counters, Probe};

/// Takes a reading. `since` is the end of the kernel's log at the first one.
pub(super) async fn read(session: &Session, endpoint: &Endpoint, since: Option<u64>) -> Result<Counters> {
    let pid_file = format!("{}/buildkitd.pid", endpoint.paths.run);
    let probe = Probe {
        memory: &endpoint.memory,
        buildkit_root: &endpoint.paths.buildkit_root,
        buildkitd_pid_file: &pid_file,
        since,
    };
    let output = session.run(&probe.argv(), Some(oom::SCRIPT.as_bytes())).await?;
    Ok(oom::parse(&output.stdout))
}
