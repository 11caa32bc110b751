//! A whole build on a machine, and what a build can learn there of what the machine was told.

use std::process::Output;

use lian_simulators::backend::GuestBackend;

use super::cloud::GuestCloud;
use super::world::{Door, figure};
use crate::support::http_server::{HttpServer, answer};
use crate::support::{Gate, variable};

/// Where Hetzner tells a server its user data.
const SECRET: &str = "http://169.254.169.254/hetzner/v1/userdata";

/// Builds a Dockerfile on the machine with the very daemon that the lease's build runs on.
fn build_there(door: &Door, dockerfile: &str) -> Output {
    door.ssh(&format!(
        "rm -rf /root/c && mkdir /root/c && printf '%s\\n' '{dockerfile}' >/root/c/Dockerfile && \
         buildctl --addr unix:///run/lian/buildkitd.sock build --progress=plain --no-cache --frontend dockerfile.v0 \
         --local context=/root/c --local dockerfile=/root/c --output type=tar 2>&1"
    ))
}

#[test]
#[ignore = "minutes in a machine without acceleration: ci/faults guest"]
fn a_whole_build_that_nothing_tells_what_the_machine_was_told() {
    let (cloud, gate) = (GuestCloud::new(), Gate::new());
    cloud.sandbox.dockerfile_on_base(&format!(
        "RUN --mount=type=secret,id=t test \"$(wc -c </run/secrets/t)\" -eq 12 && echo the-secret-$((40 + 2))\n\
         RUN ! wget -T 60 -O /got {SECRET} && test ! -s /got && echo nothing-was-told-$((40 + 2))\n\
         RUN {}\n\
         RUN echo built >/built",
        gate.wait_in_guest()
    ));
    let out = cloud.sandbox.path().join("out.tar");
    let mut build = cloud.build(&[("cx23", 2.0)], "");
    build.env("T", "s3cret-value").args(["--secret", "id=t,env=T", "-o"]);
    let mut running = cloud.sandbox.start(build.arg(format!("type=tar,dest={}", out.display())));
    let step = gate.reached(&mut running);
    let reached = cloud.seconds();

    // Its cloud-init had it from there; what buildkitd fetches itself gets nothing, asked for straight or by a detour.
    let (door, asked) = (cloud.door(), cloud.user_data_asked());
    assert!(asked > 0, "{}", cloud.consoles());
    let detour = cloud.runtime.block_on(HttpServer::start(|request| match request.target.as_str() {
        "/plain" => answer(200).body("nothing secret"),
        _ => answer(302).header("location", SECRET),
    }));
    let from_us = format!("http://{}:{}", GuestBackend::HOST, detour.port());
    for dockerfile in [
        format!("FROM scratch\nADD {SECRET} /x"),
        format!("FROM scratch\nADD {from_us}/detour /x"),
        "FROM 169.254.169.254/hetzner/v1:latest".to_owned(),
        "FROM scratch\nCOPY --from=169.254.169.254:80/hetzner/v1 / /".to_owned(),
    ] {
        let built = build_there(&door, &dockerfile);
        let said = String::from_utf8_lossy(&built.stdout);
        assert!(!built.status.success() && said.contains("permission denied"), "{dockerfile}: {said}");
    }
    assert!(detour.seen().iter().any(|request| request.target == "/detour"), "{:?}", detour.seen());
    assert_eq!(cloud.user_data_asked(), asked);
    // A fetch works that may, and this one would if it might.
    let plain = build_there(&door, &format!("FROM scratch\nADD {from_us}/plain /x"));
    assert!(plain.status.success(), "{plain:?}");
    door.says("ip -4 rule del priority 31");
    let told = build_there(&door, &format!("FROM scratch\nADD {from_us}/detour /x"));
    assert!(String::from_utf8_lossy(&told.stdout).contains("#cloud-config"), "{told:?}");
    assert!(cloud.user_data_asked() > asked);

    let opened = cloud.seconds();
    step.open();
    let finished = cloud.finish(running, 0);
    let envelope = finished.envelope();
    for word in ["the-secret-42", "nothing-was-told-42", "BuildKit's programs were sent to the runner"] {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("s3cret-value"), "{}", finished.stderr);
    let mut built = tar::Archive::new(std::fs::File::open(&out).unwrap());
    assert!(built.entries().unwrap().any(|entry| entry.unwrap().path().unwrap().ends_with("built")));
    let attempt = &envelope["attempts"][0];
    assert_eq!((&attempt["isolation"], &attempt["released"]), (&"vm".into(), &true.into()), "{envelope}");
    assert_eq!((&attempt["outcome"], &attempt["cost"]["billed_hours"]), (&"succeeded".into(), &1.into()), "{envelope}");
    assert!(attempt["metrics"]["mem_peak"].as_f64().unwrap() > 0.0, "{envelope}");
    cloud.assert_paid_and_gone(1);
    let seconds = &attempt["seconds"];
    figure(&format!(
        "a whole build on a machine: lease {} s, sync {} s, its third step after {reached} s, the end {} s after that",
        seconds["lease"],
        seconds["sync"],
        cloud.seconds() - opened
    ));
}

#[test]
#[ignore = "minutes in a machine without acceleration: ci/faults guest"]
fn an_arm_machine_builds_for_arm() {
    let cloud = GuestCloud::of("LIAN_TEST_GUEST_ARM");
    cloud.sandbox.dockerfile_on(
        "LIAN_TEST_ARM_BASE_TAR",
        "RUN echo built-on-$(uname -m) | tee /built\nFROM scratch\nCOPY --from=0 /built /",
    );
    let out = cloud.sandbox.path().join("out");
    let mut build = cloud.build(&[("cax11", 2.0)], "");
    build.env("LIAN_BUILDKIT_DIR", variable("LIAN_TEST_ARM_BUILDKIT_DIR"));
    build.arg("-o").arg(format!("type=local,dest={}", out.display()));
    let finished = cloud.finish(cloud.sandbox.start(&mut build), 0);
    let envelope = finished.envelope();
    assert!(finished.stderr.contains("built-on-aarch64"), "{}", finished.stderr);
    assert_eq!(std::fs::read_to_string(out.join("built")).unwrap(), "built-on-aarch64\n");
    let attempt = &envelope["attempts"][0];
    assert_eq!((&attempt["runner_type"], &attempt["isolation"]), (&"cax11".into(), &"vm".into()), "{envelope}");
    cloud.assert_paid_and_gone(1);
    let seconds = &attempt["seconds"];
    figure(&format!(
        "a whole build on an ARM machine: lease {} s, sync {} s, solve {} s",
        seconds["lease"], seconds["sync"], seconds["solve"]
    ));
}
