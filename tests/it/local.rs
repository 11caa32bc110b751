//! The `'local` provider: a real runner on this machine, from the lease to the verified release.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use lian_build::error::ErrorKind;
use lian_build::lease::{HolderState, Labels};
use lian_build::lease::{Isolation, MemoryLimit};
use lian_build::provider::{ComputeProvider as _, Listed, Liveness, Released, RunnerStatus};
use lian_build::remote::Session;
use lian_build::solve::buildkitd::{self, BuildkitConfig, DaemonState, RegistryConfig};
use tokio_util::sync::CancellationToken;

use crate::support::{LocalMachine, Runner};

#[tokio::test]
async fn a_runner_builds_and_leaves_nothing() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let started = buildkitd::start(&runner.session, &runner.endpoint, &BuildkitConfig::default()).await.unwrap();
    assert_eq!(started.notes, Vec::<String>::new());
    assert!(started.workers.contains("overlayfs"), "{}", started.workers);
    let (code, said) = runner.build("FROM scratch\nCOPY Dockerfile /\n", &[]).await;
    assert_eq!(code, 0, "{said}");
    // What the tests look for is seen while it is there.
    let seen = machine.leftovers(&runner.request.lease_id).find();
    for kind in ["process", "cgroup", "entry"] {
        assert!(seen.iter().any(|line| line.starts_with(kind)), "no {kind} in {seen:#?}");
    }
    runner.release(&machine).await;
    // It was the last lease.
    assert!(!machine.config.runtime_dir.exists());
}

#[tokio::test]
async fn a_step_runs_and_sees_neither_the_callers_home_nor_configuration() {
    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 1.0).await;
    runner.add_base();
    let (code, said) = runner.build("FROM scratch\nADD base.tar /\nRUN echo ran-in-a-step\n", &[]).await;
    assert!(code == 0 && said.contains("ran-in-a-step"), "{said}");
    let pid_file = format!("{}/buildkitd.pid", runner.endpoint.paths.run);
    let environment = runner.shell(&format!("tr '\\0' '\\n' <\"/proc/$(cat {pid_file})/environ\"")).await;
    // BuildKit's mount points of secrets would otherwise stay in /tmp when a step is killed.
    let temporary = format!("TMPDIR={}/t", runner.endpoint.paths.run);
    assert!(environment.lines().any(|line| line == temporary), "{environment}");
    let home = runner.shell("cd && pwd && ls -A").await;
    assert_eq!(home, format!("{}/home", machine.config.runtime_dir.join(runner.request.lease_id.as_str()).display()));
    runner.release(&machine).await;
}

#[tokio::test]
async fn nothing_that_belongs_to_the_runner_has_the_callers_environment() {
    /// Stands for a secret in the environment of the caller, which this test's process has.
    const MARKER: &[u8] = b"LIAN_TEST_BUILDKIT_DIR=";
    let environment = |process: &Path| std::fs::read(process.join("environ")).unwrap_or_default();
    let has_marker = |process: &Path| memchr::memmem::find(&environment(process), MARKER).is_some();
    assert!(has_marker(Path::new("/proc/self")));

    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 1.0).await;
    let child = runner.session.spawn(&["sleep", "600"]).unwrap();
    let processes = machine.leftovers(&runner.request.lease_id).process_dirs();
    let name = |process: &Path| std::fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned();
    let names: Vec<String> = processes.iter().map(|process| name(process)).collect();
    for program in ["unshare", "sh", "sshd", "ssh", "buildkitd"] {
        assert!(names.iter().any(|name| name == program), "no {program} in {names:?}");
    }
    let told: Vec<String> =
        processes.iter().filter(|process| has_marker(process)).map(|process| name(process)).collect();
    assert_eq!(told, Vec::<String>::new());
    drop(child);
    runner.release(&machine).await;
}

