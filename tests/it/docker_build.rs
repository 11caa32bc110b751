//! The main job with the real command on `'docker_local` and a real daemon.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Dockerd, Finished, Running, Sandbox, Victim};

/// Starts a build in a container.
fn start<'a, S: AsRef<OsStr>>(
    sandbox: &'a Sandbox,
    dockerd: &Dockerd,
    args: impl IntoIterator<Item = S>,
) -> Running<'a> {
    let mut command = sandbox.command();
    command.envs(dockerd.environment()).arg("build").arg(sandbox.context());
    sandbox.start(command.args(["--provider", "docker_local", "--progress=plain"]).args(args))
}

/// Runs it to its end, after which nothing of it is left.
fn build<S: AsRef<OsStr>>(sandbox: &Sandbox, args: impl IntoIterator<Item = S>) -> Finished {
    let dockerd = Dockerd::of_the_tests();
    let finished = start(sandbox, &dockerd, args).wait();
    let envelope: Value = serde_json::from_str(&finished.stdout).unwrap();
    for attempt in envelope["attempts"].as_array().unwrap() {
        assert_nothing_of(&dockerd, attempt["lease_id"].as_str().unwrap());
    }
    finished
}

#[track_caller]
fn assert_nothing_of(dockerd: &Dockerd, lease: &str) {
    assert_eq!(dockerd.traces(lease), Vec::<String>::new());
    let keys = Path::new("/run/lian-build/docker").join(lease);
    assert!(!keys.exists() && !keys.with_extension("lock").exists(), "{} is left", keys.display());
}

#[test]
fn a_directory_becomes_an_image_twice() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo built > /proof\nRUN --network=none ls /sys/class/net | grep -x lo");
    let dest = sandbox.path().join("image.tar");
    let output = format!("type=oci,dest={}", dest.display());
    for _ in 0..2 {
        let built = build(&sandbox, ["-o", &output]);
        let envelope = built.assert_code(0).envelope();
        let attempt = &envelope["attempts"][0];
        assert_eq!((&attempt["provider"], &attempt["isolation"]), (&"docker_local".into(), &"container".into()));
        assert_eq!(attempt["released"], true);
        assert!(built.stderr.contains("isolation is `container`"), "{}", built.stderr);
        assert!(std::fs::metadata(&dest).unwrap().len() > 1000);
        std::fs::remove_file(&dest).unwrap();
    }
}

/// The kernel writes the container's group from the machine's root, and a step's kill is proven all the same.
#[test]
fn memory_that_runs_out_is_proven_and_retried_once() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN dd if=/dev/zero of=/dev/null bs=192M count=1");
    let tiers = sandbox.tiers(&[("small", 0.25), ("middle", 1.0)]);
    let dest = format!("type=oci,dest={}", sandbox.path().join("image.tar").display());
    let built = build(&sandbox, ["--tiers", tiers.to_str().unwrap(), "--runner-type=small", "-o", &dest]);
    let envelope = built.assert_code(0).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{envelope}");
    let oom = &attempts[0]["oom"];
    assert_eq!(oom["verdict"], "proven", "{envelope}");
    let (lease, evidence) = (attempts[0]["lease_id"].as_str().unwrap(), oom["evidence"].to_string());
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        // v2 counts the kills of a group, and a runner does not see the machine's log.
        assert!(evidence.contains("`oom_kill` of the build's cgroup went from 0 to 1"), "{oom}");
    } else {
        assert_eq!(oom["victim"], "dd", "{oom}");
        assert!(evidence.contains(&format!("{lease}/build")), "it names the lease's own group: {oom}");
    }
    assert_eq!((&attempts[1]["runner_type"], &attempts[1]["outcome"]), (&"middle".into(), &"succeeded".into()));
}

#[test]
fn an_exit_137_is_the_builds_own_failure() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo Killed; exit 137");
    let envelope = build(&sandbox, ["--push=false"]).assert_code(1).envelope();
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "{envelope}");
    assert!(envelope["attempts"][0]["oom"].is_null(), "{envelope}");
}

