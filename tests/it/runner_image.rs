//! The runner's image: the command that makes it, and what a container of it does by itself.

use crate::support::{Dockerd, RunnerContainer, Sandbox, variable};

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A container with its keys and these files more.
fn runner(more: &[(&str, &str)]) -> RunnerContainer {
    let keys = RunnerContainer::keys();
    let mut files: Vec<(&str, &str)> = keys.iter().map(|(path, text)| (*path, text.as_str())).collect();
    files.extend(more);
    RunnerContainer::start(&files)
}

fn said(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_root_becomes_an_image_that_names_its_recipe() {
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    let tar = variable("LIAN_TEST_RUNNER_IMAGE_TAR");
    let mut command = sandbox.command();
    command.env("DOCKER_HOST", dockerd.host()).args(["runners", "image", "--format=json", "--from", &tar]);
    let result = sandbox.start(&mut command).wait().assert_code(0).envelope();
    assert_eq!(result["schema"], "lian-build/runners-image/v1");
    let image = dockerd.inspect(result["image_id"].as_str().unwrap());
    assert_eq!(image["Config"]["Labels"]["lian-runner-recipe"], result["recipe"]);
    assert_eq!(image["Config"]["Labels"]["lian-runner-buildkit"], result["buildkit"]);
    assert_eq!(image["Config"]["Cmd"], serde_json::json!(["/usr/lib/lian-build/runner-init"]));
    assert_eq!(image["Config"]["ExposedPorts"], serde_json::json!({ "22/tcp": {} }));
    assert!(image["RepoTags"].as_array().unwrap().contains(&result["image"]), "{}", image["RepoTags"]);
}

#[test]
fn what_is_missing_is_said_before_anything_is_done() {
    let (sandbox, dockerd) = (Sandbox::new(), Dockerd::of_the_tests());
    let image = |docker: &str, path: &str, args: &[&str]| {
        let mut command = sandbox.command();
        command.env("DOCKER_HOST", docker).env("PATH", path).args(["runners", "image", "--format=json"]).args(args);
        sandbox.start(&mut command).wait()
    };
    let result = image("unix:///nowhere.sock", "/usr/bin:/bin", &[]).assert_code(4).envelope();
    assert!(result["error"]["message"].as_str().unwrap().contains("`unix:///nowhere.sock`"), "{result}");
    assert!(result["error"]["hints"].to_string().contains("--output FILE"), "{result}");
    let refused = image("tcp://ann:s3cret@build:2376", "/usr/bin:/bin", &[]);
    refused.assert_code(2);
    assert!(!format!("{}{}", refused.stdout, refused.stderr).contains("s3cret"), "{}", refused.stdout);
    let result = image(dockerd.host(), "/nowhere", &["--output", "root.tar"]).assert_code(5).envelope();
    assert!(result["error"]["hints"].to_string().contains("apt-get install mmdebstrap"), "{result}");
    let base = variable("LIAN_TEST_BASE_TAR");
    let result = image(dockerd.host(), "/usr/bin:/bin", &["--from", &base]).assert_code(2).envelope();
    assert!(result["error"]["message"].as_str().unwrap().contains("not a runner's root"), "{result}");
}

#[test]
fn the_roots_of_a_runner_hold_no_key_and_no_name() {
    let file = std::fs::File::open(variable("LIAN_TEST_RUNNER_IMAGE_TAR")).unwrap();
    let mut names = Vec::new();
    for entry in tar::Archive::new(file).entries_with_seek().unwrap() {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string().trim_start_matches("./").to_owned();
        assert!(!name.starts_with("etc/ssh/ssh_host_"), "{name}");
        assert!(!["etc/hostname", "etc/resolv.conf"].contains(&name.as_str()), "{name}");
        assert!(name != "etc/machine-id" || entry.size() == 0, "{name} has {} bytes", entry.size());
        names.push(name);
    }
    for needed in
        ["usr/local/bin/buildkitd", "usr/local/bin/buildctl", "usr/local/bin/runc", "usr/bin/rsync", "usr/bin/git"]
    {
        assert!(names.iter().any(|name| name == needed), "{needed}");
    }
}

#[test]
fn sshd_takes_one_key_and_no_password_and_steps_have_a_limit() {
    let limit = 256 << 20;
    let runner = runner(&[("etc/lian-build/build-memory", &format!("{limit}\n"))]);
    runner.wait_for("Server listening on 0.0.0.0 port 22");
    let config = said(&runner.sh("/usr/sbin/sshd -T"));
    for line in [
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "authenticationmethods publickey",
        "permitrootlogin without-password",
        "allowusers root",
        "hostkey /etc/ssh/lian_host_ed25519_key",
    ] {
        assert!(config.lines().any(|other| other == line), "{line} in {config}");
    }
    assert_eq!(config.matches("hostkey /").count(), 1, "{config}");
    // v1 and v2 write it to different files; one group of the container has the limit of the steps.
    let find = "find /sys/fs/cgroup -name memory.limit_in_bytes -o -name memory.max | xargs cat";
    assert!(said(&runner.sh(find)).lines().any(|line| line == limit.to_string()));
    // BuildKit can make a group for a step.
    let group = "if [ -e cgroup.controllers ]; then mkdir a-step; else mkdir memory/a-step; fi";
    said(&runner.sh(&format!("cd /sys/fs/cgroup && {group}")));
}

#[test]
fn without_a_host_key_no_runner_answers() {
    let runner = RunnerContainer::start(&[]);
    let log = runner.wait();
    assert!(log.contains("no hostkeys available") && log.contains("sshd ended"), "{log}");
}

#[test]
fn it_ends_with_its_sshd() {
    let runner = runner(&[]);
    runner.wait_for("Server listening on 0.0.0.0 port 22");
    said(&runner.sh("kill $(pgrep -o -x sshd)"));
    assert!(runner.wait().contains("sshd ended"));
}

#[test]
fn it_ends_at_its_hard_deadline_although_it_is_renewed() {
    let (past, future) = ((now() - 1).to_string(), (now() + 3600).to_string());
    let runner = runner(&[("etc/lian-build/hard-deadline", &past), ("var/lib/lian-build/expires", &future)]);
    assert!(runner.wait().contains(&format!("past the hard deadline {past}")));
}

#[test]
fn only_a_time_that_is_over_ends_it() {
    let runner = runner(&[]);
    runner.wait_for("Server listening on 0.0.0.0 port 22");
    // Nobody said when: it gave itself a day.
    let own: i64 = said(&runner.sh("cat /etc/lian-build/hard-deadline")).parse().unwrap();
    assert!((now() + 86_000..=now() + 86_400).contains(&own), "{own}");
    let (now, hard) = (now(), "etc/lian-build/hard-deadline");
    let expires = "var/lib/lian-build/expires";
    // The check alone, on another copy of its files: the container itself goes on.
    let check = |hard_deadline: &str, expiry: &str| {
        runner.put(&[(&format!("t/{hard}"), hard_deadline), (&format!("t/{expires}"), expiry)]);
        let script =
            "sed 's|=/etc/|=/t/etc/|; s|=/var/|=/t/var/|' /usr/lib/lian-build/deadman >/t/deadman; sh /t/deadman check";
        let output = runner.sh(script);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (later, soon, gone) = ((now + 3600).to_string(), (now - 100).to_string(), (now - 301).to_string());
    assert_eq!(check(&later, &later), (0, String::new()));
    assert_eq!(check(&format!("{later}\n"), &soon), (0, String::new()), "there is some grace");
    assert_eq!(check(&later, ""), (0, String::new()), "a renewal may be writing it");
    assert_eq!(check(&later, &gone), (3, format!("not renewed since {gone}")));
    assert_eq!(check(&soon, &later), (1, format!("past the hard deadline {soon}")));
    for odd in ["", "soon", "-5", "5 6"] {
        let (code, why) = check(odd, &later);
        assert!(code == 1 && why.contains("no hard deadline can be read"), "{odd:?}: {why}");
    }
}
