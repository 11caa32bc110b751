//! The runtime directory may stand where others can write: nothing in one that is not ours is believed, and nothing but
//! what a lease is made of is taken from a record.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lian_build::error::ErrorKind;
use lian_build::ids::LeaseId;
use lian_build::process::Cmd;
use lian_build::provider::{ComputeProvider as _, Released};

use crate::support::LocalMachine;

/// A lease's directory in the runtime directory, with a record that names `data` and a cgroup below `cgroup_root`.
fn plant(machine: &LocalMachine, lease: &LeaseId, data: &Path, cgroup_root: &Path) {
    let dir = machine.config.runtime_dir.join(lease.as_str());
    std::fs::create_dir_all(&dir).unwrap();
    let record = serde_json::json!({
        "version": 1,
        "data": data,
        "cgroup": { "version": "v2", "root": cgroup_root, "parent": "lian-build", "lease": lease },
    });
    std::fs::write(dir.join("lease.json"), record.to_string()).unwrap();
    set_mode(&machine.config.runtime_dir, 0o700);
}

fn set_mode(dir: &Path, mode: u32) {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory of the user's that is named like a lease's.
fn victim(machine: &LocalMachine, lease: &LeaseId) -> PathBuf {
    let dir = machine.path().join("victim/leases").join(lease.as_str());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("file"), "stays").unwrap();
    dir
}

#[tokio::test]
async fn a_runtime_directory_of_others_is_not_believed() {
    let spoils: [&dyn Fn(&Path); 3] = [
        &|dir| set_mode(dir, 0o755),
        &|dir| std::os::unix::fs::chown(dir, Some(65_534), Some(65_534)).unwrap(),
        &|dir| {
            let elsewhere = dir.with_file_name("elsewhere");
            std::fs::rename(dir, &elsewhere).unwrap();
            std::os::unix::fs::symlink(elsewhere, dir).unwrap();
        },
    ];
    for spoil in spoils {
        let (machine, lease) = (LocalMachine::new(), LeaseId::new());
        let data = victim(&machine, &lease);
        plant(&machine, &lease, &data, &machine.config.cgroup_root);
        spoil(&machine.config.runtime_dir);
        let provider = machine.provider();
        assert_eq!(machine.sweep().await.unwrap_err().kind(), ErrorKind::State);
        assert_eq!(provider.release(&lease).await.unwrap_err().kind(), ErrorKind::State);
        assert_eq!(provider.list().await.unwrap_err().kind(), ErrorKind::State);
        assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), "stays");
    }
}

#[tokio::test]
async fn a_record_of_our_own_is_followed() {
    let (machine, lease) = (LocalMachine::new(), LeaseId::new());
    let data = victim(&machine, &lease);
    plant(&machine, &lease, &data, &machine.config.cgroup_root);
    // The lock that the recorded directory had stood beside it.
    std::fs::write(data.with_extension("lock"), "").unwrap();
    assert_eq!(machine.sweep().await.unwrap(), std::slice::from_ref(&lease));
    assert!(!data.exists() && !data.with_extension("lock").exists());
    machine.leftovers(&lease).assert_none();
}

#[tokio::test]
async fn a_record_cannot_name_what_no_lease_is_made_of() {
    let (machine, lease) = (LocalMachine::new(), LeaseId::new());
    let dir = machine.path().join("victim");
    std::fs::create_dir_all(&dir).unwrap();
    // A cgroup of somebody else's making, with a process of ours.
    let mut bystander =
        Cmd::new("cat", ErrorKind::Provider).spawn(Stdio::piped(), Stdio::null(), Stdio::null()).unwrap();
    let group = machine.path().join("cgroup/lian-build").join(lease.as_str());
    std::fs::create_dir_all(&group).unwrap();
    std::fs::write(group.join("cgroup.procs"), bystander.id().unwrap().to_string()).unwrap();
    plant(&machine, &lease, &dir, &machine.path().join("cgroup"));
    assert_eq!(machine.provider().release(&lease).await.unwrap(), Released::Destroyed);
    assert!(dir.exists() && group.exists());
    assert_eq!(bystander.try_wait().unwrap(), None);
    bystander.kill().await.unwrap();
    machine.leftovers(&lease).assert_none();
}

#[tokio::test]
async fn a_lock_alone_is_no_abandoned_runner() {
    let (machine, lease) = (LocalMachine::new(), LeaseId::new());
    std::fs::create_dir(&machine.config.runtime_dir).unwrap();
    set_mode(&machine.config.runtime_dir, 0o700);
    std::fs::write(machine.config.runtime_dir.join(format!("{lease}.lock")), "").unwrap();
    assert_eq!(machine.sweep().await.unwrap(), []);
    machine.leftovers(&lease).assert_none();
}
