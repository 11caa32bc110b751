//! Whatever ends a build, nothing of its local runner stays: SIGKILL, cancellation, a killed daemon or `sshd`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lian_build::error::ErrorKind;
use lian_build::ids::LeaseId;
use lian_build::lease::HolderState;
use lian_build::process::Cmd;
use lian_build::provider::{ComputeProvider as _, Released};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;

use crate::support::{LocalMachine, Runner, environment, wait_until_async};

/// Tells [`holder`] where to lease; set by the test that kills it.
const HOLDER_DIR: &str = "LIAN_TEST_HOLDER_DIR";

#[tokio::test]
#[ignore = "the process that a_killed_holder_takes_everything_with_it starts and kills"]
async fn holder() {
    let dir = environment().path(HOLDER_DIR).unwrap();
    let machine = LocalMachine::at(&dir);
    let runner = Runner::start(&machine, 1.0).await;
    runner.add_base();
    println!("\nleased {}", runner.request.lease_id);
    // A step that would run for long, so that there is a container, too.
    let (code, said) = runner.build("FROM scratch\nADD base.tar /\nRUN echo step-runs; sleep 600\n", &[]).await;
    panic!("the build ended with {code}: {said}");
}

#[tokio::test]
async fn a_killed_holder_takes_everything_with_it() {
    let machine = LocalMachine::new();
    let mut holder = Cmd::new(std::env::current_exe().unwrap(), ErrorKind::Provider)
        .args(["--ignored", "--exact", "local_leaks::holder", "--nocapture"])
        .env(HOLDER_DIR, machine.path())
        .spawn(Stdio::null(), Stdio::piped(), Stdio::inherit())
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let lease: LeaseId = loop {
        let line = lines.next_line().await.unwrap().expect("the holder ended");
        if let Some(lease) = line.strip_prefix("leased ") {
            break lease.parse().unwrap();
        }
    };
    let leftovers = machine.leftovers(&lease);
    // The step's own process is there: it is in the lease's cgroup.
    wait_until_async("the step runs", || leftovers.find().iter().any(|line| line.contains("sleep 600"))).await;

    let id = rustix::process::Pid::from_raw(holder.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    holder.wait().await.unwrap();
    // No sweep yet: the kernel alone ends the processes.
    wait_until_async("all processes end", || !leftovers.find().iter().any(|line| line.starts_with("process"))).await;

    let provider = machine.provider();
    let listed = provider.list().await.unwrap();
    assert!(
        listed.iter().any(|listed| listed.lease_id.as_ref() == Some(&lease) && listed.holder == HolderState::Dead),
        "{listed:?}"
    );
    assert_eq!(machine.sweep().await.unwrap(), [lease]);
    leftovers.assert_none();
    assert_eq!(machine.sweep().await.unwrap(), []);
}

#[tokio::test]
async fn a_sweep_leaves_living_leases_alone() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    assert_eq!(machine.sweep().await.unwrap(), []);
    let other = machine.provider().release(&runner.request.lease_id).await.unwrap_err();
    assert!(other.to_string().contains("held by another process"), "{other}");
    assert_eq!(runner.shell("echo alive").await, "alive");
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_machine_without_sshds_directory_gets_none() {
    let machine = LocalMachine::new();
    // A machine's /run of its own, with a directory, a file and a link in it.
    let script =
        "mount -t tmpfs none /run && mkdir /run/d && echo text >/run/d/f && ln -s d/f /run/l && exec \"$0\" \"$@\"";
    let status = Cmd::new("unshare", ErrorKind::Provider)
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "local_leaks::leases_without_sshds_directory", "--nocapture"])
        .env(HOLDER_DIR, machine.path())
        .spawn(Stdio::null(), Stdio::inherit(), Stdio::inherit())
        .unwrap()
        .wait()
        .await
        .unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
