//! Which failures are memory, with the real command: compilers whose parent survives, buildkitd itself, and everything
//! that only looks like it. The tiers would allow a retry everywhere.

use std::path::PathBuf;

use lian_build::error::ErrorKind;
use lian_build::ids::LeaseId;
use lian_build::process::Cmd;
use serde_json::Value;

use crate::support::{Finished, Gate, Running, Sandbox, SmallDisk, variable};

const TIERS: [(&str, f64); 2] = [("small", 0.25), ("middle", 1.0)];

fn build(sandbox: &Sandbox, tiers: &[(&str, f64)]) -> Finished {
    start(sandbox, tiers, "--progress=plain").wait()
}

/// Starts a build on the first of `tiers`.
fn start<'a>(sandbox: &'a Sandbox, tiers: &[(&str, f64)], progress: &str) -> Running<'a> {
    let file = sandbox.tiers(tiers);
    let mut command = sandbox.command();
    command.arg("build").arg(sandbox.context()).arg(progress);
    command.arg("--tiers").arg(file).args(["--runner-type", tiers[0].0]);
    sandbox.start(&mut command)
}

/// The build's own failure: exit 1 after exactly one attempt, and not a word of memory.
#[track_caller]
fn assert_own_failure(finished: &Finished) {
    let envelope = finished.assert_code(1).envelope();
    assert_eq!(envelope["error"]["kind"], "build", "{envelope}");
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{envelope}");
    assert_eq!(attempts[0]["outcome"], "failed", "{envelope}");
    assert!(attempts[0]["oom"].is_null(), "{envelope}");
}

#[track_caller]
fn fails_by_itself(step: &str) {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(step);
    assert_own_failure(&build(&sandbox, &TIERS));
}

/// On a ladder of one tier: a kill of `victim` is proven, and there is nothing to retry on.
#[track_caller]
fn assert_killed(finished: &Finished, victim: &str) {
    let envelope = finished.assert_code(3).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{envelope}");
    assert_eq!(attempts[0]["oom"]["verdict"], "proven", "{envelope}");
    assert_eq!(attempts[0]["oom"]["victim"], victim, "{envelope}");
}

#[test]
fn gccs_compiler_is_killed_and_its_driver_survives() {
    let sandbox = Sandbox::new();
    // Ten million numbers: cc1 wants some gigabytes for them.
    let mut source = "#define P0 1,2,3,4,5,6,7,8,9,10,\n".to_owned();
    for power in 1..7 {
        source += &format!("#define P{power} {}\n", format!("P{} ", power - 1).repeat(10));
    }
    source += "int numbers[] = {P6};\n";
    std::fs::copy(variable("LIAN_TEST_BASE_GCC_TAR"), sandbox.context().join("gcc.tar")).unwrap();
    sandbox
        .write("big.c", source)
        .write("Dockerfile", "FROM scratch\nADD gcc.tar /\nCOPY big.c /\nRUN gcc -c /big.c\n");
    let finished = build(&sandbox, &TIERS[..1]);
    assert_killed(&finished, "cc1");
    assert!(finished.stderr.contains("exit code: 1"), "the driver ends with 1, not 137: {}", finished.stderr);
}

#[test]
fn a_parent_like_cargo_survives_and_ends_with_101() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base(
        "RUN dd if=/dev/zero of=/dev/null bs=192M count=1 || \
         { echo 'error: could not compile `big` (lib)'; echo '  (signal: 9, SIGKILL: kill)'; exit 101; }",
    );
    let finished = build(&sandbox, &TIERS[..1]);
    assert_killed(&finished, "dd");
    assert!(finished.stderr.contains("exit code: 101"), "{}", finished.stderr);
}

#[test]
fn a_test_that_is_named_like_it_fails_by_itself() {
    fails_by_itself(
        "RUN echo 'test oom_killed_test ... FAILED'; echo 'Out of memory: Killed process 1 (test)'; exit 101",
    );
}

#[test]
fn a_step_that_prints_killed_fails_by_itself() {
    fails_by_itself("RUN echo Killed; exit 1");
}

#[test]
fn a_step_that_prints_buildkits_words_fails_by_itself() {
    fails_by_itself("RUN echo 'x did not complete successfully: cannot allocate memory' >&2; exit 12");
}

#[test]
fn exit_137_fails_by_itself() {
    fails_by_itself("RUN exit 137");
}

#[test]
fn a_child_that_kills_itself_fails_by_itself() {
    fails_by_itself("RUN sh -c 'kill -9 $$'; code=$?; echo \"ended with $code\"; exit $code");
}

