//! That `plan` has no side effect, needs neither network nor a place to write, and ends when it is told to.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lian_build::ids::{Actor, RunId};
use lian_build::record::{AttemptRecord, Metrics, SqliteStore, StateStore as _};
use lian_build::report::envelope::Outcome;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Running, Sandbox};

/// Directives of the same workspace.
const DIRECTIVES: &str = "let D = import \"defaults/build_directives.ncl\" in
D.make_session_build { workspace = \"context\", actor_id = \"tester\", artifact = { image = \"r.example/app:1\", context = \"context\" } }
";

/// A project of a workspace that was built often enough for its history to decide the size.
async fn project_with_history() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n").write("Cargo.toml", "[package]\nname = \"x\"\n");
    sandbox.write(".build-spec.ncl", "{ schema_version = 1, time_budget_min = 10 }");
    sandbox.policy("{ caps = { concurrent_leases = 9, runner_type = \"cax41\" }, push_to = [\"r.example\"] }");
    sandbox.write("ci/directives.ncl", DIRECTIVES);
    let store = SqliteStore::new(&sandbox.state());
    for second in 0..6 {
        let metrics = Metrics { cpu_p95: 1.0, mem_p95: 1.0, mem_peak: 1.0 };
        let record = AttemptRecord {
            run_id: RunId::new(),
            workspace: "context".parse().unwrap(),
            platform: format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
            build_kind: "dockerfile".to_owned(),
            actor: Actor::Human,
            attempt: 1,
            runner_type: "cax11".to_owned(),
            cpu: 2.0,
            memory_gb: 4.0,
            outcome: Outcome::Succeeded,
            metrics: Some(metrics),
            cost: None,
            seconds: 1.0,
            at: jiff::Timestamp::from_second(1_700_000_000 + second).unwrap(),
        };
        store.record(record).await.unwrap();
    }
    sandbox
}

/// What can be seen of one file or directory: what a write would change.
type Seen = (u32, u64, (i64, i64), Vec<u8>);

fn snapshot(directory: &Path, into: &mut BTreeMap<PathBuf, Seen>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        if metadata.is_dir() {
            snapshot(&path, into);
        }
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        into.insert(path, (metadata.mode(), metadata.ino(), changed, content));
    }
}

fn snapshot_of(sandbox: &Sandbox) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    snapshot(sandbox.path(), &mut seen);
    assert!(seen.keys().any(|path| path.ends_with("history.sqlite")), "{:?}", seen.keys());
    seen
}

#[tokio::test]
async fn a_plan_leaves_everything_as_it_was() {
    let sandbox = project_with_history().await;
    let output = format!("type=oci,dest={}", sandbox.path().join("image.tar").display());
    let before = snapshot_of(&sandbox);
    for arguments in [
        &[][..],
        &["-t", "r.example/app:1", "--nats-url", "nats://127.0.0.1:9", "--events-file", "events.jsonl"],
        &["-o", &output, "--iidfile", "id", "--metadata-file", "metadata"],
        &["--provider", "nobody"],
        &["--directives", "context/ci/directives.ncl"],
        &["-t", "elsewhere.example/app:1"],
    ] {
        let command = ["plan", "context", "--format=json"].iter().chain(arguments);
        let document = sandbox.run(command).envelope();
        if document["exit_code"] == 0 {
            assert_eq!(document["plan"]["sizing"]["source"], "p95", "history was not read: {document}");
        }
        let after = snapshot_of(&sandbox);
        let changed: Vec<_> = before.iter().filter(|(path, seen)| after.get(*path) != Some(*seen)).collect();
        assert!(changed.is_empty(), "changed by {arguments:?}: {changed:?}");
        assert_eq!(after.len(), before.len(), "made by {arguments:?}: {:?}", after.keys());
    }
}

/// Makes every file system of a namespace of its own unwritable, sees to it that they are, and goes on there.
const READ_ONLY: &str = r#"
cut -d' ' -f2 /proc/self/mounts | while read -r place; do mount -o remount,bind,ro "$place" 2>/dev/null; done
for place in "$1" /tmp /run; do
  if touch "$place/probe" 2>/dev/null; then echo "$place can be written to" >&2; exit 99; fi
done
if [ "$(ls /sys/class/net)" != lo ] && ip route get 192.0.2.1 2>/dev/null; then echo "there is a network" >&2; exit 98; fi
shift
exec "$@"
"#;

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "tests start the command as a user would")]
async fn a_plan_needs_no_network_and_no_place_to_write() {
    let sandbox = project_with_history().await;
    let plain = sandbox.command();
    let mut command = Command::new("unshare");
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["--mount", "--net", "sh", "-c", READ_ONLY, "sh"])
        .arg(sandbox.path())
        .arg(plain.get_program())
        .args(["plan", "context", "--format=json", "-t", "r.example/app:1", "--nats-url", "nats://192.0.2.1:4222"])
        .current_dir(sandbox.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let document = sandbox.start(&mut command).wait().assert_code(0).envelope();
    assert_eq!(document["warnings"], json!([]));
    assert_eq!(document["plan"]["sizing"]["source"], "p95", "{document}");
    assert_eq!(document["plan"]["sizing"]["time_budget_min"], 10, "the spec was evaluated");
    assert_eq!(document["plan"]["logins"][0]["state"], "unknown (offline)");
    assert_eq!(document["plan"]["policy"]["files"].as_array().map(Vec::len), Some(1), "the policy was read");
}

/// Starts a plan that goes on for seconds, and waits until it has come to the question for the workspace's name.
fn start_a_long_plan(sandbox: &Sandbox) -> Running<'_> {
    sandbox.write("Dockerfile", "FROM scratch\n").write(".git/HEAD", "");
    sandbox.write(".build-spec.ncl", "let rec f = fun x => f (x + 1) in f 0");
    let (programs, pipe) = (sandbox.path().join("programs"), sandbox.path().join("pipe"));
    std::fs::create_dir(&programs).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let git = programs.join("git");
    std::fs::write(&git, format!("#!/bin/sh\n: > {}\n", pipe.display())).unwrap();
    std::fs::set_permissions(&git, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = sandbox.command();
    command.args(["plan", "context", "--format=json"]);
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()));
    let running = sandbox.start(&mut command);
    // Waits for the other side.
    std::fs::File::open(&pipe).unwrap();
    running
}

#[test]
fn a_signal_ends_a_plan_with_one_result() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let sandbox = Sandbox::new();
        let running = start_a_long_plan(&sandbox);
        running.signal(signal);
        let finished = running.wait_unchecked();
        // `git` was killed, and its end is the kernel's business.
        sandbox.assert_nothing_left_soon(&finished.stdout);
        let document = finished.assert_code(code).envelope();
        assert_eq!(document["schema"], "lian-build/plan/v1");
        assert_eq!(document["status"], "cancelled");
        assert_eq!(document["error"]["kind"], "cancelled");
        assert_eq!(document["plan"], json!(null));
    }
}
