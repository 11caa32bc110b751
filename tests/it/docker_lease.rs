//! `'docker_local` against a real daemon, beyond what every provider must do: what is in the container, whose it is, and
//! what becomes of a request that nobody hears the answer of.

use jiff::{SignedDuration, Timestamp};
use lian_build::error::ErrorKind;
use lian_build::ids::LeaseId;
use lian_build::lease::{CgroupVersion, Isolation, LeaseRequest, MemoryLimit, OwnerId};
use lian_build::provider::docker_local::{DockerLocalConfig, DockerLocalProvider};
use lian_build::provider::{ComputeProvider as _, Released};
use lian_build::remote::Session;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::{self, DockerMachine, tier};

const MB: u64 = 1 << 20;

pub(crate) fn request(memory_gb: f64) -> LeaseRequest {
    support::request("test", memory_gb, Timestamp::now())
}

pub(crate) async fn acquire(
    provider: &DockerLocalProvider,
    request: &LeaseRequest,
) -> lian_build::error::Result<lian_build::lease::Endpoint> {
    provider.acquire(request, &|_: &str| (), &CancellationToken::new()).await
}

fn inspect(machine: &DockerMachine, lease: &LeaseId) -> Value {
    machine.dockerd.inspect(lease.as_str())
}

#[tokio::test]
async fn the_container_has_the_tiers_limits_and_named_capabilities() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let provider = machine.provider();
    let endpoint = acquire(&provider, &request).await.unwrap();
    assert_eq!(endpoint.isolation, Isolation::Container);
    assert!(endpoint.notes.iter().any(|note| note.contains("SYS_ADMIN")), "{:?}", endpoint.notes);
    // The image is the one that this version makes; of its own the daemon may warn.
    let warnings: Vec<&String> = endpoint.warnings.iter().filter(|one| !one.starts_with("Docker warns: ")).collect();
    assert_eq!(warnings, [""; 0]);

    let seen = inspect(&machine, &request.lease_id);
    let host = &seen["HostConfig"];
    assert_eq!((host["Memory"].as_u64(), host["MemorySwap"].as_u64()), (Some(512 * MB), Some(512 * MB)));
    assert_eq!(host["NanoCpus"], 1_000_000_000);
    assert_eq!((&host["Privileged"], &host["AutoRemove"], &host["Init"]), (&false.into(), &false.into(), &true.into()));
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    let added = host["CapAdd"].to_string();
    assert!(added.contains("SYS_ADMIN") && !added.contains("ALL") && !added.contains("SYS_PTRACE"), "{added}");
    assert!(host["Binds"].is_null(), "{}", host["Binds"]);
    assert_eq!(host["PortBindings"]["22/tcp"][0]["HostIp"], "127.0.0.1");
    assert_eq!(seen["Config"]["Labels"]["lian-managed"], "1");

    // What the runner itself sees.
    let session = Session::connect(&endpoint, &endpoint.session_dir).await.unwrap();
    let shell = async |script: &str| {
        let output = session.run(&["sh", "-c", script], None).await.unwrap();
        assert!(output.success(), "`{script}`: {}", output.stderr_text());
        output.stdout_text().trim().to_owned()
    };
    let MemoryLimit::Cgroup { version, parent, bytes } = &endpoint.memory else { panic!("{:?}", endpoint.memory) };
    let file = match version {
        CgroupVersion::V1 => format!("/sys/fs/cgroup/memory{parent}/memory.limit_in_bytes"),
        CgroupVersion::V2 => format!("/sys/fs/cgroup{parent}/memory.max"),
    };
    assert_eq!(shell(&format!("cat {file}")).await, bytes.to_string());
    assert!(*bytes < 512 * MB && parent.contains(request.lease_id.as_str()), "{parent}: {bytes}");
    let secrets =
        shell("awk '$2 == \"/run/lian-secrets\" { print $3, $4 }' /proc/mounts; stat -c %a /run/lian-secrets").await;
    for part in ["tmpfs ", "noexec", "nosuid", "nodev", "\n700"] {
        assert!(secrets.contains(part), "`{part}` is missing: {secrets}");
    }
    session.close().await.unwrap();
    provider.release(&request.lease_id).await.unwrap();
    machine.assert_nothing_of(&request.lease_id);
    machine.assert_empty();
}

