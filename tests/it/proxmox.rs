//! The provider `proxmox` against a simulated cluster: what goes wrong between two requests, and what is never touched.

use lian_build::error::{Error, ErrorKind};
use lian_build::lease::{Endpoint, LeaseRequest, Made};
use lian_build::provider::proxmox::{ProxmoxProvider, Trust};
use lian_build::provider::{AcquireWatch, ComputeProvider, Listed, Liveness, Released};
use lian_simulators::faults::{Effect, Fault};
use lian_simulators::proxmox::Options;
use tokio_util::sync::CancellationToken;

use crate::support::{ProxmoxCluster, wait_until_async};

/// Ends an acquisition as soon as its machine is made: what stands for a guest here never boots.
struct UntilMade {
    cancel: CancellationToken,
    made: std::sync::Mutex<Option<Made>>,
}

#[async_trait::async_trait]
impl AcquireWatch for UntilMade {
    fn waiting(&self, _what: &str) {}

    async fn created(&self, made: &Made) {
        *self.made.lock().unwrap() = Some(made.clone());
        self.cancel.cancel();
    }
}

/// Leases until the machine is made; yields the provider's id of it.
async fn make(provider: &ProxmoxProvider, request: &LeaseRequest) -> Result<Made, Error> {
    let watch = UntilMade { cancel: CancellationToken::new(), made: std::sync::Mutex::default() };
    let ended = provider.acquire(request, &watch, &watch.cancel).await;
    watch.made.into_inner().unwrap().ok_or_else(|| ended.unwrap_err())
}

/// Leases until it boots, which it never does: configured and started.
async fn start(cluster: &ProxmoxCluster, provider: &ProxmoxProvider, request: &LeaseRequest) {
    let cancel = CancellationToken::new();
    let is_on = || cluster.sim.named(request.lease_id.as_str()).is_some_and(|vm| vm.is_on);
    tokio::select! {
        ended = provider.acquire(request, &|_: &str| (), &cancel) => panic!("{ended:?}"),
        () = wait_until_async("the machine to run", is_on) => {}
    }
}

fn vmid(made: &Made) -> u32 {
    made.remote_id.split('/').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_wrong_certificate_is_refused_before_the_token_is_sent() {
    let cluster = ProxmoxCluster::new().await;
    let request = cluster.request();
    let other = lian_simulators::tls::Identity::self_signed(&[cluster.sim.address().ip()]).unwrap();
    let with = |trust: Trust| {
        let config = cluster.config(&[]);
        ProxmoxProvider::new(lian_build::provider::proxmox::ProxmoxConfig { trust, ..config })
    };
    let wrong_pin = cluster.config(&[("PROXMOX_VE_FINGERPRINT", &other.fingerprint)]).trust;
    for (trust, says) in [
        (wrong_pin, "does not have the fingerprint"),
        (Trust::Authorities(other.certificate_pem.clone()), "is not trusted"),
        (Trust::System, "is not trusted"),
    ] {
        let provider = with(trust);
        let error = provider.check(&request).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Provider && error.message().contains(says), "{error:?}");
        make(&provider, &request).await.unwrap_err();
        // The simulator's side of it: not one request came.
        assert!(cluster.sim.core.audit.entries().is_empty());
        provider.release(&request.lease_id).await.unwrap();
    }
    with(Trust::Authorities(cluster.sim.identity.certificate_pem.clone())).check(&request).await.unwrap();
    cluster.provider().check(&request).await.unwrap();
    assert!(!cluster.sim.core.audit.entries().is_empty());
}

#[tokio::test]
async fn a_token_that_is_refused_is_never_shown() {
    let cluster = ProxmoxCluster::new().await;
    let wrong = cluster.config(&[("PROXMOX_VE_API_TOKEN", "build@pve!ci=hidden-secret")]);
    let error = ProxmoxProvider::new(wrong).check(&cluster.request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials, "{error:?}");
    let quoting = Fault::refusal(500, "", "token build@pve!ci={token} is odd").on("GET", "/api2/json/version");
    cluster.sim.core.faults.script(quoting);
    let odd = cluster.provider().check(&cluster.request()).await.unwrap_err();
    let secret = cluster.sim.token().split_once('=').unwrap().1.to_owned();
    for error in [error, odd] {
        let shown = format!("{error:?}");
        assert!(!shown.contains("hidden-secret") && !shown.contains(&secret[..8]), "{shown}");
    }
}

