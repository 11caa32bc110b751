//! The `'local` provider without root: the same runner inside of `rootlesskit`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lian_build::error::ErrorKind;
use lian_build::lease::MemoryLimit;
use lian_build::process::Cmd;
use lian_build::provider::ComputeProvider as _;
use lian_build::solve::{agents, buildctl, secret_store};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use crate::support::{Leftovers, LocalMachine, Runner, SshAgent, environment, variable};

/// Tells the ignored tests where to work; set by those that run them as an ordinary user.
const DIR: &str = "LIAN_TEST_ROOTLESS_DIR";

/// A directory that the ordinary user of `ci/setup` can read and work in, and what runs the ignored tests there.
struct OtherUser {
    machine: LocalMachine,
    name: String,
}

impl OtherUser {
    async fn new() -> Self {
        let (machine, name) = (LocalMachine::new(), variable("LIAN_TEST_ROOTLESS_USER"));
        let dir = machine.path();
        let (bin, base, work) = (dir.join("bin"), dir.join("base.tar"), dir.join("w"));
        std::fs::create_dir(&bin).unwrap();
        std::fs::create_dir(&work).unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), bin.join("it")).unwrap();
        for name in ["buildctl", "buildkitd"] {
            std::fs::copy(Path::new(&variable("LIAN_TEST_BUILDKIT_DIR")).join(name), bin.join(name)).unwrap();
        }
        std::fs::copy(variable("LIAN_TEST_BASE_TAR"), &base).unwrap();
        for path in [dir, &bin, &base] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let owned = Cmd::new("chown", ErrorKind::Provider).arg(&name).arg(&work).output().await.unwrap();
        assert!(owned.success(), "{}", owned.stderr_text());
        Self { machine, name }
    }

    fn work(&self) -> PathBuf {
        self.machine.path().join("w")
    }

    /// Starts one of the ignored tests as that user.
    fn start(&self, test: &str, stdout: Stdio) -> Child {
        let bin = self.machine.path().join("bin");
        Cmd::new("runuser", ErrorKind::Provider)
            .args(["-u", &self.name, "--", "env"])
            .arg(format!("{DIR}={}", self.work().display()))
            .arg(format!("LIAN_TEST_BUILDKIT_DIR={}", bin.display()))
            .arg(format!("LIAN_TEST_BASE_TAR={}", self.machine.path().join("base.tar").display()))
            .arg(bin.join("it"))
            .args(["--ignored", "--exact", &format!("local_rootless::{test}"), "--nocapture"])
            .current_dir(self.work())
            .spawn(Stdio::null(), stdout, Stdio::inherit())
            .unwrap()
    }

    /// Runs one of the ignored tests as that user to its end.
    async fn run(&self, test: &str) {
        let status = self.start(test, Stdio::inherit()).wait().await.unwrap();
        assert!(status.success(), "{status}");
        assert!(!self.work().join("run").exists());
    }
}

#[tokio::test]
async fn an_ordinary_user_builds_and_leaves_nothing() {
    OtherUser::new().await.run("builds").await;
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
    let agent = SshAgent::start();
    agents::forward(&runner.session, &runner.endpoint, &[agent.socket()]).await.unwrap();
    let socket = buildctl::agent_socket(&runner.endpoint.paths, 0);
    let listed = runner.shell(&format!("SSH_AUTH_SOCK={socket} ssh-add -l")).await;
    assert!(listed.contains(&agent.fingerprint), "{listed}");
    runner.release(&machine).await;
}

#[tokio::test]
async fn a_killed_holder_takes_everything_with_it() {
    let user = OtherUser::new().await;
    let mut holder = user.start("holder", Stdio::piped());
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let (lease, pid) = loop {
        let line = lines.next_line().await.unwrap().expect("the holder ended");
        let mut words = line.split(' ');
        if let (Some("leased"), Some(lease), Some(pid)) = (words.next(), words.next(), words.next()) {
            break (lease.to_owned(), pid.parse().unwrap());
        }
    };
    let leftovers = Leftovers::of(lease, [user.work().join("run")]);
    assert!(leftovers.find().iter().any(|line| line.starts_with("process")), "the runner is not seen");
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    holder.wait().await.unwrap();
    for _ in 0..200 {
        if !leftovers.find().iter().any(|line| line.starts_with("process")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    user.run("sweeps").await;
    leftovers.assert_none();
}

#[tokio::test]
#[ignore = "a_killed_holder_takes_everything_with_it runs it as another user and kills it"]
async fn holder() {
    let machine = LocalMachine::at(&environment().path(DIR).unwrap());
    let runner = Runner::start(&machine, 1.0).await;
    runner.add_base();
    // Left by the build: files that belong to a subordinate user.
    let (code, said) = runner.build("FROM scratch\nADD base.tar /\nRUN touch /file && chown 1:1 /file\n", &[]).await;
    assert_eq!(code, 0, "{said}");
    println!("\nleased {} {}", runner.request.lease_id, std::process::id());
    std::future::pending::<()>().await;
}

#[tokio::test]
#[ignore = "a_killed_holder_takes_everything_with_it runs it as another user"]
async fn sweeps() {
    let machine = LocalMachine::at(&environment().path(DIR).unwrap());
    assert_eq!(machine.sweep().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_ordinary_user_lacks_is_named() {
    OtherUser::new().await.run("is_refused").await;
}

#[tokio::test]
#[ignore = "what_an_ordinary_user_lacks_is_named runs it as another user"]
async fn is_refused() {
    let mut machine = LocalMachine::at(&environment().path(DIR).unwrap());
    machine.config.program_dirs.truncate(1);
    let error =
        machine.provider().acquire(&machine.request(1.0), &|_: &str| (), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCapacity);
    assert!(error.to_string().contains("`rootlesskit`") && error.to_string().contains("`newuidmap`"), "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("apt-get install")), "{:?}", error.hints());
}
