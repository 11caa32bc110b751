//! [`MachineContainers`]: containers of the runner's image that stand for the machines of one simulated cloud: how they are named,
//! made, looked at and taken away. What is put into them is their cloud's.

use lian_simulators::backend::Machine;
use lian_simulators::error::{Error, Result};

use super::Dockerd;

/// The containers of one simulated cloud.
#[derive(Debug)]
pub(super) struct MachineContainers {
    pub(super) dockerd: Dockerd,
    /// Of this cloud's containers alone.
    prefix: String,
}

impl MachineContainers {
    pub(super) fn new(kind: &str) -> Self {
        Self { dockerd: Dockerd::of_the_tests(), prefix: format!("{kind}-{}", uuid::Uuid::now_v7().simple()) }
    }

    /// All that there are, running or not.
    pub(super) fn all(&self) -> Vec<String> {
        self.dockerd.containers(&self.prefix)
    }

    pub(super) fn name(&self, id: &str) -> String {
        format!("{}-{id}", self.prefix)
    }

    /// Docker's own command blocks.
    pub(super) async fn docker(&self, args: &[&str]) -> Result<Vec<u8>> {
        let (dockerd, args) = (self.dockerd.clone(), args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let output = dockerd.try_docker(&args);
            match output.status.success() {
                true => Ok(output.stdout),
                false => Err(Error::new(format!("docker {args:?}: {}", String::from_utf8_lossy(&output.stderr)))),
            }
        })
        .await
        .unwrap()
    }

    /// Makes one in which BuildKit can build. `more` are further options of `docker create`.
    pub(super) async fn create(&self, machine: &Machine, more: &[&str]) -> Result<()> {
        let (name, image) = (self.name(&machine.id), lian_build::runner_image::name());
        let mut args = vec!["create", "--name", &name, "--hostname", &machine.name, "--init"];
        args.extend(more);
        args.extend(["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--volume", "/var/lib/buildkit"]);
        args.extend(["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", &image]);
        self.docker(&args).await.map(drop)
    }

    pub(super) async fn stop(&self, id: &str) -> Result<()> {
        self.docker(&["kill", &self.name(id)]).await.map(drop)
    }

    pub(super) async fn is_on(&self, id: &str) -> bool {
        let said = self.docker(&["inspect", "--format", "{{.State.Running}}", &self.name(id)]).await;
        said.is_ok_and(|said| said.starts_with(b"true"))
    }

    pub(super) async fn destroy(&self, id: &str) -> Result<()> {
        let name = self.name(id);
        if self.dockerd.containers(&name).is_empty() {
            return Ok(());
        }
        self.docker(&["rm", "--force", "--volumes", &name]).await.map(drop)
    }

    pub(super) fn destroy_all(&self) {
        for name in self.all() {
            self.dockerd.try_docker(&["rm", "--force", "--volumes", &name]);
        }
    }

    pub(super) fn no_snapshots() -> Result<()> {
        Err(Error::new("there are no snapshots of these"))
    }
}