#[tokio::test]
async fn neither_key_stands_where_it_can_be_read() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let provider = machine.provider();
    let endpoint = acquire(&provider, &request).await.unwrap();
    let said = inspect(&machine, &request.lease_id).to_string();
    assert!(!said.contains("PRIVATE KEY") && !said.contains(endpoint.host_key.split(' ').nth(1).unwrap()), "{said}");
    let files = std::fs::read_dir(endpoint.identity_file.parent().unwrap()).unwrap().flatten();
    for entry in files {
        use std::os::unix::fs::PermissionsExt as _;
        let name = entry.file_name();
        assert_ne!(name, "host_key", "the host's private key is the container's alone");
        if name == "client_key" {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    provider.release(&request.lease_id).await.unwrap();
    machine.assert_nothing_of(&request.lease_id);
}

/// Another home: what CI throws away between two jobs, or another machine with the same daemon.
#[tokio::test]
async fn a_runner_of_another_home_is_adopted_with_keys_of_its_own() {
    let (one, other, request) = (DockerMachine::new(), DockerMachine::new(), request(0.5));
    let (first, second) = (one.provider(), other.provider());
    acquire(&first, &request).await.unwrap();
    let before = inspect(&one, &request.lease_id)["Id"].clone();
    let endpoint = acquire(&second, &request).await.unwrap();
    assert_eq!(inspect(&one, &request.lease_id)["Id"], before, "it is the same container");
    let session = Session::connect(&endpoint, &endpoint.session_dir).await.unwrap();
    assert!(session.run(&["true"], None).await.unwrap().success());
    session.close().await.unwrap();
    assert_eq!(second.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert_eq!(first.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    one.assert_nothing_of(&request.lease_id);
    other.assert_nothing_of(&request.lease_id);
}

#[tokio::test]
async fn a_container_of_another_owner_under_the_same_name_is_neither_adopted_nor_touched() {
    let machine = DockerMachine::new();
    let (theirs, provider) = (request(0.5), machine.provider());
    let mut labels: Vec<String> = Vec::new();
    for (key, value) in theirs.labels().to_map() {
        labels.extend(["--label".to_owned(), format!("{key}={value}")]);
    }
    let mut args = vec!["create", "--name", theirs.lease_id.as_str()];
    args.extend(labels.iter().map(String::as_str));
    args.extend([machine.config.image.as_str(), "true"]);
    machine.dockerd.docker(&args);
    let before = inspect(&machine, &theirs.lease_id);

    let mine = LeaseRequest { owner: OwnerId::derive("me"), ..theirs.clone() };
    let error = acquire(&provider, &mine).await.unwrap_err();
    assert!(error.to_string().contains("owner"), "{error}");
    assert_eq!(inspect(&machine, &theirs.lease_id), before);
    machine.dockerd.docker(&["rm", theirs.lease_id.as_str()]);
    assert_eq!(provider.release(&theirs.lease_id).await.unwrap(), Released::AlreadyGone);
    machine.assert_nothing_of(&theirs.lease_id);
}

#[tokio::test]
async fn a_container_that_ends_is_a_fault_at_once_with_its_last_words() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let image = machine.dockerd.image_that_runs(&["/bin/sh", "-c", "echo the-last-words; exit 3"]);
    let config = DockerLocalConfig { image: image.name.clone(), ..machine.config.clone() };
    let provider = DockerLocalProvider::new(config);
    let error = acquire(&provider, &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
    let said = error.to_string();
    assert!(said.contains("ended with exit code 3") && said.contains("the-last-words"), "{said}");
    provider.release(&request.lease_id).await.unwrap();
    machine.assert_nothing_of(&request.lease_id);
}

#[tokio::test]
async fn what_cannot_be_leased_is_said_before_anything_is_made() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let missing = DockerLocalConfig { image: "lian-test-missing:1".to_owned(), ..machine.config.clone() };
    let default = DockerLocalConfig { host: "unix:///nowhere/docker.sock".to_owned(), ..machine.config.clone() };
    let remote = DockerLocalConfig { host: "tcp://192.0.2.7:2375".to_owned(), ..machine.config.clone() };
    for (config, kind, said) in [
        (missing, ErrorKind::NoCapacity, "no runner image `lian-test-missing:1`"),
        (default, ErrorKind::NoCapacity, "`unix:///nowhere/docker.sock` cannot be reached"),
        (remote, ErrorKind::Usage, "it is another machine"),
    ] {
        let provider = DockerLocalProvider::new(config);
        for error in [provider.check(&request).await.unwrap_err(), acquire(&provider, &request).await.unwrap_err()] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(said), "{error}");
            assert!(!error.hints().is_empty(), "{error:?}");
        }
        // Nothing was asked for, so nothing need be confirmed.
        assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    }
    let huge = LeaseRequest { tier: tier(4096.0), ..request.clone() };
    assert_eq!(acquire(&machine.provider(), &huge).await.unwrap_err().kind(), ErrorKind::NoCapacity);
    machine.assert_nothing_of(&request.lease_id);
    machine.assert_empty();
}

