//! Memory that runs out on a machine with one hierarchy of control groups: a step's, the whole machine's, and one that is there
//! and does not help.

use std::time::Duration;

use serde_json::Value;

use super::cloud::GuestCloud;
use super::world::{Door, figure};

fn attempts(envelope: &Value) -> &[Value] {
    envelope["attempts"].as_array().unwrap()
}

/// The kernel killed the step's `dd`, and BuildKit says so too.
#[track_caller]
fn assert_killed(attempt: &Value, because: &str) {
    assert_eq!((&attempt["outcome"], &attempt["released"]), (&"oom".into(), &true.into()), "{attempt}");
    let oom = &attempt["oom"];
    assert_eq!((&oom["verdict"], &oom["victim"]), (&"proven".into(), &"dd".into()), "{attempt}");
    let evidence = oom["evidence"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>();
    for (start, part) in [
        ("the kernel killed `dd` (pid ", because),
        ("`oom_kill` of the build's cgroup went from 0 to ", ""),
        ("`oom_kill` in /proc/vmstat of the runner went from 0 to ", ""),
        ("BuildKit reports `cannot allocate memory`", ""),
        ("memory peaked at ", ""),
    ] {
        assert!(
            evidence.iter().any(|line| line.starts_with(start) && line.contains(part)),
            "{start}…{part}: {evidence:#?}"
        );
    }
}

#[test]
#[ignore = "minutes in a machine without acceleration: ci/faults guest"]
fn a_step_that_is_killed_is_saved_by_the_next_machine() {
    let cloud = GuestCloud::new();
    // The first machine's steps have 512 MB, the second one's 1.5 GB.
    cloud.sandbox.dockerfile_on_base(
        "RUN dd if=/dev/zero of=/dev/null bs=800M count=1\nRUN echo built >/built\nFROM scratch\nCOPY --from=0 /built /",
    );
    let out = cloud.sandbox.path().join("out");
    let mut build = cloud.build(&[("cx23", 1.0), ("cx33", 2.0)], "");
    build.arg("-o").arg(format!("type=local,dest={}", out.display()));
    let finished = cloud.finish(cloud.sandbox.start(&mut build), 0);
    let envelope = finished.envelope();
    assert_eq!(std::fs::read_to_string(out.join("built")).unwrap(), "built\n");
    let [first, second] = attempts(&envelope) else { panic!("not two attempts: {envelope}") };
    assert_killed(first, &format!("the limit of cgroup `/{}/build` was hit", first["lease_id"].as_str().unwrap()));
    assert_eq!((&first["runner_type"], &second["runner_type"]), (&"cx23".into(), &"cx33".into()), "{envelope}");
    assert_eq!((&second["outcome"], &second["isolation"]), (&"succeeded".into(), &"vm".into()), "{envelope}");
    assert!(second["oom"].is_null(), "{envelope}");
    cloud.assert_paid_and_gone(2);
    figure(&format!("a step killed for memory, and the build saved by the next machine: {} s in all", cloud.seconds()));
}

/// On the small machine: takes more than the machine has left, and less than the step may have. On the large one: goes round in
/// circles through files that fit into what is left of the step's memory but for some pages, so that each page that is read drops
/// the one that is needed next.
const HUNGRY: &str = r#"set -e
field() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }
if [ "$(field MemTotal)" -lt 3000000 ]; then
    echo "the step waits for its neighbour"
    until [ "$(field MemAvailable)" -lt 450000 ]; do sleep 1; done
    exec dd if=/dev/zero of=/dev/null bs=700M count=1
fi
mkdir /files
dd if=/dev/zero of=/files/hot bs=1M count=32
dd if=/dev/zero of=/files/cold bs=1M count=42
sync
fallocate -l 960M /hog/memory
for _ in 1 2 3 4; do cat /files/hot >/dev/null; done
for _ in 1 2 3 4 5; do
    (while :; do cat /files/hot /files/cold >/dev/null; done) &
done
echo "the step goes round in circles"
wait
"#;

/// What takes all but 400 MB of the machine, as something that is no build step would.
const NEIGHBOUR: &str = "mount -o remount,size=90% /dev/shm && \
     fallocate -l $(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) - 400 * 1024))K /dev/shm/neighbour";

/// Makes the disk of the lease's steps as slow as a cloud's can be: the guest's own is in its host's memory.
const SLOW_DISK: &str = "echo $(cat /sys/block/vda/dev) rbps=1048576 >/sys/fs/cgroup/lb-*/build/io.max";

/// What a shell line in the machine said last, before it was gone.
fn last_word(door: &Door, line: &str) -> String {
    let mut last = String::new();
    for _ in 0..300 {
        let said = door.ssh(line);
        if !said.status.success() {
            return last;
        }
        last = String::from_utf8_lossy(&said.stdout).into_owned();
        // Each look costs the machine a second.
        std::thread::sleep(Duration::from_secs(3));
    }
    panic!("it is still there: {last}");
}

#[test]
#[ignore = "minutes in a machine without acceleration: ci/faults guest"]
fn a_machine_without_memory_and_one_that_stands_still() {
    let cloud = GuestCloud::new();
    cloud.sandbox.write("hungry.sh", HUNGRY);
    cloud.sandbox.dockerfile_on_base("COPY hungry.sh /\nRUN --mount=type=tmpfs,target=/hog sh /hungry.sh");
    // The first machine's steps may have 768 MB and the second one's 1 GB. Without acceleration a machine that looks for its last
    // free page answers nobody for minutes.
    let mut build = cloud.build(&[("cx23", 1.25), ("cx33", 1.5)], ",60@stalled,900@reconnect");
    let mut running = cloud.sandbox.start(&mut build);
    running.wait_for("the step waits for its neighbour");
    cloud.door().says(NEIGHBOUR);
    running.wait_for("the step goes round in circles");
    let (door, circles) = (cloud.door(), cloud.seconds());
    door.says(SLOW_DISK);
    let pressure = last_word(&door, "grep full /sys/fs/cgroup/lb-*/build/memory.pressure");
    let stalled = cloud.seconds() - circles;
    let envelope = cloud.finish(running, 3).envelope();
    let [first, second] = attempts(&envelope) else { panic!("not two attempts: {envelope}") };
    assert_killed(first, "the machine had no memory left");
    assert_eq!((&second["outcome"], &second["released"]), (&"oom".into(), &true.into()), "{second}");
    assert_eq!(second["oom"]["verdict"], "stalled", "{second}");
    assert!(second["oom"]["evidence"].to_string().contains("while memory pressure was near 100 %"), "{second}");
    assert_eq!(envelope["error"]["kind"], "out_of_memory", "{envelope}");
    cloud.assert_paid_and_gone(2);
    figure(&format!(
        "a machine without memory, then one whose step stands still: {} s in all; stalled after {stalled} s with a minute's \
         patience, {}",
        cloud.seconds(),
        pressure.trim()
    ));
}
