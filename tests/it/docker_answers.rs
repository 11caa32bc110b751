//! `'docker_local` before a daemon whose answer comes late, never, or with a warning: a proxy stands between it and the real
//! one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lian_build::provider::docker_local::{DockerLocalConfig, DockerLocalProvider};
use lian_build::provider::{ComputeProvider as _, Released};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::docker_lease::{acquire, request};
use crate::support::DockerMachine;

/// Stands before the daemon and passes everything on; the first request to create waits until it is let through.
fn holding_proxy(machine: &DockerMachine) -> (String, Arc<tokio::sync::Notify>, Arc<tokio::sync::Notify>) {
    let path = machine.path().join("d.sock");
    let (came, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let listener = UnixListener::bind(&path).unwrap();
    let (daemon, seen, gate) = (machine.dockerd.socket(), Arc::clone(&came), Arc::clone(&go));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (daemon, seen, gate) = (daemon.clone(), Arc::clone(&seen), Arc::clone(&gate));
            tokio::spawn(async move {
                let mut daemon = UnixStream::connect(daemon).await.unwrap();
                let mut head = vec![0; 64 << 10];
                let read = client.read(&mut head).await.unwrap();
                if String::from_utf8_lossy(&head[..read]).contains("/containers/create") {
                    seen.notify_one();
                    gate.notified().await;
                }
                daemon.write_all(&head[..read]).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
            });
        }
    });
    (format!("unix://{}", path.display()), came, go)
}

/// A release that is dropped, for it took too long, leaves it to the next one to wait for the request under way.
#[tokio::test]
async fn each_release_waits_for_the_request_under_way() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let (host, came, go) = holding_proxy(&machine);
    let provider = DockerLocalProvider::new(DockerLocalConfig { host, ..machine.config.clone() });
    tokio::select! {
        _ = acquire(&provider, &request) => panic!("its request is held back"),
        () = came.notified() => {}
    }
    // As if it had gone out long ago.
    let marker = machine.config.runtime_dir.join("docker").join(request.lease_id.as_str()).join("creating");
    let long_ago = std::time::SystemTime::from(jiff::Timestamp::now()) - std::time::Duration::from_secs(3600);
    std::fs::File::options().write(true).open(marker).unwrap().set_modified(long_ago).unwrap();
    let moment = std::time::Duration::from_millis(500);
    for _ in 0..2 {
        let early = tokio::time::timeout(moment, provider.release(&request.lease_id)).await;
        assert!(early.is_err(), "{early:?} while the request is under way");
    }
    go.notify_one();
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    machine.assert_nothing_of(&request.lease_id);
    machine.assert_empty();
}

/// Stands before the daemon and passes everything on, but cuts the connection before the first answer to `create`.
fn cutting_proxy(machine: &DockerMachine) -> (String, Arc<AtomicBool>) {
    let (path, cut) = (machine.path().join("d.sock"), Arc::new(AtomicBool::new(false)));
    let listener = UnixListener::bind(&path).unwrap();
    let (daemon, has_cut) = (machine.dockerd.socket(), Arc::clone(&cut));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (daemon, has_cut) = (daemon.clone(), Arc::clone(&has_cut));
            tokio::spawn(async move {
                let mut daemon = UnixStream::connect(daemon).await.unwrap();
                let mut head = vec![0; 64 << 10];
                let read = client.read(&mut head).await.unwrap();
                daemon.write_all(&head[..read]).await.unwrap();
                let is_create = String::from_utf8_lossy(&head[..read]).contains("/containers/create");
                if is_create && !has_cut.load(Ordering::SeqCst) {
                    // The daemon answers, so it has done it; nobody hears it.
                    let (mut answers, mut requests) = daemon.split();
                    let mut answer = [0; 1];
                    tokio::select! {
                        _ = tokio::io::copy(&mut client, &mut requests) => {}
                        answered = answers.read(&mut answer) => assert_eq!(answered.unwrap(), 1),
                    }
                    has_cut.store(true, Ordering::SeqCst);
                    return;
                }
                let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
            });
        }
    });
    (format!("unix://{}", path.display()), cut)
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_found_by_its_name() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let (host, cut) = cutting_proxy(&machine);
    let provider = DockerLocalProvider::new(DockerLocalConfig { host, ..machine.config.clone() });
    acquire(&provider, &request).await.unwrap();
    assert!(cut.load(Ordering::SeqCst), "no answer was lost");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    machine.assert_nothing_of(&request.lease_id);
}

/// Stands before the daemon and passes everything on, but each answer to `create` has this one warning.
fn warning_proxy(machine: &DockerMachine, warning: &str) -> String {
    let path = machine.path().join("d.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (daemon, warning) = (machine.dockerd.socket(), warning.to_owned());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (daemon, warning) = (daemon.clone(), warning.clone());
            tokio::spawn(async move {
                let mut daemon = UnixStream::connect(daemon).await.unwrap();
                let mut head = vec![0; 64 << 10];
                let read = client.read(&mut head).await.unwrap();
                daemon.write_all(&head[..read]).await.unwrap();
                if String::from_utf8_lossy(&head[..read]).contains("/containers/create") {
                    let (mut answers, mut requests) = daemon.split();
                    let (mut from_client, mut to_client) = client.split();
                    let answering = async {
                        let answer = with_warning(&mut answers, &warning).await;
                        to_client.write_all(answer.as_bytes()).await.unwrap();
                        tokio::io::copy(&mut answers, &mut to_client).await
                    };
                    let _ = tokio::join!(tokio::io::copy(&mut from_client, &mut requests), answering);
                    return;
                }
                let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
            });
        }
    });
    format!("unix://{}", path.display())
}

/// An answer of the daemon's with this warning in the place of its own.
async fn with_warning(answers: &mut (impl AsyncRead + Unpin), warning: &str) -> String {
    let mut answer = Vec::new();
    loop {
        assert_ne!(answers.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
        let length = head.lines().find(is_length).unwrap().split(':').nth(1).unwrap().trim();
        if body.len() < length.parse::<usize>().unwrap() {
            continue;
        }
        let mut body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["Warnings"] = serde_json::json!([warning]);
        let body = body.to_string();
        let head: Vec<&str> = head.lines().filter(|line| !is_length(line)).collect();
        return format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len());
    }
}

#[tokio::test]
async fn what_the_daemon_warns_of_is_said_and_drives_no_terminal() {
    let (machine, request) = (DockerMachine::new(), request(0.5));
    let host = warning_proxy(&machine, "a limit\n\u{1b}[31mis discarded");
    let provider = DockerLocalProvider::new(DockerLocalConfig { host, ..machine.config.clone() });
    let endpoint = acquire(&provider, &request).await.unwrap();
    assert_eq!(endpoint.warnings, ["Docker warns: a limit\\nis discarded"]);
    provider.release(&request.lease_id).await.unwrap();
    machine.assert_nothing_of(&request.lease_id);
}