#[tokio::test]
async fn an_id_that_somebody_else_takes_is_left_to_them() {
    let cluster = ProxmoxCluster::new().await;
    cluster.sim.core.faults.script(Fault::new(Effect::Collide).on("POST", "/**/clone").times(2));
    let (provider, request) = (cluster.provider(), cluster.request());
    let made = make(&provider, &request).await.unwrap();
    assert_eq!(cluster.calls("POST", "/clone").len(), 3);
    let others: Vec<_> = cluster.machines().into_iter().filter(|vm| vm.get("name") == Some("somebody-elses")).collect();
    assert_eq!(others.len(), 2);
    assert!(others.iter().all(|vm| vm.vmid != vmid(&made)));
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    let left: Vec<_> = cluster.machines();
    assert_eq!(format!("{left:?}"), format!("{others:?}"), "what is not ours was touched");
    for vm in others {
        for method in ["POST", "PUT", "DELETE"] {
            let path = format!("/qemu/{}", vm.vmid);
            let touched = cluster.sim.core.audit.entries();
            let touched: Vec<_> =
                touched.iter().filter(|entry| entry.method == method && entry.path.contains(&path)).collect();
            assert!(touched.is_empty(), "{touched:#?}");
        }
    }
}

/// As in the races on record elsewhere: the id that we wrote down names somebody else's machine now.
#[tokio::test]
async fn a_machine_under_our_id_that_is_not_ours_is_never_touched() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    let made = make(&provider, &request).await.unwrap();
    let vmid = vmid(&made);
    cluster.sim.uproot(vmid);
    cluster.sim.plant(vmid, "pve1", &[("name", "database"), ("description", "do not touch"), ("cores", "8")]);
    cluster.sim.set_pool(vmid, "builds");
    let before = format!("{:?}", cluster.machines());
    assert!(matches!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Dead(_)));
    provider.renew(&request.lease_id, request.expires_at).await.unwrap_err();
    // Going on where it was: somebody else's machine is neither configured nor started.
    let error = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap_err();
    assert!(error.message().contains("is not the runner of the lease"), "{error}");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    assert_eq!(cluster.provider().release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    assert_eq!(format!("{:?}", cluster.machines()), before);
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_machine() {
    for fault in [Fault::reply_lost(), Fault::dropped_after(), Fault::dropped(), Fault::refusal(596, "", "broken pipe")]
    {
        let cluster = ProxmoxCluster::new().await;
        cluster.sim.core.faults.script(fault.clone().on("POST", "/**/clone"));
        let (provider, request) = (cluster.provider(), cluster.request());
        make(&provider, &request).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(cluster.names(), [request.lease_id.to_string()], "{fault:?}");
        provider.release(&request.lease_id).await.unwrap();
        assert!(cluster.machines().is_empty());
    }
}

#[tokio::test]
async fn what_a_request_without_an_answer_made_is_found_by_the_next_process() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    // The answer never comes, and whoever waits for it is killed.
    cluster.sim.core.faults.script(Fault::held_after().on("POST", "/**/clone"));
    let cancel = CancellationToken::new();
    tokio::select! {
        ended = provider.acquire(&request, &|_: &str| (), &cancel) => panic!("{ended:?}"),
        () = cluster.sim.core.faults.wait_held(1) => {}
    }
    assert_eq!(cluster.machines().len(), 1);
    // A second process, as a reaper is: it knows what is on disk.
    assert_eq!(cluster.provider().release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert!(cluster.machines().is_empty());
    cluster.sim.core.faults.heal();
    provider.release(&request.lease_id).await.unwrap();
    assert!(cluster.traces(&request.lease_id).is_empty());
}

#[tokio::test]
async fn a_release_ends_the_clone_that_it_finds_under_way() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    cluster.sim.core.faults.script(Fault::slow(3600).on("POST", "/**/clone"));
    let cancel = CancellationToken::new();
    tokio::select! {
        ended = provider.acquire(&request, &|_: &str| (), &cancel) => panic!("{ended:?}"),
        () = wait_until_async("the clone to begin", || !cluster.machines().is_empty()) => {}
    }
    provider.release(&request.lease_id).await.unwrap();
    assert!(cluster.traces(&request.lease_id).is_empty());
    assert_eq!(cluster.sim.core.audit.entries().iter().filter(|entry| entry.method == "DELETE").count(), 1);
}

#[tokio::test]
async fn a_clone_that_fails_leaves_nothing_and_says_why() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    cluster.sim.core.faults.script(Fault::action_fails("", "no space left on storage").on("POST", "/**/clone"));
    let error = make(&provider, &request).await.unwrap_err();
    assert!(error.message().contains("no space left on storage"), "{error}");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    assert!(cluster.traces(&request.lease_id).is_empty());
}

