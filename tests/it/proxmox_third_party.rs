//! The simulated Proxmox VE against a client that is not ours, so that the provider is not tested against our own beliefs.

use lian_build::error::ErrorKind;
use lian_build::process::Cmd;

use crate::support::{ProxmoxCluster, variable};

#[tokio::test]
async fn proxmoxer_goes_through_a_machines_whole_life() {
    let cluster = ProxmoxCluster::new().await;
    let certificate = cluster.dir.path().join("certificate.pem");
    std::fs::write(&certificate, &cluster.sim.identity.certificate_pem).unwrap();
    let (id, secret) =
        cluster.sim.token().split_once('=').map(|(id, secret)| (id.to_owned(), secret.to_owned())).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/proxmoxer_life.py");
    let output = Cmd::new(variable("LIAN_TEST_PROXMOXER_PYTHON"), ErrorKind::Provider)
        .arg(script)
        .arg(cluster.sim.address().port().to_string())
        .arg(&certificate)
        .args([id, secret])
        .output()
        .await
        .unwrap();
    assert!(output.success() && output.stdout_text() == "ok", "{}{}", output.stdout_text(), output.stderr_text());
    assert!(cluster.machines().is_empty());
    assert_eq!(cluster.sim.core.bill().running().count(), 0);
}

/// What a client must not do: the real server takes no chunks.
#[tokio::test]
async fn chunks_are_not_taken() {
    let cluster = ProxmoxCluster::new().await;
    let pem = reqwest::Certificate::from_pem(cluster.sim.identity.certificate_pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([pem]).build().unwrap();
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("newid=700"), Ok("&name=x")]);
    let url = format!("{}/api2/json/nodes/pve1/qemu/9000/clone", cluster.sim.origin());
    let request = client
        .post(url)
        .header("Authorization", format!("PVEAPIToken={}", cluster.sim.token()))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 501);
    assert!(cluster.machines().is_empty());
}