#[test]
fn no_secret_is_seen_from_outside_and_a_killed_build_leaves_nothing() {
    const SECRET: &str = "s3cr3t-c4bbcb1f-in-a-container";
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    sandbox.dockerfile_on_base(
        "RUN --mount=type=secret,id=token --mount=type=secret,id=token,env=TOKEN \\
  wc -c </run/secrets/token; sleep 600",
    );
    let mut command = sandbox.command();
    command.envs(dockerd.environment()).env("LIAN_SECRET_TOKEN", SECRET).arg("build").arg(sandbox.context());
    let mut running = sandbox.start(command.args(["--provider=docker_local", "--progress=plain", "--secret=id=token"]));
    running.wait_for(&format!(" {}", SECRET.len()));
    let victim = Victim::of(&sandbox);
    let lease = victim.lease().to_owned();
    let seen = dockerd.docker(&["inspect", &lease]) + &dockerd.docker(&["logs", &lease]);
    assert!(seen.contains(&lease) && !seen.contains(SECRET), "{seen}");
    // The runner's disks: its root, and the volume with what BuildKit keeps. A tmpfs is none.
    let on_disk = |text: &str| {
        let find = "find / /var/lib/buildkit -xdev -type f -print0 | xargs -0 grep -lF -e \"$1\" || true";
        dockerd.docker(&["exec", &lease, "sh", "-c", find, "find", text])
    };
    assert!(on_disk("runner-init: ").contains("/usr/lib/lian-build/runner-init"), "the search finds nothing at all");
    assert_eq!(on_disk(SECRET), "");
    running.signal(Signal::KILL);
    running.wait_unchecked();
    // Its reaper ends the lease.
    for _ in 0..400 {
        if dockerd.traces(&lease).is_empty() && Victim::leases(&sandbox).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_nothing_of(&dockerd, &lease);
}

#[test]
fn a_signal_ends_the_container() {
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
    let mut running = start(&sandbox, &dockerd, ["--push=false"]);
    running.wait_for(" the-step-runs");
    running.signal(Signal::TERM);
    let envelope = running.wait().assert_code(143).envelope();
    let attempt = &envelope["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["released"]), (&"cancelled".into(), &true.into()), "{envelope}");
    assert_nothing_of(&dockerd, attempt["lease_id"].as_str().unwrap());
}

#[test]
fn without_a_daemon_or_an_image_the_build_says_what_to_do() {
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    for (host, image, said, hint) in [
        (
            "unix:///nowhere/docker.sock",
            "",
            "the Docker daemon at `unix:///nowhere/docker.sock` cannot be reached",
            "DOCKER_HOST",
        ),
        (
            dockerd.host(),
            "lian-test-missing:1",
            "Docker has no runner image `lian-test-missing:1`",
            "runners image --load",
        ),
    ] {
        let mut command = sandbox.command();
        command.env("DOCKER_HOST", host).env("BUILDKIT_RUNNER_IMAGE", image);
        command.arg("build").arg(sandbox.context()).args(["--provider=docker_local", "--progress=plain"]);
        let refused = sandbox.start(&mut command).wait();
        let envelope = refused.assert_code(4).envelope();
        assert_eq!(envelope["status"], "refused");
        assert!(envelope["error"]["message"].as_str().unwrap().contains(said), "{envelope}");
        assert!(envelope["error"]["hints"].to_string().contains(hint), "{envelope}");
    }
}

/// `plan` looks, too, and makes nothing.
#[test]
fn a_plan_names_the_provider_and_its_refusal() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let mut command = sandbox.command();
    command.env("DOCKER_HOST", Dockerd::of_the_tests().host()).env("LIAN_LOCAL_CACHE_GB", "3");
    command.arg("plan").arg(sandbox.context());
    let planned = sandbox.start(command.args(["--provider='docker_local", "--format=json"])).wait();
    let document: Value = serde_json::from_str(&planned.assert_code(0).stdout).unwrap();
    assert_eq!(document["plan"]["provider"], "docker_local", "{document}");
    assert!(document["plan"]["price"].as_str().unwrap().contains("docker_local"), "{document}");
    assert_eq!(document["plan"]["cache"]["kept_bytes"], 3_u64 << 30, "{document}");
}

/// Docker for everyone: passes each connection to a socket in `dir` on to the daemon, which only root reaches.
fn open_to_all(dockerd: &Dockerd, dir: &Path) -> String {
    let path = dir.join("d.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let daemon = dockerd.socket();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, daemon) = (client.unwrap(), UnixStream::connect(&daemon).unwrap());
            for (mut from, mut to) in [(client.try_clone().unwrap(), daemon.try_clone().unwrap()), (daemon, client)] {
                std::thread::spawn(move || {
                    // One that has gone away needs nothing more.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    format!("unix://{}", path.display())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the command is started as another user would")]
fn an_ordinary_user_gets_a_container_without_asking() {
    let (dir, dockerd) = (tempfile::Builder::new().prefix("lb").tempdir_in("/tmp").unwrap(), Dockerd::of_the_tests());
    let user = crate::support::variable("LIAN_TEST_ROOTLESS_USER");
    let (program, home, context) = (dir.path().join("lian-build"), dir.path().join("home"), dir.path().join("context"));
    std::fs::copy(env!("CARGO_BIN_EXE_lian-build"), &program).unwrap();
    std::fs::create_dir(&home).unwrap();
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("chown").arg(&user).arg(&home).status().unwrap().success());
    let output = Command::new("runuser")
        .args(["-u", &user, "--", "env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", "USER=ann"])
        .arg(format!("HOME={}", home.display()))
        .arg(format!("DOCKER_HOST={}", open_to_all(&dockerd, dir.path())))
        // What would be kept would be left in the tests' daemon.
        .arg("LIAN_LOCAL_CACHE_GB=0")
        .arg(&program)
        .arg("build")
        .arg(&context)
        .args(["--push=false", "--progress=plain"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(envelope["attempts"][0]["provider"], "docker_local", "{envelope}");
    assert_nothing_of(&dockerd, envelope["attempts"][0]["lease_id"].as_str().unwrap());
}