#[test]
fn an_own_limit_of_memory_fails_by_itself() {
    fails_by_itself("RUN ulimit -v 65536; dd if=/dev/zero of=/dev/null bs=192M count=1");
}

#[test]
fn a_full_tmpfs_fails_by_itself() {
    fails_by_itself("RUN --mount=type=tmpfs,target=/t,size=1m dd if=/dev/zero of=/t/x bs=1M count=8");
}

#[test]
fn a_full_disk_fails_by_itself() {
    let sandbox = Sandbox::new();
    sandbox.dockerfile_on_base("RUN dd if=/dev/zero of=/x bs=1M count=200");
    let disk = SmallDisk::mount(&sandbox.path().join("cache"), "96m");
    let finished = start(&sandbox, &TIERS, "--progress=plain").wait_unchecked();
    // The check for leftovers would find this mount.
    drop(disk);
    sandbox.assert_nothing_left(&finished.stdout);
    assert!(finished.stderr.to_lowercase().contains("no space left on device"), "{}", finished.stderr);
    assert_own_failure(&finished);
}

/// A cgroup of this test's own, beside every lease.
struct OtherGroup(PathBuf);

impl OtherGroup {
    fn new(limit: &str) -> Self {
        let (root, file) = memory_hierarchy();
        let dir = root.join(format!("lian-test-other-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join(file), limit).unwrap();
        Self(dir)
    }

    /// Lets the kernel kill a process in it.
    async fn kill_one(&self) {
        let script = "echo $$ > \"$1/cgroup.procs\"; exec dd if=/dev/zero of=/dev/null bs=128M count=1";
        let output = Cmd::new("sh", ErrorKind::Build).args(["-c", script, "sh"]).arg(&self.0).output().await.unwrap();
        assert_eq!(output.code, 137, "the kernel kills it: {}", output.stderr_text());
    }
}

impl Drop for OtherGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The hierarchy with the memory controller, and the name of its limit.
fn memory_hierarchy() -> (PathBuf, &'static str) {
    let v1 = PathBuf::from("/sys/fs/cgroup/memory");
    if v1.is_dir() { (v1, "memory.limit_in_bytes") } else { (PathBuf::from("/sys/fs/cgroup"), "memory.max") }
}

#[tokio::test]
async fn a_kill_of_another_process_of_the_machine_is_nothing() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN {}; exit 137", gate.wait()));
    let mut running = start(&sandbox, &TIERS, "--progress=quiet");
    let step = gate.reached(&mut running);
    OtherGroup::new("16M").kill_one().await;
    step.open();
    assert_own_failure(&running.wait());
}

#[tokio::test]
async fn buildkitd_itself_is_killed_and_the_build_moves_to_the_next_tier() {
    let sandbox = Sandbox::new();
    let gate = Gate::new();
    sandbox.dockerfile_on_base(&format!("RUN {}; yes 'a line of output' | head -n 1000000", gate.wait()));
    let mut running = start(&sandbox, &TIERS, "--progress=quiet");
    let step = gate.reached(&mut running);
    starve_runner(&sandbox);
    // What waited there may be gone with its runner.
    drop(step);
    gate.reached(&mut running).open();
    let envelope: Value = running.wait().assert_code(0).envelope();
    let attempts = envelope["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{envelope}");
    assert_eq!(attempts[0]["oom"]["verdict"], "proven", "{envelope}");
    assert_eq!(attempts[0]["oom"]["victim"], "buildkitd", "{envelope}");
    assert_eq!(attempts[1]["runner_type"], "middle", "{envelope}");
}

/// Leaves the runner's own processes what they hold now and 2 MB more.
fn starve_runner(sandbox: &Sandbox) {
    let leases = sandbox.path().join("cache/lian-build/leases");
    let lease: LeaseId = std::fs::read_dir(leases)
        .unwrap()
        .find_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .expect("a lease has its directory");
    let (root, limit) = memory_hierarchy();
    let group = root.join("lian-build").join(lease.as_str()).join("runner");
    let usage = if limit == "memory.max" { "memory.current" } else { "memory.usage_in_bytes" };
    // v1: what can be reclaimed is, so that only what is needed counts.
    let _ = std::fs::write(group.join("memory.force_empty"), "0");
    let used: u64 = std::fs::read_to_string(group.join(usage)).unwrap().trim().parse().unwrap();
    std::fs::write(group.join(limit), (used + (2 << 20)).to_string()).unwrap();
}
