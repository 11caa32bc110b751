//! [`ServerContainers`]: containers of the runner's image that stand for servers of a simulated Hetzner, and build. What is in
//! a server's user data is put into them from outside: its files, and then its commands, so they stand within a second or two
//! where a machine's own cloud-init takes twenty.

use std::net::Ipv4Addr;

use lian_simulators::backend::{Backend, Machine, Seed};
use lian_simulators::error::{Error, Result};
use serde_json::Value;

use super::machine_containers::MachineContainers;
use super::sshd_backend::next_address;

/// Containers of the runner's image that stand for servers.
#[derive(Debug)]
pub(crate) struct ServerContainers(MachineContainers);

impl ServerContainers {
    pub(crate) fn new() -> Self {
        Self(MachineContainers::new("server"))
    }

    /// The containers that there are, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.0.all()
    }
}

/// A file: where it is, its mode, and its text.
type File = (String, u32, String);

/// What cloud-init would make of the user data: the files, and the commands.
fn read(user_data: &str) -> Option<(Vec<File>, Vec<Vec<String>>)> {
    let document: Value = serde_json::from_str(user_data.strip_prefix("#cloud-config\n")?).ok()?;
    let file = |file: &Value| {
        let mode = u32::from_str_radix(file["permissions"].as_str()?, 8).ok()?;
        let path = file["path"].as_str()?.trim_start_matches('/').to_owned();
        Some((path, mode, file["content"].as_str()?.to_owned()))
    };
    let mut files = document["write_files"].as_array()?.iter().map(file).collect::<Option<Vec<_>>>()?;
    let keys: Vec<String> = serde_json::from_value(document["ssh_authorized_keys"].clone()).ok()?;
    files.push(("root/.ssh/authorized_keys".to_owned(), 0o600, keys.join("\n") + "\n"));
    Some((files, serde_json::from_value(document["runcmd"].clone()).ok()?))
}

fn archive(files: &[File]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

#[async_trait::async_trait]
impl Backend for ServerContainers {
    async fn create(&self, machine: &Machine) -> Result<Ipv4Addr> {
        let address = next_address();
        let publish = format!("{address}:22:22");
        self.0.create(machine, &["--publish", &publish]).await.map(|()| address)
    }

    async fn start(&self, id: &str, seed: &Seed) -> Result<()> {
        let name = self.0.name(id);
        let (files, commands) = read(&seed.user_data).ok_or_else(|| Error::new("these user data are not ours"))?;
        let (dockerd, of) = (self.0.dockerd.clone(), format!("{name}:/"));
        let put = move || dockerd.docker_with_input(&["cp", "-", &of], &archive(&files));
        // It may have been destroyed meanwhile.
        tokio::task::spawn_blocking(put).await.map_err(|_| Error::new(format!("`{name}` is gone")))?;
        self.0.docker(&["start", &name]).await?;
        // As on a machine, where sshd is there before the commands: they put its configuration in place once more.
        for _ in 0..600 {
            let started = self.0.docker(&["exec", &name, "pidof", "sshd"]).await.is_ok();
            if started || !self.is_on(id).await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        for command in commands {
            let mut args = vec!["exec", "--detach", &name];
            args.extend(command.iter().map(String::as_str));
            self.0.docker(&args).await?;
        }
        Ok(())
    }

    async fn stop(&self, id: &str) -> Result<()> {
        self.0.stop(id).await
    }

    async fn is_on(&self, id: &str) -> bool {
        self.0.is_on(id).await
    }

    async fn read_file(&self, _id: &str, _path: &str) -> Option<Vec<u8>> {
        None
    }

    async fn snapshot(&self, _id: &str, _name: &str) -> Result<()> {
        MachineContainers::no_snapshots()
    }

    async fn forget_snapshot(&self, _name: &str) {}

    async fn destroy(&self, id: &str) -> Result<()> {
        self.0.destroy(id).await
    }

    fn destroy_all(&self) {
        self.0.destroy_all();
    }
}
