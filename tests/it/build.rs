//! The main job, end to end, with the real command on the `local` provider.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::{Gate, Sandbox};

#[test]
fn a_directory_becomes_an_image_that_is_kept_here() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo built > /proof");
    let built = sandbox.build(["--progress=plain"]);
    let envelope = built.assert_code(0).envelope();
    assert_eq!(envelope["status"], "succeeded");
    assert_eq!(envelope["workspace"], "context");
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(envelope["attempts"][0]["isolation"], "none");
    assert_eq!(envelope["attempts"][0]["released"], true);
    assert!(envelope["image"]["digest"].as_str().unwrap().starts_with("sha256:"), "{envelope}");
    let archive = envelope["outputs"][0].as_str().unwrap();
    assert!(std::fs::metadata(archive).unwrap().len() > 1000, "{archive} is no image");
    assert!(built.stderr.contains("isolation is `none`"), "{}", built.stderr);
}

#[test]
fn buildkits_own_frontend_is_not_fetched() {
    for (line, argument) in [("docker/dockerfile:1", None), ("evil.invalid/x", Some("docker/dockerfile:1"))] {
        let sandbox = Sandbox::new();
        sandbox.write("Dockerfile", format!("# syntax={line}\nFROM scratch\nCOPY Dockerfile /\n"));
        let argument = argument.map(|image| format!("--build-arg=BUILDKIT_SYNTAX={image}"));
        let built = sandbox.build(["--progress=plain"].into_iter().chain(argument.as_deref()));
        assert!(!built.assert_code(0).stderr.contains("docker-image://"), "{}", built.stderr);
    }
}

#[test]
fn a_second_build_comes_from_the_kept_cache() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo slow > /proof");
    sandbox.build(["--progress=quiet"]).assert_code(0);
    let second = sandbox.build(["--progress=quiet"]).assert_code(0).envelope();
    let cached = second["attempts"][0]["steps"]["cached"].as_u64().unwrap();
    assert!(cached >= 2, "{second}");
}

#[test]
fn files_come_back_as_they_were_built() {
    let sandbox = Sandbox::new();
    sandbox
        .write("Dockerfile", "FROM scratch\nCOPY . /\n")
        .write("deep/er/file", "content")
        .write("run.sh", "#!/bin/sh");
    let dest = sandbox.path().join("result");
    let built = sandbox.build(["-o", &format!("type=local,dest={}", dest.display())]);
    built.assert_code(0);
    assert_eq!(std::fs::read_to_string(dest.join("deep/er/file")).unwrap(), "content");
    assert!(built.envelope()["image"].is_null(), "a directory is no image");
}

#[test]
fn a_failing_step_is_the_builds_own_failure() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo 'last words'; exit 7");
    let failed = sandbox.build(["--progress=plain"]);
    let envelope = failed.assert_code(1).envelope();
    assert_eq!(envelope["status"], "failed");
    assert_eq!(envelope["error"]["kind"], "build");
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "the build's own failure is not retried");
    assert!(envelope["attempts"][0]["metrics"].is_object(), "a failed attempt is measured too: {envelope}");
    for part in ["last words", ">>> RUN echo", "exit code: 7", "full log"] {
        assert!(failed.stderr.contains(part), "`{part}` is missing: {}", failed.stderr);
    }
}

#[test]
fn a_bad_dockerfile_is_the_builds_own_failure() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nBOGUS instruction\n");
    let envelope = sandbox.build(["--progress=quiet"]).assert_code(1).envelope();
    assert!(envelope["error"]["message"].as_str().unwrap().contains("BOGUS"), "{envelope}");
}

#[test]
fn a_signal_ends_the_run_after_the_release() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let sandbox = Sandbox::new();
        sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
        let mut running = sandbox.start(&mut sandbox.build_command());
        running.wait_for(" the-step-runs");
        running.signal(signal);
        let envelope = running.wait().assert_code(code).envelope();
        assert_eq!(envelope["status"], "cancelled");
        assert_eq!(envelope["attempts"][0]["outcome"], "cancelled");
        assert_eq!(envelope["attempts"][0]["released"], true);
    }
}

