//! [`Provider`]: what differs between the providers that a campaign is about.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use lian_build::ids::LeaseId;

use super::cloud::{Cloud, SIZE};
use super::cluster::Cluster;
use super::decoys::Foreign;
use super::places::Passes;
use super::project::Project;
use super::way::Way;
use crate::support::Dockerd;

/// The providers that a campaign can be about.
#[derive(Debug, Clone)]
pub(super) enum Provider {
    Local,
    DockerLocal,
    Hcloud(Arc<Project>),
    Proxmox(Arc<Cluster>),
}

impl Provider {
    /// As it is named on the command line.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::DockerLocal => "docker_local",
            Self::Hcloud(_) => "hcloud",
            Self::Proxmox(_) => "proxmox",
        }
    }

    /// The cloud, where it is one.
    pub(super) fn cloud(&self) -> Option<&dyn Cloud> {
        match self {
            Self::Hcloud(project) => Some(&**project),
            Self::Proxmox(cluster) => Some(&**cluster),
            Self::Local | Self::DockerLocal => None,
        }
    }

    /// What can be killed.
    pub(super) const fn ways(&self) -> &'static [Way] {
        match self {
            Self::Local | Self::DockerLocal => Way::HERE,
            Self::Hcloud(_) | Self::Proxmox(_) => Way::REMOTE,
        }
    }

    /// Of so many instants that a campaign has, how many are for this one: each of a machine of its own takes ten times as long.
    pub(super) const fn instants(&self, of: u64) -> u64 {
        match self {
            Self::Local | Self::DockerLocal => of,
            Self::Hcloud(_) | Self::Proxmox(_) => of.div_ceil(10),
        }
    }

    /// Whether builds with it pass such a place.
    pub(super) fn passes(&self, place: Passes) -> bool {
        match self {
            // A local runner ends with its build, so it cannot be kept.
            Self::Local => matches!(place, Passes::AnyBuild | Passes::AnyStep),
            Self::DockerLocal => {
                matches!(place, Passes::AnyBuild | Passes::AnyStep | Passes::AnyContainer | Passes::KeptFailure)
            }
            Self::Hcloud(project) => project.passes(place),
            Self::Proxmox(cluster) => cluster.passes(place),
        }
    }

    /// What its commands need in their environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Local => Vec::new(),
            Self::DockerLocal => Dockerd::of_the_tests().environment().into(),
            Self::Hcloud(project) => project.environment(),
            Self::Proxmox(cluster) => cluster.environment(),
        }
    }

    /// What a debug build of them does otherwise.
    pub(super) fn failpoints(&self) -> Vec<String> {
        self.cloud().map(|cloud| cloud.failpoints()).unwrap_or_default()
    }

    /// What its builds are told beside what is built; `tiers` is a file with its sizes.
    pub(super) fn arguments(&self, tiers: &Path) -> Vec<String> {
        let mut arguments = vec!["--provider".to_owned(), self.name().to_owned()];
        if self.cloud().is_some() {
            arguments.extend(["--platform=linux/amd64", "--runner-type", SIZE, "--tiers"].map(str::to_owned));
            arguments.push(tiers.to_string_lossy().into_owned());
        }
        arguments
    }

    /// What there is of a lease beyond processes, mounts, cgroups and directories of this machine.
    pub(super) fn traces(&self, lease: &LeaseId) -> Vec<String> {
        match self {
            Self::Local => Vec::new(),
            Self::DockerLocal => Dockerd::of_the_tests().traces(lease.as_str()),
            Self::Hcloud(project) => project.traces(lease),
            Self::Proxmox(cluster) => cluster.traces(lease),
        }
    }

    /// The same of a lease that lives, in more words.
    pub(super) fn look(&self, lease: &LeaseId) -> Vec<String> {
        self.cloud().map_or_else(|| self.traces(lease), |cloud| cloud.look(lease))
    }

    /// Other people's things of its own kind: one with labels much like ours, one that says it is ours and not whose, and
    /// one that has a name as ours have.
    pub(super) fn foreign(&self, owner: &str) -> Vec<Box<dyn Foreign>> {
        match self {
            Self::Local => Vec::new(),
            Self::DockerLocal => {
                let name = |what: &str| format!("lian-build-{what}-{}", LeaseId::new());
                let labels = [("lian-build", "1"), ("lian-managed", "no"), ("lian-owner", owner)];
                vec![
                    Box::new(Container::start(&name("of-ann"), &labels)),
                    Box::new(Container::start(&name("unreadable"), &[("lian-managed", "1"), ("lian-owner", owner)])),
                    Box::new(Container::start(LeaseId::new().as_str(), &[])),
                ]
            }
            Self::Hcloud(project) => project.foreign(owner),
            Self::Proxmox(cluster) => cluster.foreign(owner),
        }
    }
}

/// Somebody else's container, that runs and does nothing until it is dropped.
struct Container(String);

impl Container {
    fn start(name: &str, labels: &[(&str, &str)]) -> Self {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("--label={key}={value}")).collect();
        let image = lian_build::runner_image::name();
        let mut arguments = vec!["run", "--detach", "--network=none", "--name", name];
        arguments.extend(labels.iter().map(String::as_str));
        arguments.extend([&image, "sleep", "86400"]);
        Dockerd::of_the_tests().docker(&arguments);
        Self(name.to_owned())
    }
}

impl Foreign for Container {
    fn assert_untouched(&self) {
        let running = Dockerd::of_the_tests().docker(&["inspect", "--format", "{{.State.Running}}", &self.0]);
        assert_eq!(running, "true", "the container `{}` was stopped", self.0);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        Dockerd::of_the_tests().succeeds(&["rm", "--force", "--volumes", &self.0]);
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