#[tokio::test]
async fn the_endpoint_says_what_the_runner_is() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let endpoint = &runner.endpoint;
    assert_eq!((endpoint.isolation, endpoint.shared, endpoint.rootless), (Isolation::None, true, false));
    assert!(endpoint.notes.iter().any(|note| note.contains("owns this machine")), "{:?}", endpoint.notes);
    let MemoryLimit::Cgroup { parent, bytes, .. } = &endpoint.memory else { panic!("{:?}", endpoint.memory) };
    assert!(parent.contains(endpoint.lease_id.as_str()), "{parent}");
    assert_eq!((*bytes, endpoint.effective_memory_bytes), (512 << 20, 1 << 30));
    let cgroup = runner.shell("cat /proc/self/cgroup").await;
    assert!(cgroup.contains(&format!("{}/runner", endpoint.lease_id)), "{cgroup}");
    runner.release(&machine).await;
}

#[tokio::test]
async fn arguments_and_input_arrive_as_they_are() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let odd = ["printf", "%s|", "", "a b", "$HOME", "it's", "`id`", "*", "\n", "ü", "-n", "\\"];
    let output = runner.session.run(&odd, None).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "|a b|$HOME|it's|`id`|*|\n|ü|-n|\\|");
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    assert_eq!(runner.session.run(&["cat"], Some(&bytes)).await.unwrap().stdout, bytes);
    let failed = runner.session.run(&["sh", "-c", "echo why >&2; exit 3"], None).await.unwrap();
    assert_eq!((failed.code, failed.stderr_text()), (3, "why".to_owned()));
    runner.release(&machine).await;
}

#[tokio::test]
async fn another_host_key_is_not_accepted() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let other = Runner::lease(&machine, 1.0).await;
    let mut endpoint = runner.endpoint.clone();
    endpoint.host_key.clone_from(&other.endpoint.host_key);
    let error = Session::connect(&endpoint, &machine.path().join("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runner, "{error}");
    assert!(error.to_string().contains("verification failed"), "{error}");
    runner.release(&machine).await;
    other.release(&machine).await;
}

#[tokio::test]
async fn a_kept_cache_makes_the_second_build_warm_and_one_build_has_it() {
    let mut machine = LocalMachine::new();
    machine.config.cache_cap_bytes = 1 << 30;
    let dockerfile = "FROM scratch\nADD base.tar /\nRUN echo once >/once\n";
    let first = Runner::start(&machine, 1.0).await;
    assert_eq!(first.endpoint.cache_cap_bytes, Some(1 << 30));
    first.add_base();
    let (code, said) = first.build(dockerfile, &[]).await;
    assert!(code == 0 && !said.contains("CACHED"), "{said}");

    let beside = Runner::lease(&machine, 1.0).await;
    assert_ne!(beside.endpoint.paths.buildkit_root, first.endpoint.paths.buildkit_root);
    assert!(beside.endpoint.notes.iter().any(|note| note.contains("another build")), "{:?}", beside.endpoint.notes);
    beside.release(&machine).await;
    first.release(&machine).await;

    let second = Runner::start(&machine, 1.0).await;
    second.add_base();
    let (code, said) = second.build(dockerfile, &[]).await;
    assert!(code == 0 && said.contains("CACHED"), "{said}");
    second.release(&machine).await;
}

/// Labels hold whole seconds.
fn seconds(labels: Labels) -> Labels {
    Labels::from_map(&labels.to_map()).unwrap().unwrap()
}

#[tokio::test]
async fn leasing_is_idempotent_and_so_is_releasing() {
    let machine = LocalMachine::new();
    let (provider, request) = (machine.provider(), machine.request(1.0));
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    let first = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap();
    let again = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap();
    assert_eq!((first.port, first.host_key), (again.port, again.host_key));
    let listed = Listed {
        name: request.lease_id.to_string(),
        lease_id: Some(request.lease_id.clone()),
        labels: Ok(seconds(request.labels())),
        status: RunnerStatus::Running,
        holder: HolderState::Alive,
        renewed_until: None,
        cost: None,
    };
    assert_eq!(machine.provider().list().await.unwrap(), [listed]);
    assert_eq!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    assert_eq!(provider.list().await.unwrap(), []);
    machine.leftovers(&request.lease_id).assert_none();
}

#[tokio::test]
async fn builds_share_the_machines_memory_and_wait_for_it() {
    let mut machine = LocalMachine::new();
    machine.config.memory_budget_bytes = Some(3 << 29);
    let first = Mutex::new(Some(Runner::lease(&machine, 1.0).await));
    let (waits, mut said) = tokio::sync::mpsc::unbounded_channel();
    let waiting = move |text: &str| waits.send(text.to_owned()).unwrap();
    let (provider, request) = (machine.provider(), machine.request(1.0));
    let second = async { provider.acquire(&request, &waiting, &CancellationToken::new()).await };
    let release = async {
        let text = said.recv().await.unwrap();
        assert!(text.starts_with("1 GB of the machine's memory budget: 1 of 1.5 GB are leased by test"), "{text}");
        let first = first.lock().unwrap().take().unwrap();
        first.release(&machine).await;
    };
    let (second, ()) = tokio::join!(second, release);
    second.unwrap();
    provider.release(&request.lease_id).await.unwrap();
    machine.leftovers(&request.lease_id).assert_none();
}

#[tokio::test]
async fn a_wait_for_memory_ends_with_no_capacity() {
    let mut machine = LocalMachine::new();
    machine.config.memory_budget_bytes = Some(3 << 29);
    machine.config.queue_timeout = Duration::from_millis(300);
    let first = Runner::lease(&machine, 1.0).await;
    let (provider, request) = (machine.provider(), machine.request(1.0));
    let error = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCapacity, "{error}");
    machine.leftovers(&request.lease_id).assert_none();
    let too_large = machine.request(2.0);
    let error = provider.check(&too_large).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCapacity, "{error}");
    first.release(&machine).await;
}

