//! [`GuestBackend`]: a server is a whole machine, with a kernel, systemd and cloud-init of its own.

mod qemu;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tempfile::TempDir;

use super::{Backend, Machine, Seed};
use crate::error::{Error, Result};

/// A server is a QEMU guest without acceleration. It starts from a stock Debian 12, reads its metadata and user data where
/// Hetzner serves them (169.254.169.254, with Hetzner's name in its firmware), and is reached by SSH at a loopback address of
/// its own. It reaches what this machine reaches; this machine's loopback is [`GuestBackend::HOST`] to it.
///
/// It is slow: minutes until SSH answers. It has half the memory that was asked for, so that a test machine holds the larger
/// ones too. Its disk stays with it until it is destroyed; there are no snapshots.
#[derive(Debug)]
pub struct GuestBackend {
    image: PathBuf,
    dir: TempDir,
    guests: Mutex<BTreeMap<String, Guest>>,
    /// What the consoles of those that were destroyed showed.
    past: Mutex<String>,
}

/// One server.
#[derive(Debug)]
struct Guest {
    machine: Machine,
    address: Ipv4Addr,
    dir: PathBuf,
    process: Option<Child>,
}

impl Guest {
    fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("console")).unwrap_or_default()).into_owned()
    }

    /// Whether it has power. A machine that switched itself off is reaped.
    fn is_on(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// Takes its power away, and waits until it is off.
    fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // It ends when nobody holds its input.
        drop(process.stdin.take());
        process.wait()?;
        Ok(())
    }
}

impl GuestBackend {
    /// What a guest reaches this machine's loopback by.
    pub const HOST: Ipv4Addr = Ipv4Addr::new(169, 252, 0, 2);

    /// Servers that start from the image in this directory: `kernel`, `initrd`, `disk.qcow2` and
    /// the `architecture` that they are for, as `ci/lib/guest.sh` makes it.
    ///
    /// # Errors
    /// When there is no such image, or no room for the servers' files.
    pub fn new(image: &Path) -> Result<Self> {
        for name in ["kernel", "initrd", "disk.qcow2", "architecture"] {
            if !image.join(name).is_file() {
                return Err(Error::new(format!("the guest image {} has no {name}", image.display())));
            }
        }
        let dir = tempfile::Builder::new().prefix("lg").tempdir()?;
        Ok(Self { image: image.to_owned(), dir, guests: Mutex::default(), past: Mutex::default() })
    }

    fn guests(&self) -> MutexGuard<'_, BTreeMap<String, Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: &str, what: impl FnOnce(&mut Guest) -> Result<T>) -> Result<T> {
        let mut guests = self.guests();
        what(guests.get_mut(id).ok_or_else(|| Error::new(format!("there is no server {id}")))?)
    }

    /// What the consoles of all servers showed so far, also of those that are no more.
    pub fn consoles(&self) -> String {
        let mut all = self.past.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(self.guests().values().map(Guest::console));
        all
    }

    /// The paths that a server asked the metadata address for so far, one a line.
    pub fn asked(&self, id: &str) -> String {
        self.with(id, |guest| Ok(std::fs::read_to_string(guest.dir.join("meta/asked"))?)).unwrap_or_default()
    }
}

/// A loopback address whose port 22 is free.
fn free_address(taken: impl Fn(Ipv4Addr) -> bool) -> Result<Ipv4Addr> {
    let seed = std::process::id();
    (0..1000)
        .map(|number| {
            Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, 0, 1)) + (seed.wrapping_mul(251) + number) % 0xffff)
        })
        .find(|address| !taken(*address) && TcpListener::bind((*address, 22)).is_ok())
        .ok_or_else(|| Error::new("no loopback address with a free port 22: this needs root"))
}

#[async_trait]
impl Backend for GuestBackend {
    async fn create(&self, machine: &Machine) -> Result<Ipv4Addr> {
        if machine.snapshot.is_some() {
            return Err(Error::new("guests start from the stock image only"));
        }
        let mut guests = self.guests();
        let address = free_address(|address| guests.values().any(|guest| guest.address == address))?;
        let dir = self.dir.path().join(&machine.id);
        qemu::create_disk(&self.image, &dir)?;
        guests.insert(machine.id.clone(), Guest { machine: machine.clone(), address, dir, process: None });
        Ok(address)
    }

    async fn start(&self, id: &str, seed: &Seed) -> Result<()> {
        let image = self.image.clone();
        self.with(id, |guest| {
            if guest.is_on() {
                return Ok(());
            }
            qemu::write_metadata(&guest.dir, &guest.machine, seed)?;
            guest.process = Some(qemu::start(&image, &guest.dir, &guest.machine, guest.address)?);
            Ok(())
        })
    }

    async fn stop(&self, id: &str) -> Result<()> {
        self.with(id, Guest::stop)
    }

    async fn is_on(&self, id: &str) -> bool {
        self.with(id, |guest| Ok(guest.is_on())).unwrap_or_default()
    }

    async fn read_file(&self, _id: &str, _path: &str) -> Option<Vec<u8>> {
        None
    }

    async fn snapshot(&self, _id: &str, _name: &str) -> Result<()> {
        Err(Error::new("guests have no snapshots"))
    }

    async fn forget_snapshot(&self, _name: &str) {}

    async fn destroy(&self, id: &str) -> Result<()> {
        let Some(mut guest) = self.guests().remove(id) else { return Ok(()) };
        guest.stop()?;
        self.past.lock().unwrap_or_else(PoisonError::into_inner).push_str(&guest.console());
        std::fs::remove_dir_all(&guest.dir)?;
        Ok(())
    }

    fn destroy_all(&self) {
        for guest in self.guests().values_mut() {
            let _ = guest.stop();
        }
        self.guests().clear();
    }
}

impl Drop for GuestBackend {
    fn drop(&mut self) {
        self.destroy_all();
    }
}
