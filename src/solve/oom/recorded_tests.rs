//! The verdict over recorded builds: `tests/fixtures/oom/record` made them with real kills by a real kernel.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::lease::{CgroupVersion, Isolation, MemoryLimit};

/// The group of the lease in every recording: `v2_*` are from a kernel with cgroup v2, the others from one with v1.
const GROUP: &str = "/lb-019aa3c1d2e87f00a1b2c3d4e5f60718/build";
const LIMIT: u64 = 256 << 20;

/// One recorded build.
struct Recorded {
    before: Vec<u8>,
    after: Vec<u8>,
    failed: bool,
    failure: FailureFacts,
    version: CgroupVersion,
}

impl Recorded {
    fn of(shape: &str) -> Self {
        let file = |name: &str| {
            let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/oom", shape, name].iter().collect();
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let stderr = String::from_utf8(file("stderr.txt")).unwrap();
        let error_text = stderr.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>().join("\n");
        let failure = FailureFacts { error_text, last_lines: stderr, ..FailureFacts::default() };
        Self {
            before: file("before.txt"),
            after: file("after.txt"),
            failed: file("exit_code.txt") != b"0\n",
            failure,
            version: if shape.starts_with("v2_") { CgroupVersion::V2 } else { CgroupVersion::V1 },
        }
    }

    /// The reading after the build, without the lines whose key starts with one of `keys`.
    fn without(mut self, keys: &[&str]) -> Self {
        let text = String::from_utf8(self.after).unwrap();
        let kept = text.split_inclusive('\n').filter(|line| !keys.iter().any(|key| line.starts_with(key)));
        self.after = kept.collect::<String>().into_bytes();
        self
    }

    fn judge(&self, shared: bool) -> Judgement {
        let memory = self.limit();
        let isolation = if shared { Isolation::None } else { Isolation::Vm };
        let runner = RunnerFacts { memory: &memory, shared, isolation };
        judge(self.failed, &parse(&self.before), Some(&parse(&self.after)), &self.failure, runner)
    }

    fn limit(&self) -> MemoryLimit {
        MemoryLimit::Cgroup { version: self.version, parent: GROUP.to_owned(), bytes: LIMIT }
    }

    fn judge_without_answer(&self) -> Judgement {
        let memory = self.limit();
        let runner = RunnerFacts { memory: &memory, shared: true, isolation: Isolation::None };
        judge(self.failed, &parse(&self.before), None, &self.failure, runner)
    }
}

/// Failed builds in which the kernel killed a process of the lease, and its name.
const KILLED: [(&str, &str); 8] = [
    ("direct", "awk"),
    ("child_of_shell", "awk"),
    ("cc1", "cc1"),
    ("cargo_rustc", "rustc"),
    ("like_cargo", "awk"),
    ("buildkitd_killed", "buildkitd"),
    ("v2_direct", "dd"),
    ("v2_like_cargo", "dd"),
];

/// Failed builds in which it did not.
const NOT_KILLED: [&str; 9] = [
    "test_named_oom",
    "prints_killed",
    "prints_no_memory",
    "exit_137",
    "kills_itself",
    "ulimit",
    "full_tmpfs",
    "full_disk",
    "v2_exit_137",
];

#[test]
fn a_kill_of_the_lease_is_proven_by_name() {
    for (shape, victim) in KILLED {
        let judgement = Recorded::of(shape).judge(true);
        assert_eq!(judgement.verdict, Verdict::Proven, "{shape}: {judgement:?}");
        assert_eq!(judgement.victim.as_deref(), Some(victim), "{shape}");
        let evidence = judgement.evidence.join("\n");
        assert!(evidence.contains(&format!("killed `{victim}` (pid ")), "{shape}: {evidence}");
        assert!(judgement.limit_bytes.is_some(), "{shape}");
    }
}

#[test]
fn the_peak_of_a_killed_step_is_the_limit() {
    let judgement = Recorded::of("cc1").judge(true);
    assert_eq!(judgement.peak_bytes, Some(LIMIT));
    assert!(judgement.evidence.contains(&"memory peaked at 256 MB of 256 MB".to_owned()), "{:?}", judgement.evidence);
}

#[test]
fn everything_else_is_not_memory_whatever_it_prints() {
    for shape in NOT_KILLED {
        for shared in [true, false] {
            let judgement = Recorded::of(shape).judge(shared);
            assert_eq!(judgement.verdict, Verdict::NotMemory, "{shape}, shared {shared}: {judgement:?}");
            assert_eq!(judgement.victim, None, "{shape}");
        }
    }
}

#[test]
fn a_kill_elsewhere_on_a_shared_machine_is_nothing() {
    for shape in ["another_process", "v2_another_process"] {
        let judgement = Recorded::of(shape).judge(true);
        assert_eq!(judgement.verdict, Verdict::NotMemory, "{judgement:?}");
        assert_eq!(judgement.victim, None);
        assert!(judgement.evidence.iter().any(|line| line.contains("none of this build")), "{:?}", judgement.evidence);
    }
}

#[test]
fn on_a_machine_of_its_own_any_kill_counts() {
    let judgement = Recorded::of("another_process").judge(false);
    assert_eq!(judgement.verdict, Verdict::Proven, "{judgement:?}");
    // Also where only the machine's counter can be read.
    let judgement = Recorded::of("child_of_shell").without(&["kmsg", "v1"]).judge(false);
    assert_eq!(judgement.verdict, Verdict::Proven, "{judgement:?}");
    assert_eq!(judgement.victim, None);
}

#[test]
fn with_cgroup_v2_the_groups_own_counter_is_enough_without_the_kernels_log_and_buildkits_word() {
    for shape in ["v2_direct", "v2_like_cargo"] {
        let mut recorded = Recorded::of(shape).without(&["kmsg", "vmstat"]);
        recorded.failure = FailureFacts::default();
        assert_eq!(recorded.judge(true).verdict, Verdict::Proven, "{shape}");
    }
    for shape in ["v2_exit_137", "v2_another_process"] {
        let recorded = Recorded::of(shape).without(&["kmsg", "vmstat"]);
        assert_eq!(recorded.judge(true).verdict, Verdict::NotMemory, "{shape}");
    }
}

#[test]
fn a_swallowed_kill_is_a_success_with_a_warning() {
    for (shape, victim) in [("swallowed", "`awk`"), ("v2_swallowed", "`dd`")] {
        let judgement = Recorded::of(shape).judge(true);
        assert_eq!(judgement.verdict, Verdict::NotMemory);
        assert!(judgement.warning.as_deref().is_some_and(|warning| warning.contains(victim)), "{judgement:?}");
    }
}

#[test]
fn a_success_beside_a_foreign_kill_has_no_warning() {
    let recorded = Recorded { failed: false, ..Recorded::of("another_process") };
    assert_eq!(recorded.judge(true).warning, None);
}

#[test]
fn without_the_kernels_log_a_sigkill_is_suspected_when_the_machine_killed_something() {
    for shape in ["direct", "cc1", "cargo_rustc", "like_cargo", "another_process"] {
        let judgement = Recorded::of(shape).without(&["kmsg"]).judge(true);
        assert_eq!(judgement.verdict, Verdict::Suspected, "{shape}: {judgement:?}");
        assert!(judgement.evidence.len() >= 2, "the sign and the gap: {:?}", judgement.evidence);
    }
    // The shell says nothing of a SIGKILL: there is no sign.
    let judgement = Recorded::of("child_of_shell").without(&["kmsg"]).judge(true);
    assert_eq!(judgement.verdict, Verdict::NotMemory, "{judgement:?}");
}

#[test]
fn without_the_kernels_log_the_machines_counter_still_says_that_nothing_was_killed() {
    for shape in NOT_KILLED {
        let judgement = Recorded::of(shape).without(&["kmsg"]).judge(true);
        assert_eq!(judgement.verdict, Verdict::NotMemory, "{shape}: {judgement:?}");
    }
}

#[test]
fn where_nothing_can_be_read_only_a_sigkill_is_suspected() {
    for shape in ["direct", "cc1", "cargo_rustc", "exit_137", "kills_itself"] {
        assert_eq!(Recorded::of(shape).judge_without_answer().verdict, Verdict::Suspected, "{shape}");
    }
    for shape in ["test_named_oom", "prints_killed", "prints_no_memory", "ulimit", "full_tmpfs", "full_disk"] {
        assert_eq!(Recorded::of(shape).judge_without_answer().verdict, Verdict::NotMemory, "{shape}");
    }
}

#[test]
fn a_log_that_lost_messages_of_the_build_does_not_say_that_nothing_was_killed() {
    let mut recorded = Recorded::of("direct").without(&["kmsg.line", "kmsg.first"]);
    let text = String::from_utf8(recorded.after).unwrap().replace("kmsg.last=", "kmsg.first=400\nkmsg.last=");
    recorded.after = text.into_bytes();
    let judgement = recorded.judge(true);
    assert_eq!(judgement.verdict, Verdict::Suspected, "{judgement:?}");
    assert!(judgement.evidence.iter().any(|line| line.contains("no longer in the kernel's log")));
}

#[test]
fn kills_from_before_the_build_do_not_count() {
    let mut recorded = Recorded::of("direct");
    recorded.before = recorded.after.clone();
    let judgement = recorded.judge(true);
    assert_eq!(judgement.verdict, Verdict::NotMemory, "{judgement:?}");
}

#[test]
fn a_restarted_runner_has_no_comparable_counters() {
    let mut recorded = Recorded::of("direct");
    let text = String::from_utf8(recorded.before).unwrap().replace("boot_id=", "boot_id=another-");
    recorded.before = text.into_bytes();
    let judgement = recorded.judge(true);
    assert_eq!(judgement.verdict, Verdict::Suspected, "{judgement:?}");
    assert!(judgement.evidence.iter().any(|line| line.contains("restarted")));
}

#[test]
fn a_reading_cut_off_anywhere_is_never_taken_for_no_kill() {
    let whole = Recorded::of("direct");
    for end in 0..whole.after.len() {
        let cut = Recorded { after: whole.after[..end].to_vec(), ..Recorded::of("direct") };
        assert!(cut.judge(true).verdict.is_memory(), "cut after {end} bytes");
    }
}

#[test]
fn a_full_disk_is_said() {
    let judgement = Recorded::of("full_disk").judge(true);
    assert!(judgement.disk_full);
    assert!(judgement.evidence.iter().any(|line| line.contains("disk")), "{:?}", judgement.evidence);
    assert!(!Recorded::of("direct").judge(true).disk_full);
}