#[tokio::test]
async fn containers_share_one_memory_budget() {
    let mut machine = DockerMachine::new();
    machine.config.memory_budget_bytes = Some(768 * MB);
    machine.config.queue_timeout = std::time::Duration::from_millis(300);
    let (one, two, provider) = (request(0.5), request(0.5), machine.provider());
    acquire(&provider, &one).await.unwrap();
    let error = acquire(&provider, &two).await.unwrap_err();
    assert!(error.to_string().contains("0.5 of 0.8 GB are leased by test"), "{error}");
    provider.release(&two.lease_id).await.unwrap();
    provider.release(&one.lease_id).await.unwrap();
    acquire(&provider, &two).await.unwrap();
    provider.release(&two.lease_id).await.unwrap();
    machine.assert_nothing_of(&two.lease_id);
    machine.assert_empty();
}

/// The process that leased it is gone, as far as anybody can tell: the memory is the container's for as long as it runs.
#[tokio::test]
async fn a_container_that_nobody_holds_counts_for_as_long_as_it_runs() {
    let mut machine = DockerMachine::new();
    machine.config.memory_budget_bytes = Some(768 * MB);
    machine.config.queue_timeout = std::time::Duration::from_millis(300);
    let (one, two) = (request(0.5), request(0.5));
    acquire(&machine.provider(), &one).await.unwrap();
    let provider = machine.provider();
    let error = acquire(&provider, &two).await.unwrap_err();
    assert!(error.to_string().contains("0.5 of 0.8 GB are leased by test"), "{error}");
    machine.dockerd.docker(&["kill", one.lease_id.as_str()]);
    acquire(&provider, &two).await.unwrap();
    assert_eq!(machine.provider().release(&one.lease_id).await.unwrap(), Released::Destroyed);
    provider.release(&two.lease_id).await.unwrap();
    machine.assert_nothing_of(&one.lease_id);
    machine.assert_nothing_of(&two.lease_id);
    machine.assert_empty();
}

/// It waited for memory, and its soft deadline passed meanwhile.
#[tokio::test]
async fn a_lease_that_waited_long_is_not_over_before_it_stands() {
    let (machine, new) = (DockerMachine::new(), request(0.5));
    let hour_ago = new.created_at - SignedDuration::from_hours(1);
    let request = LeaseRequest { created_at: hour_ago, expires_at: hour_ago + SignedDuration::from_mins(20), ..new };
    let provider = machine.provider();
    acquire(&provider, &request).await.unwrap();
    let listed = provider.list().await.unwrap().into_iter().find(|one| one.name == request.lease_id.as_str()).unwrap();
    assert!(listed.renewed_until.unwrap() > Timestamp::now() + SignedDuration::from_mins(19), "{listed:?}");
    provider.release(&request.lease_id).await.unwrap();
    machine.assert_nothing_of(&request.lease_id);
}

