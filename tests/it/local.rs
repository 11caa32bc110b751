//! The `'local` provider: a real runner on this machine, from the lease to the verified release.

use std::path::Path;

use lian_build::lease::Endpoint;
use lian_build::provider::ComputeProvider as _;
use lian_build::remote::Session;
use lian_build::solve::buildkitd::{self, BuildkitConfig};
use tokio_util::sync::CancellationToken;

use crate::support::LocalMachine;

/// Builds what stands in the context of the runner and yields buildctl's standard error.
async fn build(session: &Session, endpoint: &Endpoint, dockerfile: &str) -> (i32, String) {
    std::fs::write(Path::new(&endpoint.paths.context).join("Dockerfile"), dockerfile).unwrap();
    let context = format!("context={}", endpoint.paths.context);
    let source = format!("dockerfile={}", endpoint.paths.context);
    let address = buildkitd::address(endpoint);
    let output = session
        .run(
            &["buildctl", "--addr", &address, "build", "--progress", "plain", "--frontend", "dockerfile.v0"]
                .into_iter()
                .chain(["--local", &context, "--local", &source])
                .collect::<Vec<_>>(),
            None,
        )
        .await
        .unwrap();
    (output.code, output.stderr_text())
}

#[tokio::test]
async fn a_runner_builds_and_leaves_nothing() {
    let machine = LocalMachine::new();
    let provider = machine.provider();
    let request = machine.request(1.0);
    let endpoint = provider.acquire(&request, &|_| (), &CancellationToken::new()).await.unwrap();
    let session = Session::connect(&endpoint, &machine.path().join("s")).await.unwrap();
    let hello = session.run(&["cat"], Some(b"hello")).await.unwrap();
    assert_eq!(hello.stdout, b"hello");
    let started = buildkitd::start(&session, &endpoint, &BuildkitConfig::default()).await.unwrap();
    assert_eq!(started.notes, Vec::<String>::new());
    let (code, said) = build(&session, &endpoint, "FROM scratch\nCOPY Dockerfile /\n").await;
    assert_eq!(code, 0, "{said}");
    session.close().await.unwrap();
    provider.release(&request.lease_id).await.unwrap();
    machine.leftovers(&request.lease_id).assert_none();
}
