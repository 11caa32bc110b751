//! [`ContainerBackend`]: servers that are containers of a Debian with cloud-init, which answer on a loopback address of
//! their own.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::docker::Docker;
use super::{Backend, Machine, Seed};
use crate::error::{Error, Result};

/// What its containers may do beyond ordinary ones: what a machine of one's own may, as far as builds need it.
const PRIVILEGES: [&str; 11] = [
    "--init",
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    "--cap-add=SYSLOG",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--device=/dev/kmsg:/dev/kmsg:r",
    "--volume=/var/lib/buildkit",
    "--tmpfs=/run:exec,mode=755",
    "--tmpfs=/tmp:exec,mode=1777",
    "--env=container=docker",
];

/// Servers that are containers of a Debian with cloud-init. Each answers on port 22 of a loopback address of its own, and
/// applies its user data itself at its first start, as a machine does.
///
/// A server has the memory of its size as its limit; its processors are the machine's. What the bill and the API say of a
/// server is the simulator's; a container may be of another architecture than its type.
#[derive(Debug)]
pub struct ContainerBackend {
    docker: Docker,
    image: String,
    /// What names and labels everything of this simulator.
    mark: String,
    closed: AtomicBool,
}

impl ContainerBackend {
    /// One on the daemon at `host` (as `DOCKER_HOST` says it), whose stock image is made of this root file system
    /// (`ci/lib/machine_image.sh` makes it). It is imported unless the daemon has it.
    ///
    /// # Errors
    /// When the daemon does not answer, or does not take the image.
    pub async fn open(host: &str, root_tar: &Path) -> Result<Self> {
        let docker = Docker { host: host.to_owned() };
        // The directory is named by the content.
        let key = root_tar.parent().and_then(Path::file_name).and_then(std::ffi::OsStr::to_str);
        let key = key.ok_or_else(|| Error::new(format!("{} has no directory", root_tar.display())))?;
        let image = format!("lian-sim-machine:{key}");
        if docker.run(&["image", "inspect", &image]).await.is_err() {
            let path = root_tar.to_string_lossy();
            docker.run(&["import", "--change", r#"CMD ["/usr/lib/lian-sim/init"]"#, &path, &image]).await?;
        }
        let mark = format!("lian-sim-{:016x}", random());
        Ok(Self { docker, image, mark, closed: AtomicBool::new(false) })
    }

    /// The name of a server's container.
    pub fn container(&self, id: &str) -> String {
        format!("{}-{id}", self.mark)
    }

    /// The containers that there are, running or not.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn containers(&self) -> Result<Vec<String>> {
        let listed = self.docker.run(&["ps", "--all", "--filter", &self.filter(), "--format", "{{.Names}}"]).await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    fn filter(&self) -> String {
        format!("label={}", self.mark)
    }

    fn snapshot_image(&self, name: &str) -> String {
        format!("{}:{name}", self.mark)
    }
}

/// A number that nobody else has.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A loopback address on which nobody listens at port 22, away from those that programs commonly use.
fn free_address() -> Result<Ipv4Addr> {
    for _ in 0..64 {
        let [a, b, c, ..] = random().to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | a & 0x3f, b, c.clamp(1, 254));
        // Its own listener is gone at once; the container's comes with its start.
        if TcpListener::bind((address, 22)).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::new("no loopback address has a free port 22: it takes root to ask"))
}

/// The seed as cloud-init's `NoCloud` source reads it, as an archive of `/`.
fn archive(id: &str, seed: &Seed) -> Result<Vec<u8>> {
    let mut meta: Map<String, Value> =
        seed.meta_data.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    meta.insert("instance-id".to_owned(), json!(id));
    meta.insert("public-keys".to_owned(), json!(seed.ssh_keys));
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [("user-data", &seed.user_data), ("meta-data", &Value::Object(meta).to_string())] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, format!("var/lib/cloud/seed/nocloud/{name}"), text.as_bytes())?;
    }
    Ok(archive.into_inner()?)
}

#[async_trait]
impl Backend for ContainerBackend {
    async fn create(&self, machine: &Machine) -> Result<Ipv4Addr> {
        let address = free_address()?;
        let name = self.container(&machine.id);
        let memory = machine.memory_bytes.to_string();
        let image = machine.snapshot.as_ref().map_or_else(|| self.image.clone(), |name| self.snapshot_image(name));
        let publish = format!("{address}:22:22");
        let label = format!("{}=1", self.mark);
        let mut args = vec!["create", "--name", &name, "--hostname", &machine.name, "--label", &label];
        args.extend(PRIVILEGES);
        args.extend(["--publish", &publish, "--memory", &memory, "--memory-swap", &memory, &image]);
        self.docker.run(&args).await?;
        if self.closed.load(Ordering::SeqCst) {
            self.destroy(&machine.id).await?;
            return Err(Error::new("the simulator has ended"));
        }
        Ok(address)
    }

    async fn start(&self, id: &str, seed: &Seed) -> Result<()> {
        let name = self.container(id);
        let archive = archive(id, seed)?;
        self.docker.run_with(&["cp", "-", &format!("{name}:/")], Some(&archive)).await?;
        self.docker.run(&["start", &name]).await.map(drop)
    }

    async fn stop(&self, id: &str) -> Result<()> {
        self.docker.run(&["stop", "--time", "0", &self.container(id)]).await.map(drop)
    }

    async fn is_on(&self, id: &str) -> bool {
        let state = self.docker.run(&["inspect", "--format", "{{.State.Running}}", &self.container(id)]).await;
        state.is_ok_and(|running| running == "true")
    }

    async fn read_file(&self, id: &str, path: &str) -> Option<Vec<u8>> {
        self.docker.bytes(&["exec", &self.container(id), "cat", "--", path], None).await.ok()
    }

    async fn snapshot(&self, id: &str, name: &str) -> Result<()> {
        let change = format!("LABEL {}=1", self.mark);
        let image = self.snapshot_image(name);
        self.docker.run(&["commit", "--change", &change, &self.container(id), &image]).await.map(drop)
    }

    async fn forget_snapshot(&self, name: &str) {
        let _ = self.docker.run(&["image", "rm", "--force", &self.snapshot_image(name)]).await;
    }

    async fn destroy(&self, id: &str) -> Result<()> {
        let name = self.container(id);
        match self.docker.run(&["rm", "--force", "--volumes", &name]).await {
            Err(error) if !error.to_string().contains("No such container") => Err(error),
            _ => Ok(()),
        }
    }

    fn destroy_all(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let filter = self.filter();
        for (list, remove) in [
            (["ps", "--all", "--quiet"].as_slice(), ["rm", "--force", "--volumes"].as_slice()),
            (&["image", "ls", "--quiet"], &["image", "rm", "--force"]),
        ] {
            let listed = self.docker.run_blocking(&[list, &["--filter", &filter]].concat()).unwrap_or_default();
            let found: Vec<&str> = listed.lines().collect();
            if !found.is_empty() {
                let _ = self.docker.run_blocking(&[remove, &found].concat());
            }
        }
    }
}