#[tokio::test]
async fn a_machine_is_what_was_asked_for_and_starts_once() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, mut request) = (cluster.provider(), cluster.request());
    request.tier.disk_gb = 20;
    // Each step's answer is lost once.
    for path in ["/**/config", "/**/start"] {
        cluster.sim.core.faults.script(Fault::reply_lost().on("POST", path));
    }
    cluster.sim.core.faults.script(Fault::reply_lost().on("PUT", "/**/resize"));
    start(&cluster, &provider, &request).await;
    let vm = cluster.sim.named(request.lease_id.as_str()).unwrap();
    let tags = format!("lian-build;{}", request.lease_id);
    for (key, value) in [
        ("cores", request.tier.cpu.to_string()),
        ("memory", "1024".to_owned()),
        ("tags", tags),
        ("ciuser", "root".to_owned()),
        ("ipconfig0", "ip=dhcp".to_owned()),
        ("protection", "0".to_owned()),
    ] {
        assert_eq!(vm.get(key), Some(value.as_str()), "{key}");
    }
    assert_eq!(vm.pool.as_deref(), Some("builds"));
    assert!(vm.get("scsi0").unwrap().ends_with(&format!("size={}G", request.tier.disk_gb)), "{vm:?}");
    let key = cluster.runtime_dir().join("proxmox").join(request.lease_id.as_str()).join("client_key.pub");
    let key = std::fs::read_to_string(key).unwrap();
    let key = key.split_whitespace().nth(1).unwrap().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert!(vm.get("sshkeys").unwrap().contains(&key), "{vm:?}");
    assert_eq!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert!(cluster.traces(&request.lease_id).is_empty());
}

#[tokio::test]
async fn a_release_is_tried_until_the_machine_is_gone() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    start(&cluster, &provider, &request).await;
    cluster.sim.core.faults.script(Fault::action_fails("", "lvremove failed").on("DELETE", "/**/qemu/*").times(2));
    cluster.sim.core.faults.script(Fault::refusal(500, "", "VM is locked (backup)").on("POST", "/**/stop"));
    cluster.sim.core.faults.script(Fault::dropped_after().on("DELETE", "/**/qemu/*").after(2));
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert!(cluster.traces(&request.lease_id).is_empty());
    assert!(cluster.calls("DELETE", "").len() >= 3);
    // Nothing is destroyed that runs, and each time it was read before whose it is.
    let entries = cluster.sim.core.audit.entries();
    let deletes = entries.iter().enumerate().filter(|(_, entry)| entry.method == "DELETE");
    for (place, delete) in deletes {
        let before = &entries[place - 1];
        assert!(before.method == "GET" && before.path == format!("{}/config", delete.path), "{before:?}");
        assert!(delete.query.contains("purge=1"), "{delete:?}");
    }
}

#[tokio::test]
async fn protection_is_kept_where_somebody_gave_it_and_taken_where_the_template_did() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    // Only cloned: it is protected as its template is.
    make(&provider, &request).await.unwrap();
    assert_eq!(cluster.sim.named(request.lease_id.as_str()).unwrap().get("protection"), Some("1"));
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    let request = cluster.request();
    start(&cluster, &provider, &request).await;
    let vmid = cluster.sim.named(request.lease_id.as_str()).unwrap().vmid;
    cluster.sim.set(vmid, "protection", "1");
    let error = provider.release(&request.lease_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    assert!(error.message().contains("protected"), "{error}");
    cluster.sim.set(vmid, "protection", "");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
}

#[tokio::test]
async fn a_renewal_moves_the_deadline_and_keeps_what_people_wrote() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    let made = make(&provider, &request).await.unwrap();
    let vmid = vmid(&made);
    let description = cluster.sim.named(request.lease_id.as_str()).unwrap().get("description").unwrap().to_owned();
    cluster.sim.set(vmid, "description", &format!("ask ann before\n{description}"));
    let until = request.expires_at + jiff::SignedDuration::from_mins(7);
    // Somebody changes the machine in between.
    let outdated = "detected modified configuration - file changed by other user? Try again.";
    cluster.sim.core.faults.script(Fault::refusal(500, "", outdated).on("PUT", "/**/config"));
    provider.renew(&request.lease_id, until).await.unwrap();
    let labels = cluster.labels(&request.lease_id).unwrap();
    assert_eq!(labels["lian-expires"], until.as_second().to_string());
    let vm = cluster.sim.named(request.lease_id.as_str()).unwrap();
    assert!(vm.get("description").unwrap().starts_with("ask ann before\n"));
    let listed: Vec<Listed> = cluster.provider().list().await.unwrap();
    assert_eq!(listed.len(), 1);
    provider.release(&request.lease_id).await.unwrap();
}