/// What the machine keeps of a lease goes with a sweep when its container went without us.
#[tokio::test]
async fn keys_of_a_container_that_somebody_removed_are_swept() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let provider = machine.provider();
    acquire(&provider, &request).await.unwrap();
    machine.dockerd.docker(&["rm", "--force", "--volumes", request.lease_id.as_str()]);
    // As if its process had died.
    drop(provider);
    assert!(!machine.traces(&request.lease_id).is_empty());
    machine.provider().tidy().await.unwrap();
    machine.assert_nothing_of(&request.lease_id);
    machine.assert_empty();
}

/// Somebody's `docker rm`, or a daemon that was killed in the middle, leaves the volume.
#[tokio::test]
async fn a_volume_whose_container_is_gone_is_released_and_swept() {
    let (machine, released, swept) = (DockerMachine::new(), request(0.5), request(0.5));
    for request in [&released, &swept] {
        acquire(&machine.provider(), request).await.unwrap();
        machine.dockerd.docker(&["rm", "--force", request.lease_id.as_str()]);
        assert!(machine.traces(&request.lease_id).iter().any(|trace| trace.starts_with("volume")));
    }
    assert_eq!(machine.provider().release(&released.lease_id).await.unwrap(), Released::Destroyed);
    machine.assert_nothing_of(&released.lease_id);
    machine.provider().tidy().await.unwrap();
    machine.assert_nothing_of(&swept.lease_id);
    machine.assert_empty();

    // Leased by a machine that is gone: the labels alone say that it is over.
    let over = LeaseRequest { hard_deadline: Timestamp::now() - SignedDuration::from_mins(1), ..request(0.5) };
    let not_over = request(0.5);
    for request in [&over, &not_over] {
        let mut args = vec!["volume".to_owned(), "create".to_owned()];
        args.extend(
            request
                .labels()
                .to_map()
                .into_iter()
                .flat_map(|(key, value)| ["--label".to_owned(), format!("{key}={value}")]),
        );
        machine.dockerd.docker(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    machine.provider().tidy().await.unwrap();
    machine.assert_nothing_of(&over.lease_id);
    assert_eq!(machine.traces(&not_over.lease_id).len(), 1);
    assert_eq!(machine.provider().release(&not_over.lease_id).await.unwrap(), Released::Destroyed);
    machine.assert_nothing_of(&not_over.lease_id);
}

/// Another daemon at the same address does not have the container, which proves nothing.
#[tokio::test]
async fn a_lease_of_another_daemon_is_not_called_gone() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    acquire(&machine.provider(), &request).await.unwrap();
    machine.dockerd.docker(&["rm", "--force", "--volumes", request.lease_id.as_str()]);
    let daemon = machine.config.runtime_dir.join("docker").join(request.lease_id.as_str()).join("backend");
    let id = std::fs::read(&daemon).unwrap();
    std::fs::write(&daemon, "another").unwrap();
    let error = machine.provider().release(&request.lease_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    assert!(error.message().contains("another Docker daemon"), "{error}");
    assert_eq!(std::fs::read(&daemon).unwrap(), b"another", "its keys are still needed");
    std::fs::write(&daemon, id).unwrap();
    assert_eq!(machine.provider().release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    machine.assert_nothing_of(&request.lease_id);
}

/// Dropped while the request is under way: the container may come to exist after the first look.
#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_leaves_nothing() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let provider = machine.provider();
    let sent = tokio::sync::Notify::new();
    let watch = |what: &str| {
        if what.contains("make the runner's container") {
            sent.notify_one();
        }
    };
    {
        let never = CancellationToken::new();
        let acquiring = provider.acquire(&request, &watch, &never);
        tokio::pin!(acquiring);
        // Until it has said that the request goes out, and one step further: then it has gone out.
        tokio::select! {
            biased;
            _ = &mut acquiring => panic!("it cannot be done yet"),
            () = sent.notified() => {}
        }
        assert!(futures_util::poll!(&mut acquiring).is_pending());
    }
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    machine.assert_nothing_of(&request.lease_id);
    machine.assert_empty();
}