#[test]
fn a_secret_reaches_the_step_and_nothing_else() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!(
        "RUN --mount=type=secret,id=token sha256sum /run/secrets/token | cut -c1-8; {}",
        gate.wait()
    ));
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).args(["--secret", "id=token,env=TOKEN", "--progress=plain"]);
    // Nobody listens there, so that events are spooled.
    command.args(["--nats-url", "nats://127.0.0.1:9", "--events-file", "events.jsonl"]);
    command.env("TOKEN", "correct horse battery staple");
    let mut running = sandbox.start(&mut command);
    // The hash of the value, computed apart from it.
    let said = running.wait_for("c4bbcb1f");
    let (during, seen) = files_that_hold(&sandbox, b"battery");
    assert_eq!(during, [""; 0], "while the step has it");
    assert!(seen.iter().any(|path| path.ends_with("bin/busybox")), "the runner's files were not looked at: {seen:?}");
    gate.open();
    let built = running.wait();
    built.assert_code(0);
    assert!(!said.contains("battery") && !built.stdout.contains("battery") && !built.stderr.contains("battery"));
    let (after, _) = files_that_hold(&sandbox, b"battery");
    assert_eq!(after, [""; 0], "after the build");
    // The search finds what is there.
    sandbox.write("planted", "correct horse battery staple");
    assert_eq!(files_that_hold(&sandbox, b"battery").0.len(), 1);
}

/// The files of a whole world (state with logs, history and spool, cache with the runner's own directories, temporary
/// files) that hold `needle`, and all that were looked at. Files come and go while a build runs.
fn files_that_hold(sandbox: &Sandbox, needle: &[u8]) -> (Vec<String>, Vec<PathBuf>) {
    let (mut found, mut seen, mut pending) = (Vec::new(), Vec::new(), vec![sandbox.path().to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file()
                && let Ok(content) = std::fs::read(entry.path())
            {
                seen.push(entry.path());
                if memchr::memmem::find(&content, needle).is_some() {
                    found.push(entry.path().display().to_string());
                }
            }
        }
    }
    (found, seen)
}

#[test]
fn what_is_missing_is_refused_before_anything_is_leased() {
    let sandbox = Sandbox::new();
    let nothing = sandbox.build(["--format=json"]).assert_code(2).envelope();
    assert_eq!(nothing["status"], "refused");
    assert_eq!(nothing["attempts"].as_array().unwrap().len(), 0);
    assert!(nothing["error"]["message"].as_str().unwrap().contains("Dockerfile"), "{nothing}");

    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let secret = sandbox.build(["--secret", "id=nowhere"]).assert_code(8).envelope();
    assert_eq!(secret["status"], "refused");
    assert_eq!(secret["attempts"].as_array().unwrap().len(), 0);
}

#[test]
fn a_panic_of_our_own_leaves_no_runner_behind() {
    for place in ["panic@on-lease", "panic@in-build"] {
        let sandbox = Sandbox::new();
        sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
        let mut command = sandbox.command();
        command.arg("build").arg(sandbox.context()).env("LIAN_FAILPOINT", place);
        let envelope = sandbox.start(&mut command).wait().assert_code(5).envelope();
        assert_eq!(envelope["attempts"][0]["released"], true, "{envelope}");
        assert!(envelope["error"]["message"].as_str().unwrap().contains("failpoint"), "{envelope}");
    }
}

#[test]
fn a_killed_daemon_is_the_runners_fault_and_tried_once_more() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo the-$((40 + 2))nd-step-runs; sleep 600");
    let mut running = sandbox.start(&mut sandbox.build_command());
    for _ in 0..2 {
        running.wait_for(" the-42nd-step-runs");
        kill_daemon_of(&running);
    }
    let envelope = running.wait().assert_code(5).envelope();
    let outcomes: Vec<&str> =
        envelope["attempts"].as_array().unwrap().iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["lost", "lost"]);
    assert_eq!(envelope["attempts"][0]["runner_type"], envelope["attempts"][1]["runner_type"]);
    assert!(envelope["error"]["message"].as_str().unwrap().contains("signal 9"), "{envelope}");
}

