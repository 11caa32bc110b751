//! The main job with the real command on `'proxmox`: a simulated cluster, and a container of the runner's image for a machine.

use std::sync::Arc;

use lian_build::error::ErrorKind;
use lian_build::provider::ComputeProvider;
use lian_build::remote::Session;
use lian_simulators::faults::{Effect, Fault};
use lian_simulators::proxmox::Options;
use tokio_util::sync::CancellationToken;

use crate::support::{ContainerGuests, ProxmoxCluster, Sandbox};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_becomes_an_image_on_a_machine_that_is_gone_afterwards() {
    let cluster = ProxmoxCluster::start(Arc::new(ContainerGuests::new()), Options::default()).await;
    cluster.sim.plant(100, "pve1", &[("name", "web"), ("description", "do not touch")]);
    let foreign = format!("{:?}", cluster.machines());
    // The first id that is tried goes to somebody else, who stays.
    cluster.sim.core.faults.script(Fault::new(Effect::Collide).on("POST", "/**/clone"));
    let variables = cluster.variables(&[]);
    let secret = cluster.sim.token();
    let (built, image) = tokio::task::spawn_blocking(move || {
        let sandbox = Sandbox::new();
        sandbox.dockerfile_on_base("RUN echo built > /proof");
        let dest = sandbox.path().join("image.tar");
        let mut command = sandbox.build_command();
        command.envs(variables.into_iter().filter(|(name, _)| name != "PATH"));
        command.args(["--provider", "proxmox", "-o"]).arg(format!("type=oci,dest={}", dest.display()));
        let built = sandbox.start(&mut command).wait();
        (built, std::fs::metadata(&dest).map(|image| image.len()))
    })
    .await
    .unwrap();
    let envelope = built.assert_code(0).envelope();
    let attempt = &envelope["attempts"][0];
    assert_eq!((&attempt["provider"], &attempt["isolation"]), (&"proxmox".into(), &"vm".into()));
    assert_eq!((&attempt["released"], &attempt["cost"]), (&true.into(), &serde_json::Value::Null));
    assert!(image.unwrap() > 1000);
    let secret = secret.split_once('=').unwrap().1;
    assert!(!built.stderr.contains(secret) && !built.stdout.contains(secret), "the token is shown");
    assert_eq!(cluster.names(), ["somebody-elses", "web"]);
    assert!(
        format!("{:?}", cluster.machines()).contains(foreign.trim_matches(['[', ']'])),
        "what is not ours was touched"
    );
    assert_eq!(cluster.sim.core.bill().running().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_answers_with_another_host_key_is_never_logged_in_to() {
    let guests = Arc::new(ContainerGuests::new());
    let cluster = ProxmoxCluster::start(Arc::clone(&guests) as _, Options::default()).await;
    let (provider, request) = (cluster.provider(), cluster.request());
    guests.lie();
    let endpoint = provider.acquire(&request, &|_: &str| (), &CancellationToken::new()).await.unwrap();
    let error = Session::connect(&endpoint, &cluster.dir.path().join("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runner, "{error}");
    assert!(error.to_string().contains("verification failed"), "{error}");
    // The guest's own word on it: it saw a connection, and no login.
    let logs = guests.logs();
    assert!(!logs.contains("Accepted") && !logs.contains("Postponed"), "{logs}");
    provider.release(&request.lease_id).await.unwrap();
    assert!(cluster.machines().is_empty());
}