#[tokio::test]
async fn a_limit_that_cannot_be_set_is_said_and_leaves_nothing() {
    let mut machine = LocalMachine::new();
    // A hierarchy whose controllers cannot be passed on, as in a container whose processes are in its root.
    let root = machine.path().join("cgroup");
    std::fs::create_dir_all(root.join("cgroup.subtree_control")).unwrap();
    std::fs::write(root.join("cgroup.controllers"), "cpu memory\n").unwrap();
    machine.config.cgroup_root = root.clone();
    let runner = Runner::lease(&machine, 1.0).await;
    let MemoryLimit::None { reason } = &runner.endpoint.memory else { panic!("{:?}", runner.endpoint.memory) };
    assert!(reason.contains("+memory"), "{reason}");
    let warnings = &runner.endpoint.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("not enforced: ")), "{warnings:?}");
    // What was made of it does not wait for the release.
    assert!(!root.join("lian-build").exists());
    runner.release(&machine).await;
}

#[tokio::test]
async fn the_daemons_end_is_told_with_its_last_words() {
    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 1.0).await;
    let before = buildkitd::diagnose(&runner.session, &runner.endpoint).await.unwrap();
    assert_eq!(before.state, DaemonState::Running);
    runner.shell(&format!("kill -9 $(cat {}/buildkitd.pid)", runner.endpoint.paths.run)).await;
    let mut diagnosis = buildkitd::diagnose(&runner.session, &runner.endpoint).await.unwrap();
    for _ in 0..100 {
        if diagnosis.state != DaemonState::Running {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        diagnosis = buildkitd::diagnose(&runner.session, &runner.endpoint).await.unwrap();
    }
    assert_eq!(diagnosis.state, DaemonState::Killed { signal: 9 });
    assert!(diagnosis.log_tail.contains("running server"), "{}", diagnosis.log_tail);
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_daemon_that_cannot_start_says_why() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let mut endpoint = runner.endpoint.clone();
    endpoint.paths.buildkit_root = "/proc/nowhere".to_owned();
    let error = buildkitd::start(&runner.session, &endpoint, &BuildkitConfig::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runner);
    assert!(error.to_string().contains("/proc/nowhere"), "{error}");
    runner.release(&machine).await;
}

#[tokio::test]
async fn the_daemon_takes_odd_registry_settings() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let registry = RegistryConfig {
        host: "registry.example:5000".to_owned(),
        http: true,
        insecure: true,
        mirrors: vec!["mirror.example/a\"b\\\n[x]".to_owned()],
        ca_pem: vec!["-----BEGIN CERTIFICATE-----\n".to_owned()],
    };
    let config = BuildkitConfig { registries: vec![registry], host_network: false };
    buildkitd::start(&runner.session, &runner.endpoint, &config).await.unwrap();
    runner.release(&machine).await;
}