#[ignore = "a_machine_without_sshds_directory_gets_none runs it with a /run of its own"]
async fn leases_without_sshds_directory() {
    let mut machine = LocalMachine::at(&environment().path(HOLDER_DIR).unwrap());
    machine.config.runtime_dir = "/run/lian-build".into();
    let names = || {
        let mut names: Vec<_> = Path::new("/run").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["d", "l"]);
    let runner = Runner::start(&machine, 1.0).await;
    assert_eq!(names(), ["d", "l", "lian-build"]);
    assert_eq!(runner.shell("cat /run/l && stat -c %a /run/sshd").await, "text\n755");
    let (code, said) = runner.build("FROM scratch\nCOPY Dockerfile /\n", &[]).await;
    assert_eq!(code, 0, "{said}");
    runner.release(&machine).await;
    assert_eq!(names(), ["d", "l"]);
}

/// Files of a lease, in the order in which an acquisition makes them: the record, the programs, the keys, the runner's
/// processes, its `sshd`.
const MOMENTS: [&str; 5] = ["lease.json", "bin/runc", "client_key.pub", "runner.log", "sshd/sshd.pid"];

/// Waits until the file of a moment is there, and yields how many processes the lease has then.
async fn moment(machine: &LocalMachine, lease: &LeaseId, file: &str) -> usize {
    let path = machine.config.runtime_dir.join(lease.as_str()).join(file);
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    machine.leftovers(lease).process_dirs().len()
}

#[tokio::test]
async fn cancelling_at_any_moment_leaves_nothing() {
    let mut cancelled_runners = 0;
    for file in MOMENTS {
        let machine = LocalMachine::new();
        let (provider, request) = (machine.provider(), machine.request(1.0));
        let cancel = CancellationToken::new();
        let acquire = provider.acquire(&request, &|_: &str| (), &cancel);
        let cancelling = async {
            let processes = moment(&machine, &request.lease_id, file).await;
            cancel.cancel();
            processes
        };
        let (acquired, processes) = tokio::join!(acquire, cancelling);
        // Too late to be cancelled is fine: then there is a lease, and it is released.
        let expected = if acquired.is_ok() { Released::Destroyed } else { Released::AlreadyGone };
        cancelled_runners += usize::from(acquired.is_err() && processes > 0);
        assert_eq!(provider.release(&request.lease_id).await.unwrap(), expected);
        machine.leftovers(&request.lease_id).assert_none();
    }
    assert!(cancelled_runners > 0, "no runner was there to be cancelled");
}

#[tokio::test]
async fn cancelling_before_the_runner_starts_leaves_nothing() {
    let machine = LocalMachine::new();
    let (provider, request) = (machine.provider(), machine.request(1.0));
    let cancel = CancellationToken::new();
    let error = provider.acquire(&request, &|_: &str| cancel.cancel(), &cancel).await.unwrap_err();
    assert!(error.to_string().contains("was cancelled"), "{error}");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    machine.leftovers(&request.lease_id).assert_none();
}

#[tokio::test]
async fn an_acquisition_that_is_dropped_is_released() {
    let mut dropped_runners = 0;
    for file in MOMENTS {
        let machine = LocalMachine::new();
        let (provider, request) = (machine.provider(), machine.request(1.0));
        let token = CancellationToken::new();
        tokio::select! {
            acquired = provider.acquire(&request, &|_: &str| (), &token) => drop(acquired.unwrap()),
            processes = moment(&machine, &request.lease_id, file) => dropped_runners += usize::from(processes > 0),
        }
        provider.release(&request.lease_id).await.unwrap();
        machine.leftovers(&request.lease_id).assert_none();
    }
    assert!(dropped_runners > 0, "no runner was there to be dropped");
}

#[tokio::test]
async fn a_provider_that_is_dropped_by_a_panic_releases_its_leases() {
    let machine = LocalMachine::new();
    let Runner { provider, request, endpoint, session } = Runner::start(&machine, 1.0).await;
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _provider = provider;
        std::panic::resume_unwind(Box::new("a panic on the way to the release"));
    }));
    assert!(unwound.is_err());
    machine.leftovers(&request.lease_id).assert_none();
    drop((endpoint, session));
}

