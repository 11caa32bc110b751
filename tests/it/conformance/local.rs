//! The harness of `'local`, and its suite.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lian_build::ids::LeaseId;
use lian_build::lease::LeaseRequest;
use lian_build::provider::local::LocalProvider;
use lian_build::provider::{ComputeProvider, Released};

use super::{Declared, Harness, Renewal, Second, conformance};
use crate::support::{LabelMap, LocalMachine};

/// This machine, with directories of its own.
struct Local {
    machine: LocalMachine,
    /// What stands for other processes: a runner that such a process holds is not ours to release.
    others: Mutex<Vec<(LeaseId, Arc<LocalProvider>)>>,
}

impl Local {
    fn new() -> Self {
        Self { machine: LocalMachine::new(), others: Mutex::default() }
    }

    fn runtime_dir(&self, lease: &LeaseId) -> PathBuf {
        self.machine.config.runtime_dir.join(lease.as_str())
    }
}

#[async_trait::async_trait]
impl Harness for Local {
    fn declared(&self) -> Declared {
        Declared { second: Second::IsRefused, renewal: Renewal::DoesNothing, enforces_memory: true }
    }

    fn provider(&self) -> Arc<dyn ComputeProvider> {
        Arc::new(self.machine.provider())
    }

    /// Its `sshd` never starts.
    fn failing_provider(&self) -> Arc<dyn ComputeProvider> {
        let programs = self.machine.path().join("programs");
        std::fs::create_dir_all(&programs).unwrap();
        let sshd = programs.join("sshd");
        std::fs::write(&sshd, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&sshd, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut config = self.machine.config.clone();
        config.program_dirs.insert(0, programs);
        Arc::new(LocalProvider::new(config))
    }

    fn request(&self) -> LeaseRequest {
        self.machine.request(0.5)
    }

    fn traces(&self, lease: &LeaseId) -> Vec<String> {
        // `sshd` writes a name of its own over its arguments soon after it was started: the number is what stays.
        let name = |line: String| {
            if line.starts_with("process ") { line.split(':').next().map(str::to_owned) } else { Some(line) }
        };
        self.machine.leftovers(lease).find().into_iter().filter_map(name).collect()
    }

    fn runners(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.machine.config.runtime_dir).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> =
            directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.starts_with("lb-"));
        names.sort();
        names
    }

    fn labels(&self, lease: &LeaseId) -> Option<LabelMap> {
        let record = std::fs::read(self.runtime_dir(lease).join("lease.json")).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        Some(serde_json::from_value(record["labels"].clone()).unwrap())
    }

    /// Kills the first process of the runner, and with it all of them.
    fn stop(&self, lease: &LeaseId) {
        let pid = std::fs::read_to_string(self.runtime_dir(lease).join("sshd/sshd.pid")).unwrap();
        let cgroup = format!("{lease}/runner");
        let of_runner = |process: &PathBuf| {
            std::fs::read_to_string(process.join("cgroup")).is_ok_and(|text| text.contains(&cgroup))
        };
        let processes = self.machine.leftovers(lease).process_dirs();
        assert!(processes.iter().any(of_runner), "no process of the runner of pid {pid}");
        for process in processes.iter().filter(|process| of_runner(process)) {
            let pid = process.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            // One may have ended with another.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    async fn plant_foreign(&self) -> LeaseId {
        let (other, request) = (Arc::new(self.machine.provider()), self.request());
        (self as &dyn Harness).lease(&*other, &request).await;
        self.others.lock().unwrap().push((request.lease_id.clone(), other));
        request.lease_id
    }

    async fn uproot_foreign(&self, lease: &LeaseId) {
        let other = {
            let mut others = self.others.lock().unwrap();
            let place = others.iter().position(|(id, _)| id == lease).unwrap();
            others.remove(place).1
        };
        assert_eq!(other.release(lease).await.unwrap(), Released::Destroyed);
    }

    /// A directory of a lease that does not say whose it is.
    fn plant_unreadable(&self) -> LeaseId {
        let lease = LeaseId::new();
        std::fs::create_dir(self.runtime_dir(&lease)).unwrap();
        lease
    }

    fn uproot_unreadable(&self, lease: &LeaseId) {
        std::fs::remove_dir(self.runtime_dir(lease)).unwrap();
    }
}

conformance!(Local::new());
