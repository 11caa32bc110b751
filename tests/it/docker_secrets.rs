//! Secrets of a build in a container: only in its tmpfs and in the memory of those who use them.

use std::path::PathBuf;

use base64::Engine as _;
use serde_json::json;

use crate::support::docker_registry::{DockerRegistry, USER};
use crate::support::{Dockerd, Gate, Needles, RunnerContainer, Sandbox, install_tls};

/// A value that nothing else on this machine has.
fn unique(kind: &str) -> String {
    format!("{kind}-{}", uuid::Uuid::now_v7().simple())
}

/// Where a caller keeps what is between two runs, and during one.
fn callers_places(sandbox: &Sandbox) -> Vec<PathBuf> {
    vec![sandbox.path().to_owned(), PathBuf::from("/run/lian-build")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_and_a_login_leave_no_trace() {
    install_tls();
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    let (token, password, workspace) = (unique("token"), unique("password"), unique("secrets"));
    let needles = Needles::of([token.as_str(), password.as_str()]);
    let address = dockerd.gateway();
    let registry = DockerRegistry::with_login_at(&address, &password).await;
    let gate = Gate::at(&address);

    // The caller's own copies, which are theirs to keep.
    let source = sandbox.path().join("token");
    std::fs::write(&source, &token).unwrap();
    let docker_config = sandbox.path().join("home/.docker/config.json");
    std::fs::create_dir_all(docker_config.parent().unwrap()).unwrap();
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
    let mut auths = serde_json::Map::new();
    auths.insert(registry.host().to_owned(), json!({ "auth": auth }));
    std::fs::write(&docker_config, json!({ "auths": auths }).to_string()).unwrap();
    let theirs = [source.clone(), docker_config];

    sandbox.dockerfile_on_base(&format!(
        "RUN --mount=type=secret,id=token test -s /run/secrets/token && echo the-step-has-it; {}",
        gate.wait()
    ));
    let mut command = sandbox.command();
    command.envs(dockerd.environment()).arg("build").arg(sandbox.context());
    command.args(["--provider", "docker_local", "--workspace", &workspace, "--progress=plain", "--format=json"]);
    command.args(["--secret", &format!("id=token,src={}", source.display())]);
    command.args(["-t", &format!("{}/private/app:1", registry.host()), "--insecure-registry", registry.host()]);
    command.args(["--events-file", "events.jsonl", "--nats-url", "nats://127.0.0.1:9"]);
    let mut running = sandbox.start(&mut command);
    running.wait_for(" the-step-has-it");

    let filter = format!("label=lian-workspace={workspace}");
    let container = dockerd.docker(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
    // They are there, and where they may be.
    for secret in [&token, &auth] {
        let holders = dockerd.docker(&["exec", &container, "grep", "-rlF", "--", secret, "/run/lian-secrets"]);
        assert_eq!(holders.lines().count(), 1, "{holders}");
    }
    needles.in_docker(&dockerd, &container).assert_clean(&[
        "inspect container",
        "inspect image",
        "inspect volume",
        "log of",
    ]);
    needles.in_processes().assert_clean(&[
        "environ of buildkitd",
        "cmdline of buildctl",
        "environ of sshd",
        "cmdline of lian-build",
    ]);
    needles.on_disk_of(&dockerd, &container).assert_clean(&[
        "/workspace/Dockerfile",
        "/run/lian/buildkitd.toml",
        "/busybox",
        "config.v2.json",
    ]);
    needles.in_files(&callers_places(&sandbox), &theirs).assert_clean(&["/run/lian-build/", "/state/lian-build/"]);

    gate.open();
    let built = running.wait();
    assert_eq!(built.assert_code(0).envelope()["image"]["pushed"], true);
    let said = format!("{}{}", built.stdout, built.stderr);
    assert!(!said.contains(&token) && !said.contains(&password) && !said.contains(&auth));
    needles.in_processes().assert_clean(&["environ of dockerd"]);
    needles.in_files(&callers_places(&sandbox), &theirs).assert_clean(&["/state/lian-build/", "/events.jsonl"]);
    let docker = PathBuf::from(dockerd.docker(&["info", "--format", "{{.DockerRootDir}}"]));
    needles.in_files_newer_than(&source, &docker).assert_clean(&["/volumes/metadata.db"]);
}

/// What proves that the searches above would find something.
#[test]
fn the_searches_find_what_is_planted() {
    let (sandbox, secret) = (Sandbox::new(), unique("planted"));
    let needles = Needles::of([secret.as_str()]);
    let keys = RunnerContainer::keys();
    let files: Vec<(&str, &str)> = keys.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let runner = RunnerContainer::start(&files);
    let (dockerd, name) = (&runner.dockerd, runner.name.as_str());
    let run = |script: &str| assert!(runner.sh(script).status.success(), "{script}");
    runner.wait_for("Server listening");
    needles.in_docker(dockerd, name).assert_clean(&[]);
    needles.on_disk_of(dockerd, name).assert_clean(&["lian_host_ed25519_key"]);
    needles.in_processes().assert_clean(&[]);

    run(&format!("mount -t tmpfs planted /mnt && echo {secret} >/mnt/file"));
    needles.on_disk_of(dockerd, name).assert_clean(&[]);

    // On the root, in base64 and not aligned; in the volume; as an argument; in an environment; in the log.
    run(&format!("printf 'user:{secret}' | base64 -w0 >/root/login; echo {secret} >/var/lib/buildkit/snapshot"));
    let found = needles.on_disk_of(dockerd, name).found;
    assert!(found.len() == 2 && found.iter().any(|path| path.ends_with("root/login")), "{found:?}");
    run(&format!(
        "ASIDE={secret} sleep 600 </dev/null >/dev/null 2>&1 & sh -c 'sleep 601; :' {secret} </dev/null >/dev/null 2>&1 &"
    ));
    let found = needles.in_processes().found;
    for place in ["environ of sleep", "cmdline of sh"] {
        assert!(found.iter().any(|seen| seen.ends_with(place)), "{place}: {found:?}");
    }
    run(&format!("echo {secret} >/proc/1/fd/2"));
    let said = needles.in_docker(dockerd, name).found;
    assert_eq!(said, [format!("log of {name}")]);

    let labelled = format!("{name}-labelled");
    dockerd.docker(&[
        "create",
        "--name",
        &labelled,
        "--env",
        &format!("A={secret}"),
        &lian_build::runner_image::name(),
    ]);
    let said = needles.in_docker(dockerd, &labelled).found;
    dockerd.docker(&["rm", "--volumes", &labelled]);
    assert_eq!(said, [format!("inspect container {labelled}")]);

    sandbox.write("planted", &secret);
    assert_eq!(needles.in_files(&callers_places(&sandbox), &[]).found.len(), 1);
}
