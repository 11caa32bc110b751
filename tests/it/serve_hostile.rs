//! `serve`: requests that no client sends. Whatever comes, there is an answer or an end, in bounds, and the pool goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::memory_pool::{PoolServer, body, everything, new_lease};
use crate::support::memory_provider::PUBLIC_KEY;

/// How long an answer may take: only a test that fails takes so long.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends bytes as they are and yields all that comes back until the other side closes, or `stop` has come.
fn raw(address: &str, parts: &[&[u8]], stop: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    for part in parts {
        // The other side may have had enough.
        if stream.write_all(part).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains(stop) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer in time to {:?}", parts.first());
                break;
            }
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(token: &str, length: &str) -> Vec<u8> {
    format!(
        "POST /api/v1/vm-pool HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nidempotency-key: {}\r\n{length}\r\n\r\n",
        new_lease()
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bodies_are_refused_and_the_pool_goes_on() {
    let mut pool = PoolServer::new();
    let token = pool.token("ci", everything());
    pool.start().await.unwrap();
    let client = pool.client(&token);
    let address = client.address();
    let deep = format!("{{\"labels\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let flood = vec![b'x'; 200_000];
    let secret = b"{\"ssh_public_key\":\"-----BEGIN OPENSSH PRIVATE KEY----- hidden-half\"}".to_vec();
    let blocking = tokio::task::spawn_blocking({
        let (address, token) = (address.clone(), token.clone());
        move || {
            let sized =
                |body: &[u8]| raw(&address, &[&head(&token, &format!("content-length: {}", body.len())), body], "}");
            // Said to be large: refused before it is sent. Larger than it says it can be: refused when it is.
            let announced = raw(&address, &[&head(&token, "content-length: 99999999999")], "}");
            assert!(announced.starts_with("HTTP/1.1 413 ") && announced.contains("\"invalid\""), "{announced}");
            let mut chunked = b"30d40\r\n".to_vec();
            chunked.extend(&flood);
            let endless = raw(&address, &[&head(&token, "transfer-encoding: chunked"), &chunked, &chunked], "}");
            assert!(endless.starts_with("HTTP/1.1 413 "), "{endless}");
            for bad in [
                &b"{\"workspace\":\"\xff\xfe\"}"[..],
                deep.as_bytes(),
                b"",
                b"null",
                b"[]",
                b"{\"workspace\":\"shop\",\"workspace\":\"bank\"}",
                b"{\"cpu\":1e400}",
                b"{\"cpu\":-1}",
                b"{\"ttl_s\":18446744073709551616}",
                &secret,
            ] {
                let answer = sized(bad);
                assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"invalid\""), "{answer}");
                assert!(!answer.contains("hidden-half"), "{answer}");
            }
            for bad in [
                "GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
                format!(
                    "GET /api/v1/vm-pool/../../etc/passwd HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
                ),
                format!("GET /api/v1/vm-pool/%0a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"),
            ] {
                let answer = raw(&address, &[bad.as_bytes()], "}");
                assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
            }
            let many = format!("GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(200));
            assert!(raw(&address, &[many.as_bytes()], "\r\n\r\n").starts_with("HTTP/1.1 431 "));
            let large = format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
            let answer = raw(&address, &[large.as_bytes()], "\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
            for (name, values) in [
                ("authorization", vec![format!("Basic {token}")]),
                ("authorization", vec![token.clone()]),
                ("authorization", vec![format!("Bearer {token}x")]),
                ("authorization", vec![format!("Bearer {token}"), format!("Bearer {token}")]),
                ("cookie", vec![token.clone()]),
            ] {
                let lines: String = values.iter().map(|value| format!("{name}: {value}\r\n")).collect();
                let request = format!("GET /api/v1/vm-pool HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
                let answer = raw(&address, &[request.as_bytes()], "}");
                assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer"), "{answer}");
            }
        }
    });
    blocking.await.unwrap();
    let path = "/api/v1/vm-pool";
    for key in [None, Some(""), Some("a b"), Some(&*"x".repeat(129))] {
        let (status, refused) = client.send("POST", path, key, Some(body(json!({})))).await;
        assert_eq!((status, &refused["code"]), (400, &json!("invalid")), "{key:?} {refused}");
    }
    for keys in [format!("{PUBLIC_KEY}\r\nssh-rsa x"), format!("no-pty {PUBLIC_KEY}"), "x".repeat(5000)] {
        let (status, _) = client.create(&new_lease(), json!({ "ssh_public_key": keys })).await;
        assert_eq!(status, 400);
    }
    let labels: serde_json::Map<_, _> = (0..40).map(|n| (format!("l{n}"), json!("v"))).collect();
    assert_eq!(client.create(&new_lease(), json!({ "labels": labels })).await.0, 400);
    assert!(pool.machines.made().is_empty(), "nothing was leased for any of it");
    let lease = new_lease();
    assert_eq!(client.create(&lease, json!({})).await.0, 201);
    client.wait_for(&lease, "ready").await;
    let (status, text) = client.text("/metrics").await;
    assert!(status == 200 && text.contains("lian_pool_leases{provider=\"memory\",stage=\"ready\"} 1"), "{text}");
    assert!(!text.contains("shop") && !text.contains(&lease), "no names in numbers: {text}");
    let (_, document) = client.text("/openapi.json").await;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    pool.stop().await;
}
