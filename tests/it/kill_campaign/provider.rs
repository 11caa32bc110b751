//! [`Provider`]: what differs between the providers that a campaign is about.

use std::fmt;

use lian_build::ids::LeaseId;

use super::places::Passes;
use crate::support::Dockerd;

/// The providers that a campaign can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    Local,
    DockerLocal,
}

impl Provider {
    /// As it is named on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::DockerLocal => "docker_local",
        }
    }

    /// Whether builds with it pass such a place.
    pub(super) fn passes(self, place: Passes) -> bool {
        match place {
            Passes::AnyBuild => true,
            // A local runner ends with its build, so it cannot be kept.
            Passes::AnyContainer | Passes::KeptFailure => self == Self::DockerLocal,
        }
    }

    /// What its commands need in their environment.
    pub(super) fn environment(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Local => Vec::new(),
            Self::DockerLocal => vec![("DOCKER_HOST", Dockerd::of_the_tests().host().to_owned())],
        }
    }

    /// What there is of a lease beyond processes, mounts, cgroups and directories of this machine.
    pub(super) fn traces(self, lease: &LeaseId) -> Vec<String> {
        match self {
            Self::Local => Vec::new(),
            Self::DockerLocal => Dockerd::of_the_tests().traces(lease.as_str()),
        }
    }

    /// Other people's things of its own kind: one with labels much like ours, one that says it is ours and not whose, and
    /// one that has a name as ours have.
    pub(super) fn foreign(self, owner: &str) -> Vec<Container> {
        match self {
            Self::Local => Vec::new(),
            Self::DockerLocal => {
                let name = |what: &str| format!("lian-build-{what}-{}", std::process::id());
                let labels = [("lian-build", "1"), ("lian-managed", "no"), ("lian-owner", owner)];
                vec![
                    Container::start(&name("of-ann"), &labels),
                    Container::start(&name("unreadable"), &[("lian-managed", "1"), ("lian-owner", owner)]),
                    Container::start(LeaseId::new().as_str(), &[]),
                ]
            }
        }
    }
}

/// Somebody else's container, that runs and does nothing until it is dropped.
pub(super) struct Container(String);

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

    #[track_caller]
    pub(super) fn assert_untouched(&self) {
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
