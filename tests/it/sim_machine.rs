//! A server of the simulator is a real machine: its own cloud-init applies the user data, SSH answers on port 22 of an address
//! of its own with the host key that the user data brought, and a DELETE leaves nothing of it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lian_simulators::backend::ContainerBackend;
use lian_simulators::hcloud::{Hcloud, Options};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Dockerd, install_tls, variable};

/// A new key pair: its private and its public half.
fn key_pair(dir: &TempDir, name: &str) -> (String, String) {
    let file = dir.path().join(name);
    #[expect(clippy::disallowed_methods, reason = "tests make keys as a user would")]
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&file).status();
    assert!(made.unwrap().success());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    (read(&file), read(&file.with_extension("pub")).trim().to_owned())
}

/// Runs a line on the server, by a host key that must be the known one.
fn ssh(dir: &TempDir, address: Ipv4Addr, line: &str) -> (bool, String) {
    let file = |name: &str| dir.path().join(name).display().to_string();
    #[expect(clippy::disallowed_methods, reason = "tests log in as a user would")]
    let mut command = Command::new("ssh");
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "ConnectTimeout=5",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        &format!("UserKnownHostsFile={}", file("known_hosts")),
    ] {
        command.args(["-o", option]);
    }
    let output =
        command.args(["-F", "none", "-i", &file("client"), &format!("root@{address}"), line]).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn sim_docker_a_server_is_a_machine_that_applies_its_user_data() {
    install_tls();
    let dockerd = Dockerd::of_the_tests();
    let tar = variable("LIAN_TEST_MACHINE_IMAGE_TAR");
    let backend = Arc::new(ContainerBackend::open(dockerd.host(), Path::new(&tar)).await.unwrap());
    let sim = Hcloud::start(Options { backend: backend.clone(), ..Options::default() }).await.unwrap();

    let dir = TempDir::new().unwrap();
    let (host_private, host_public) = key_pair(&dir, "host");
    let (_, client_public) = key_pair(&dir, "client");
    let user_data = json!({
        "ssh_deletekeys": true,
        "ssh_keys": { "ed25519_private": host_private, "ed25519_public": host_public },
        "ssh_pwauth": false,
        "disable_root": false,
        "ssh_authorized_keys": [client_public],
        "bootcmd": [["usermod", "-p", "*", "root"]],
        "write_files": [{ "path": "/etc/made-by-cloud-init", "permissions": "0640", "content": "hello\n" }],
        "runcmd": [["sh", "-c", "hostname >/etc/made-by-runcmd"]],
    });
    let labels = json!({ "lian-managed": "1" });
    let user_data = format!("#cloud-config\n{user_data}\n");
    let body = json!({ "name": "lb-machine", "server_type": "cax11", "image": "debian-12", "location": "fsn1",
        "labels": labels, "user_data": user_data });
    let api = |method: reqwest::Method, path: &str| {
        Client::new().request(method, format!("{}{path}", sim.url())).bearer_auth(sim.token())
    };
    let created: Value = api(reqwest::Method::POST, "/servers").json(&body).send().await.unwrap().json().await.unwrap();
    let address: Ipv4Addr = created["server"]["public_net"]["ipv4"]["ip"].as_str().unwrap().parse().unwrap();
    assert!(address.is_loopback() && address != Ipv4Addr::LOCALHOST, "{address}");
    std::fs::write(dir.path().join("known_hosts"), format!("{address} {host_public}\n")).unwrap();

    let mut last = String::new();
    let answered = tokio::time::timeout(Duration::from_secs(240), async {
        loop {
            let (succeeded, said) = ssh(&dir, address, "cat /etc/made-by-cloud-init /etc/made-by-runcmd");
            last = said;
            if succeeded {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    assert!(answered.await.is_ok(), "it never answered: {last}");
    assert_eq!(last, "hello\nlb-machine\n");
    let id = created["server"]["id"].to_string();
    assert_eq!(dockerd.inspect(&backend.container(&id))["HostConfig"]["Memory"], 4_u64 << 30);

    // Switched off from inside, as its dead man's switch does: the API tells, and it is paid for.
    let _ = ssh(&dir, address, "kill -TERM 1");
    dockerd.docker(&["wait", &backend.container(&id)]);
    let shown: Value = api(reqwest::Method::GET, &format!("/servers/{id}")).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["server"]["status"], "off");
    assert_eq!(sim.bill().running().count(), 2, "the server and its address");

    assert!(api(reqwest::Method::DELETE, &format!("/servers/{id}")).send().await.unwrap().status().is_success());
    assert!(backend.containers().await.unwrap().is_empty());
    assert!(sim.servers().is_empty());
}