#[tokio::test]
async fn every_privilege_that_is_missing_is_named_before_anything_is_made() {
    let cluster = ProxmoxCluster::new().await;
    let request = cluster.request();
    for (privilege, place) in [
        ("VM.Allocate", "/pool/builds"),
        ("VM.Config.Cloudinit", "/pool/builds"),
        ("VM.GuestAgent.FileRead", "/pool/builds"),
        ("VM.Clone", "/vms/9000"),
        ("Datastore.AllocateSpace", "/storage/local-lvm"),
    ] {
        cluster.sim.set_acl(Options::default().acl.without(privilege));
        let error = cluster.provider().check(&request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials, "{privilege}: {error:?}");
        assert!(error.message().contains(privilege) && error.message().contains(place), "{error}");
    }
    // What it does not need: the node's own facts.
    cluster.sim.set_acl(Options::default().acl.without("Sys.Audit"));
    let checked = cluster.provider().check(&request).await;
    assert_eq!(checked.is_ok(), request.architecture == "amd64", "{checked:?}");
    assert!(cluster.machines().is_empty());
    assert!(cluster.sim.core.audit.entries().iter().all(|entry| entry.method == "GET"));
}

#[tokio::test]
async fn another_architecture_is_refused_before_anything_is_made() {
    let cluster = ProxmoxCluster::new().await;
    let own = cluster.request();
    let other = if own.architecture == "amd64" { "arm64" } else { "amd64" };
    let request = LeaseRequest { architecture: other.to_owned(), ..cluster.request() };
    let error = make(&cluster.provider(), &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCapacity);
    assert!(error.message().contains(other) && error.message().contains(&own.architecture), "{error}");
    // A template of that architecture is one, emulated as it may be.
    let arch = if other == "arm64" { "aarch64" } else { "x86_64" };
    cluster.sim.set(cluster.sim.template(), "arch", arch);
    cluster.provider().check(&request).await.unwrap();
    assert!(cluster.calls("POST", "").is_empty());
}

#[tokio::test]
async fn what_is_no_template_is_not_cloned() {
    let cluster = ProxmoxCluster::new().await;
    let request = cluster.request();
    let check = async |template: &str| {
        let provider = ProxmoxProvider::new(cluster.config(&[("PROXMOX_VE_TEMPLATE", template)]));
        provider.check(&request).await
    };
    check("debian-12-runner").await.unwrap();
    cluster.sim.plant(101, "pve1", &[("name", "web")]);
    cluster.sim.set_pool(101, "builds");
    for (template, says) in [("101", "ordinary machine"), ("9001", "there is none"), ("web", "there is none")] {
        let error = check(template).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Usage && error.message().contains(says), "{error:?}");
    }
    cluster.sim.set(cluster.sim.template(), "ide2", "");
    assert!(check("9000").await.unwrap_err().message().contains("cloud-init drive"));
}

#[tokio::test]
async fn a_release_that_knows_a_reason_phrase_only_is_understood() {
    let options = Options { old_errors: true, ..Options::default() };
    let backend = std::sync::Arc::new(lian_simulators::backend::NullBackend::default());
    let cluster = ProxmoxCluster::start(backend, options).await;
    cluster.sim.core.faults.script(Fault::new(Effect::Collide).on("POST", "/**/clone"));
    let (provider, request) = (cluster.provider(), cluster.request());
    start(&cluster, &provider, &request).await;
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert_eq!(cluster.names(), ["somebody-elses"]);
}

#[tokio::test]
async fn another_tokens_silence_proves_nothing() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    make(&provider, &request).await.unwrap();
    let other = cluster.config(&[("PROXMOX_VE_API_TOKEN", "build@pve!other=x")]);
    let error = ProxmoxProvider::new(other).release(&request.lease_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed, "{error:?}");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
}

/// What reads as an endpoint of a machine that never was is none.
#[tokio::test]
async fn a_guest_without_an_agent_is_given_up_at_once() {
    let cluster = ProxmoxCluster::new().await;
    let (provider, request) = (cluster.provider(), cluster.request());
    let failing = Fault::refusal(500, "", "No QEMU guest agent configured").on("GET", "/**/network-get-interfaces");
    cluster.sim.core.faults.script(failing.always());
    let ended: Result<Endpoint, Error> = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await;
    assert!(ended.unwrap_err().message().contains("No QEMU guest agent configured"));
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    assert!(cluster.traces(&request.lease_id).is_empty());
}
