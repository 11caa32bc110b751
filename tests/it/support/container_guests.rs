//! [`ContainerGuests`]: containers of the runner's image that stand for the machines of a simulated cluster. What cloud-init
//! would do is done from outside: a host key of the guest's own, and the keys that may come in.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use lian_simulators::backend::{Backend, Machine, Seed};
use lian_simulators::error::{Error, Result};

use super::RunnerContainer;
use super::machine_containers::MachineContainers;

/// Where a guest keeps the key that its sshd answers with.
pub(super) const HOST_KEY: &str = "/etc/ssh/lian_host_ed25519_key.pub";

/// Containers of the runner's image that stand for machines.
#[derive(Debug)]
pub(crate) struct ContainerGuests {
    containers: MachineContainers,
    lies: AtomicBool,
}

impl ContainerGuests {
    pub(crate) fn new() -> Self {
        Self { containers: MachineContainers::new("guest"), lies: AtomicBool::new(false) }
    }

    /// From now on what an agent reads is not the key that sshd answers with.
    pub(crate) fn lie(&self) {
        self.lies.store(true, Ordering::Relaxed);
    }

    /// The containers that there are, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.containers.all()
    }

    /// What the sshd of every guest that there is has said.
    pub(crate) fn logs(&self) -> String {
        let said = self.containers.all().into_iter().map(|name| {
            let output = self.containers.dockerd.try_docker(&["logs", &name]);
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        });
        said.collect()
    }

    async fn put(&self, id: &str, files: Vec<(&'static str, String)>) {
        let container = std::mem::ManuallyDrop::new(RunnerContainer {
            dockerd: self.containers.dockerd.clone(),
            name: self.containers.name(id),
        });
        tokio::task::spawn_blocking(move || {
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            container.put(&files);
        })
        .await
        .unwrap();
    }
}

#[async_trait::async_trait]
impl Backend for ContainerGuests {
    /// A container has its address only while it runs: it runs from here on, and nobody can log in.
    async fn create(&self, machine: &Machine) -> Result<Ipv4Addr> {
        let (name, memory) = (self.containers.name(&machine.id), machine.memory_bytes.max(512 << 20).to_string());
        self.containers.create(machine, &["--memory", &memory]).await?;
        let keys = tokio::task::spawn_blocking(RunnerContainer::keys).await.unwrap();
        self.put(&machine.id, keys.into_iter().filter(|(path, _)| path.starts_with("etc/ssh")).collect()).await;
        self.containers.docker(&["start", &name]).await?;
        let format = "{{.NetworkSettings.IPAddress}}";
        let address = self.containers.docker(&["inspect", "--format", format, &name]).await?;
        let address = String::from_utf8_lossy(&address);
        address.trim().parse().map_err(|_| Error::new(format!("`{name}` has no address: `{address}`")))
    }

    async fn start(&self, id: &str, seed: &Seed) -> Result<()> {
        let keys: String = seed.ssh_keys.iter().map(|key| format!("{key}\n")).collect();
        self.put(id, vec![("root/.ssh/authorized_keys", keys)]).await;
        Ok(())
    }

    async fn stop(&self, id: &str) -> Result<()> {
        self.containers.stop(id).await
    }

    async fn is_on(&self, id: &str) -> bool {
        self.containers.is_on(id).await
    }

    async fn read_file(&self, id: &str, path: &str) -> Option<Vec<u8>> {
        if path == HOST_KEY && self.lies.load(Ordering::Relaxed) {
            let keys = tokio::task::spawn_blocking(RunnerContainer::keys).await.unwrap();
            return keys.into_iter().find(|(name, _)| HOST_KEY.ends_with(name)).map(|(_, key)| key.into_bytes());
        }
        self.containers.docker(&["exec", &self.containers.name(id), "cat", path]).await.ok()
    }

    async fn snapshot(&self, _id: &str, _name: &str) -> Result<()> {
        MachineContainers::no_snapshots()
    }

    async fn forget_snapshot(&self, _name: &str) {}

    async fn destroy(&self, id: &str) -> Result<()> {
        self.containers.destroy(id).await
    }

    fn destroy_all(&self) {
        self.containers.destroy_all();
    }
}