/// Kills the `buildkitd` that descends from this run, and no other.
fn kill_daemon_of(running: &crate::support::Running<'_>) {
    let parent_of = |pid: i32| -> Option<i32> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let descends = std::iter::successors(Some(pid), |pid| parent_of(*pid)).any(|pid| pid == running.pid());
        if name.trim() == "buildkitd" && descends {
            rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
            killed += 1;
        }
    }
    assert_eq!(killed, 1, "the daemon of this run was not found");
}

#[test]
fn history_decides_the_size_after_five_builds() {
    let sandbox = Sandbox::new();
    for round in 0..5 {
        sandbox.dockerfile_on_base(&format!("RUN sleep 0.6; echo {round}"));
        sandbox.build(["--progress=quiet"]).assert_code(0);
    }
    let plan = sandbox.run(["plan", "context", "--format=json"]).assert_code(0).envelope();
    assert_eq!(plan["plan"]["sizing"]["source"], "p95", "{plan}");
    assert!(plan["plan"]["sizing"]["reason"].as_str().unwrap().contains("5 runs"), "{plan}");
    let ci = ["plan", "context", "--format=json", "--actor=ci", "--workspace=context"];
    let plan = sandbox.run(ci).assert_code(0).envelope();
    assert_eq!(plan["plan"]["sizing"]["source"], "language", "advice that nobody approved: {plan}");
}

#[test]
fn the_time_budget_ends_an_attempt() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
    sandbox.write(".build-spec.ncl", "{ schema_version = 1, time_budget_min = 0.05 }");
    let envelope = sandbox.build(["--progress=quiet"]).assert_code(6).envelope();
    assert_eq!(envelope["status"], "failed");
    assert_eq!(envelope["attempts"][0]["outcome"], "timed_out");
    assert_eq!(envelope["attempts"].as_array().unwrap().len(), 1, "time is not retried");
    assert!(envelope["error"]["hints"][0].as_str().unwrap().contains("time_budget_min"), "{envelope}");
}

#[test]
fn a_secret_that_never_comes_does_not_hold_up_a_signal() {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let fifo = sandbox.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let secret = format!("id=token,src={}", fifo.display());
    let mut running = sandbox.start(sandbox.command().arg("build").arg(sandbox.context()).args([
        "--secret",
        &secret,
        "--progress=plain",
        "--format=json",
    ]));
    running.wait_for("waiting for the secrets token");
    running.signal(Signal::TERM);
    let envelope = running.wait().assert_code(143).envelope();
    assert_eq!(envelope["attempts"], serde_json::json!([]));
}

#[test]
fn host_networking_is_granted_when_it_is_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN --network=host true");
    sandbox.build(["--network=host", "--progress=quiet"]).assert_code(0);
}

#[test]
fn a_release_that_cannot_be_confirmed_beats_every_other_code() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN echo the-step-runs; sleep 600");
    let mut running = sandbox.start(&mut sandbox.build_command());
    running.wait_for(" the-step-runs");
    let leases = sandbox.path().join("cache/lian-build/leases");
    let lease =
        std::fs::read_dir(&leases).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let stuck = lease.join("context/Dockerfile");
    immutable(&stuck, true);
    running.signal(Signal::INT);
    running.wait_for("release");
    running.signal(Signal::INT);
    let finished = running.wait_unchecked();
    immutable(&stuck, false);
    let envelope = finished.assert_code(7).envelope();
    assert_eq!(envelope["error"]["kind"], "release_unconfirmed");
    assert_eq!(envelope["attempts"][0]["released"], false);
    let said = format!("{} {}", envelope["error"]["message"], envelope["error"]["hints"]);
    assert!(said.contains(lease.file_name().unwrap().to_str().unwrap()) && said.contains("SIGINT"), "{said}");

    // Its reaper goes on until it is gone; the next run would find it, too.
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox.build(["--progress=quiet"]).assert_code(0);
    sandbox.assert_nothing_left_soon(&finished.stdout);
}

/// Makes a file that not even root can remove, or lets it be removed again.
#[expect(clippy::disallowed_methods, reason = "the tool that sets the attribute")]
fn immutable(file: &std::path::Path, on: bool) {
    let flag = if on { "+i" } else { "-i" };
    let status = std::process::Command::new("chattr").arg(flag).arg(file).status().unwrap();
    assert!(status.success(), "chattr {flag} {}", file.display());
}