#[tokio::test]
async fn a_runner_whose_sshd_was_killed_is_released() {
    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 1.0).await;
    let pid_file = machine.config.runtime_dir.join(runner.request.lease_id.as_str()).join("sshd/sshd.pid");
    runner.shell(&format!("kill -9 $(cat {})", pid_file.display())).await;
    runner.provider.release(&runner.request.lease_id).await.unwrap();
    machine.leftovers(&runner.request.lease_id).assert_none();
}

#[tokio::test]
async fn a_session_that_was_not_closed_ends_with_the_lease() {
    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 1.0).await;
    let child = runner.session.spawn(&["sleep", "600"]).unwrap();
    runner.provider.release(&runner.request.lease_id).await.unwrap();
    machine.leftovers(&runner.request.lease_id).assert_none();
    drop(child);
}

#[tokio::test]
async fn a_link_in_the_leases_directories_is_not_followed() {
    let machine = LocalMachine::new();
    let outside = machine.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "stays").unwrap();
    let runner = Runner::lease(&machine, 1.0).await;
    let link = format!("{}/link", runner.endpoint.paths.context);
    runner.session.run(&["ln", "-s", outside.to_str().unwrap(), &link], None).await.unwrap().ok("ln").unwrap();
    assert!(Path::new(&link).is_symlink());
    runner.release(&machine).await;
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "stays");
}

#[tokio::test]
async fn a_reader_of_a_lease_does_not_hold_up_its_release() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let log = machine.config.runtime_dir.join(runner.request.lease_id.as_str()).join("sshd/sshd.log");
    let mut reader = Cmd::new("tail", ErrorKind::Provider)
        .args(["-f".as_ref(), log.as_os_str()])
        .spawn(Stdio::null(), Stdio::null(), Stdio::null())
        .unwrap();
    runner.session.close().await.unwrap();
    assert_eq!(runner.provider.release(&runner.request.lease_id).await.unwrap(), Released::Destroyed);
    reader.kill().await.unwrap();
    machine.leftovers(&runner.request.lease_id).assert_none();
}

#[tokio::test]
async fn a_process_of_another_user_does_not_hold_up_a_release() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let dir = machine.config.runtime_dir.join(runner.request.lease_id.as_str());
    // By its name and arguments it could be one of the runner's own.
    let mut other = Cmd::new("setpriv", ErrorKind::Provider)
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "read -r _", "sh"])
        .arg(&dir)
        .spawn(Stdio::piped(), Stdio::null(), Stdio::null())
        .unwrap();
    let name = format!("/proc/{}/comm", other.id().unwrap());
    wait_until_async("it runs", || std::fs::read_to_string(&name).is_ok_and(|name| name == "sh\n")).await;
    runner.session.close().await.unwrap();
    assert_eq!(runner.provider.release(&runner.request.lease_id).await.unwrap(), Released::Destroyed);
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().await.unwrap();
    machine.leftovers(&runner.request.lease_id).assert_none();
}

#[tokio::test]
async fn what_cannot_be_removed_is_named_and_removed_later() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let context = runner.endpoint.paths.context.clone();
    let mounted = Mount::tmpfs(Path::new(&context));
    runner.session.close().await.unwrap();
    let error = runner.provider.release(&runner.request.lease_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    assert!(error.to_string().contains(&format!("mount `{context}`")), "{error}");
    drop(mounted);
    runner.provider.release(&runner.request.lease_id).await.unwrap();
    machine.leftovers(&runner.request.lease_id).assert_none();
}

/// A tmpfs that is unmounted when the test ends.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(dir: &Path) -> Self {
        rustix::mount::mount("none", dir, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        Self(dir.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}
