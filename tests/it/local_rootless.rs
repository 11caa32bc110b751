//! The `'local` provider without root: the same runner inside of `rootlesskit`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use lian_build::error::ErrorKind;
use lian_build::lease::MemoryLimit;
use lian_build::process::Cmd;
use lian_build::provider::ComputeProvider as _;
use lian_build::solve::secret_store;
use tokio_util::sync::CancellationToken;

use crate::support::{LocalMachine, Runner, environment, variable};

/// Tells the ignored tests where to work; set by those that run them as an ordinary user.
const DIR: &str = "LIAN_TEST_ROOTLESS_DIR";

/// Runs one of the ignored tests as the ordinary user that `ci/setup` made, in a directory that user can read.
async fn as_user(machine: &LocalMachine, test: &str) {
    let user = variable("LIAN_TEST_ROOTLESS_USER");
    let dir = machine.path();
    let world = std::fs::Permissions::from_mode(0o755);
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = bin.join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for name in ["buildctl", "buildkitd"] {
        std::fs::copy(Path::new(&variable("LIAN_TEST_BUILDKIT_DIR")).join(name), bin.join(name)).unwrap();
    }
    let base = dir.join("base.tar");
    std::fs::copy(variable("LIAN_TEST_BASE_TAR"), &base).unwrap();
    let work = dir.join("w");
    std::fs::create_dir(&work).unwrap();
    for path in [dir, &bin, &base] {
        std::fs::set_permissions(path, world.clone()).unwrap();
    }
    let owned = Cmd::new("chown", ErrorKind::Provider).arg(&user).arg(&work).output().await.unwrap();
    assert!(owned.success(), "{}", owned.stderr_text());
    let status = Cmd::new("runuser", ErrorKind::Provider)
        .args(["-u", &user, "--", "env"])
        .arg(format!("{DIR}={}", work.display()))
        .arg(format!("LIAN_TEST_BUILDKIT_DIR={}", bin.display()))
        .arg(format!("LIAN_TEST_BASE_TAR={}", base.display()))
        .arg(&program)
        .args(["--ignored", "--exact", &format!("local_rootless::{test}"), "--nocapture"])
        .current_dir(&work)
        .spawn(Stdio::null(), Stdio::inherit(), Stdio::inherit())
        .unwrap()
        .wait()
        .await
        .unwrap();
    assert!(status.success(), "{status}");
    let left: Vec<_> = work.join("run").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.ends_with("budget")), "{left:?}");
}

#[tokio::test]
async fn an_ordinary_user_builds_and_leaves_nothing() {
    let machine = LocalMachine::new();
    as_user(&machine, "builds").await;
}

#[tokio::test]
#[ignore = "an_ordinary_user_builds_and_leaves_nothing runs it as another user"]
async fn builds() {
    let machine = LocalMachine::at(&environment().path(DIR).unwrap());
    let runner = Runner::start(&machine, 1.0).await;
    assert!(runner.endpoint.rootless);
    let MemoryLimit::None { reason } = &runner.endpoint.memory else { panic!("{:?}", runner.endpoint.memory) };
    assert!(runner.endpoint.warnings.iter().any(|note| note.contains(reason)), "{:?}", runner.endpoint.warnings);
    runner.add_base();
    let secret = ("token".to_owned(), b"s3cret".to_vec().into());
    secret_store::put(&runner.session, &runner.endpoint, &[secret]).await.unwrap();
    let path = secret_store::path(&runner.endpoint, "token").unwrap();
    // Files of another user inside: outside they belong to a subordinate user, and still they must go.
    let dockerfile = "FROM scratch\nADD base.tar /\n\
        RUN mkdir -p /odd/dir && touch /odd/dir/file && chown -R 1234:1234 /odd && chmod 700 /odd\n\
        RUN --mount=type=secret,id=token wc -c </run/secrets/token\n";
    let (code, said) = runner.build(dockerfile, &["--secret", &format!("id=token,src={path}")]).await;
    assert!(code == 0 && said.contains(" 6"), "{said}");
    runner.release(&machine).await;
}

#[tokio::test]
async fn what_an_ordinary_user_lacks_is_named() {
    let machine = LocalMachine::new();
    as_user(&machine, "is_refused").await;
}

#[tokio::test]
#[ignore = "what_an_ordinary_user_lacks_is_named runs it as another user"]
async fn is_refused() {
    let mut machine = LocalMachine::at(&environment().path(DIR).unwrap());
    std::fs::create_dir(&machine.config.runtime_dir).unwrap();
    machine.config.program_dirs.truncate(1);
    let error =
        machine.provider().acquire(&machine.request(1.0), &|_| (), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCapacity);
    assert!(error.to_string().contains("`rootlesskit`") && error.to_string().contains("`newuidmap`"), "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("apt-get install")), "{:?}", error.hints());
}
