//! Secrets on the runner: only in a private tmpfs, never on a disk, gone with the lease.

use std::path::Path;

use lian_build::error::ErrorKind;
use lian_build::solve::secret_store::{self, SecretFile};

use crate::support::{LocalMachine, Runner};

fn secret(name: &str, bytes: &[u8]) -> SecretFile {
    (name.to_owned(), bytes.to_vec().into())
}

#[tokio::test]
async fn secrets_are_in_a_tmpfs_that_only_the_runner_sees() {
    let machine = LocalMachine::new();
    let runner = Runner::start(&machine, 1.0).await;
    let files = [secret("token", b"s3cret-\0\xff-value"), secret("docker/config.json", b"{}")];
    secret_store::put(&runner.session, &runner.endpoint, &files).await.unwrap();
    let path = secret_store::path(&runner.endpoint, "token").unwrap();
    let output = runner.session.run(&["cat", &path], None).await.unwrap();
    assert_eq!(output.stdout, b"s3cret-\0\xff-value");
    let modes = runner
        .shell(&format!("cd {} && stat -c %a:%n . docker token docker/config.json", runner.endpoint.paths.secrets))
        .await;
    assert_eq!(modes, "700:.\n700:docker\n600:token\n600:docker/config.json");
    // The mount is in the runner's own namespace: from outside, the directory below it is empty.
    assert!(Path::new(&runner.endpoint.paths.secrets).read_dir().unwrap().next().is_none());

    runner.add_base();
    let dockerfile = "FROM scratch\nADD base.tar /\nRUN --mount=type=secret,id=token wc -c </run/secrets/token\n";
    let (code, said) = runner.build(dockerfile, &["--secret", &format!("id=token,src={path}")]).await;
    assert!(code == 0 && said.contains(" 15"), "{said}");
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_disk_is_refused_and_nothing_is_written() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    let mut endpoint = runner.endpoint.clone();
    endpoint.paths.secrets.clone_from(&endpoint.paths.output);
    let error = secret_store::put(&runner.session, &endpoint, &[secret("token", b"x")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("not a tmpfs"), "{error}");
    assert!(Path::new(&endpoint.paths.output).read_dir().unwrap().next().is_none());
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_tmpfs_that_others_may_enter_is_refused() {
    let machine = LocalMachine::new();
    let runner = Runner::lease(&machine, 1.0).await;
    runner.shell(&format!("chmod 755 {}", runner.endpoint.paths.secrets)).await;
    let error = secret_store::put(&runner.session, &runner.endpoint, &[secret("token", b"x")]).await.unwrap_err();
    assert!(error.to_string().contains("not private"), "{error}");
    runner.release(&machine).await;
}
