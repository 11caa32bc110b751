//! The verdict over readings made by hand.

use super::*;
use crate::lease::CgroupVersion;
use crate::solve::oom::parse;

fn failure(outcome: &str) -> FailureFacts {
    let error_text = format!("process \"/bin/sh -c make\" did not complete successfully: {outcome}");
    FailureFacts { error_text, step: Some("RUN make".to_owned()), ..FailureFacts::default() }
}

fn judge_v2(before: &str, after: &str, failure: &FailureFacts, shared: bool) -> Judgement {
    let memory = MemoryLimit::Cgroup { version: CgroupVersion::V2, parent: "/lb-1/build".to_owned(), bytes: 1 << 30 };
    let isolation = if shared { Isolation::None } else { Isolation::Vm };
    let read = |lines: &str| parse(format!("lian-oom=1\n{lines}\nend=1\n").as_bytes());
    judge(true, &read(before), Some(&read(after)), failure, RunnerFacts { memory: &memory, shared, isolation })
}

#[test]
fn buildkits_own_word_is_proof_without_any_counter() {
    let memory = MemoryLimit::None { reason: "rootless".to_owned() };
    let runner = RunnerFacts { memory: &memory, shared: true, isolation: Isolation::None };
    for text in [
        "process \"/bin/sh -c make\" did not complete successfully: cannot allocate memory",
        "error: failed to solve: ResourceExhausted: process \"x\" did not complete successfully: cannot allocate memory",
    ] {
        let failure = FailureFacts { error_text: text.to_owned(), ..FailureFacts::default() };
        assert_eq!(judge(true, &Counters::default(), None, &failure, runner).verdict, Verdict::Proven, "{text}");
    }
    for text in [
        "error: failed to solve: ResourceExhausted: write /x: no space left on device",
        "process \"/bin/sh -c echo did not complete successfully: cannot allocate memory\" did not complete successfully: exit code: 1",
        "process \"/bin/sh -c echo cannot allocate memory\" did not complete successfully: exit code: 1",
        "cannot allocate memory",
    ] {
        let failure = FailureFacts { error_text: text.to_owned(), ..FailureFacts::default() };
        assert_eq!(judge(true, &Counters::default(), None, &failure, runner).verdict, Verdict::NotMemory, "{text}");
    }
}

#[test]
fn the_leases_own_counter_is_proof_on_a_shared_machine_too() {
    let judgement = judge_v2(
        "v2.oom_kill=0",
        "v2.oom_kill=1\nv2.peak=1073741824\nv2.limit=1073741824",
        &failure("exit code: 2"),
        true,
    );
    assert_eq!(judgement.verdict, Verdict::Proven);
    assert_eq!(
        judgement.evidence,
        ["`oom_kill` of the build's cgroup went from 0 to 1", "memory peaked at 1 GB of 1 GB"]
    );
    assert_eq!(judgement.step.as_deref(), Some("RUN make"));
}

#[test]
fn the_leases_own_counter_at_rest_overrules_the_machines() {
    let judgement = judge_v2(
        "v2.oom_kill=0\nvmstat.oom_kill=3",
        "v2.oom_kill=0\nvmstat.oom_kill=4",
        &failure("exit code: 137"),
        true,
    );
    assert_eq!(judgement.verdict, Verdict::NotMemory, "{judgement:?}");
}

#[test]
fn the_leases_group_counts_buildkitd_too() {
    let dead = "buildkitd.pid=7\nbuildkitd.alive=no";
    let before = "v2.oom_kill=0\nv2.lease.oom_kill=0\nvmstat.oom_kill=3\nbuildkitd.pid=7\nbuildkitd.alive=yes";
    let after = format!("v2.oom_kill=0\nv2.lease.oom_kill=1\nvmstat.oom_kill=4\n{dead}");
    let judgement = judge_v2(before, &after, &failure("exit code: 1"), true);
    assert_eq!(judgement.verdict, Verdict::Proven, "{judgement:?}");
    assert_eq!(judgement.evidence, ["`oom_kill` of the lease's cgroup went from 0 to 1"]);
    // At rest it says so of buildkitd, which then ended otherwise.
    let after = format!("v2.oom_kill=0\nv2.lease.oom_kill=0\nvmstat.oom_kill=4\n{dead}");
    let judgement = judge_v2(before, &after, &failure("exit code: 137"), true);
    assert_eq!(judgement.verdict, Verdict::NotMemory, "{judgement:?}");
}

#[test]
fn kills_that_the_log_does_not_name_are_a_gap() {
    const LOG: &str = "kmsg.first=0\nkmsg.last=9\nkmsg.complete=yes";
    const FOREIGN: &str =
        "kmsg.line=6;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/lb-2,task_memcg=/lb-2,task=cc1,pid=9,uid=0";
    const SIZE: &str = "total-vm:3kB, anon-rss:2kB, file-rss:1kB";
    let before = "kmsg.first=0\nkmsg.last=5\nkmsg.complete=yes\nvmstat.oom_kill=3";
    let verdict = |after: &str| judge_v2(before, &format!("{LOG}\n{after}"), &failure("exit code: 137"), true).verdict;
    let named = format!("kmsg.line=7;Memory cgroup out of memory: Killed process 9 (cc1) {SIZE}");
    assert_eq!(verdict(&format!("vmstat.oom_kill=4\n{FOREIGN}\n{named}")), Verdict::NotMemory);
    // The counter grew by more than the log tells of.
    assert_eq!(verdict(&format!("vmstat.oom_kill=5\n{FOREIGN}\n{named}")), Verdict::Suspected);
    // A kill whose group stands in no line, as when the kernel limits how often it says so.
    let unnamed = named.replace("process 9", "process 10");
    assert_eq!(verdict(&format!("{FOREIGN}\n{named}\n{unnamed}")), Verdict::Suspected);
}

#[test]
fn another_daemon_with_the_same_process_id_is_not_ours() {
    let line =
        "kmsg.line=6;oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/other,task=buildkitd,pid=7,uid=0";
    let daemon = "kmsg.complete=yes\nbuildkitd.pid=7\nbuildkitd.alive=yes";
    let judgement = judge_v2(
        &format!("kmsg.first=0\nkmsg.last=5\n{daemon}"),
        &format!("kmsg.first=0\nkmsg.last=6\n{daemon}\n{line}"),
        &failure("exit code: 1"),
        true,
    );
    assert_eq!(judgement.verdict, Verdict::NotMemory, "{judgement:?}");
}

#[test]
fn a_counter_that_misses_the_steps_below_says_nothing_by_standing_still() {
    let judgement = judge_v2(
        "v2.oom_kill=0\nv2.hierarchical=no\nvmstat.oom_kill=3",
        "v2.oom_kill=0\nv2.hierarchical=no\nvmstat.oom_kill=4",
        &failure("exit code: 137"),
        true,
    );
    assert_eq!(judgement.verdict, Verdict::Suspected, "{judgement:?}");
}

#[test]
fn a_build_that_stood_still_ran_out_of_memory_without_a_kill() {
    let stalled = FailureFacts { stalled: Some(Standstill::Quiet(300)), ..FailureFacts::default() };
    let quiet = "vmstat.oom_kill=0";
    let judgement = judge_v2(quiet, quiet, &stalled, false);
    assert_eq!(judgement.verdict, Verdict::Stalled);
    assert_eq!(judgement.evidence, ["no output for 300 s while memory pressure was near 100 %"]);
    let silent = FailureFacts { stalled: Some(Standstill::Silent(90)), ..FailureFacts::default() };
    let judgement = judge_v2(quiet, quiet, &silent, false);
    assert_eq!(judgement.verdict, Verdict::Stalled);
    assert!(
        judgement.evidence[0]
            .starts_with("the runner could not be reached for 90 s while its provider said that it runs")
    );
    // What the kernel says is worth more.
    assert_eq!(judge_v2(quiet, "vmstat.oom_kill=1", &stalled, false).verdict, Verdict::Proven);
}

#[test]
fn a_kill_with_the_whole_machine_out_of_memory_is_the_leases_when_the_process_is() {
    let log = |group: &str| {
        format!(
            "kmsg.first=0\nkmsg.last=6\nkmsg.complete=yes\nkmsg.line=6;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),\
             cpuset=/,mems_allowed=0,global_oom,task_memcg={group},task=cc1,pid=9,uid=0"
        )
    };
    let before = "kmsg.first=0\nkmsg.last=5\nkmsg.complete=yes";
    let own = judge_v2(before, &log("/lb-1/build/buildkit/x"), &failure("exit code: 1"), true);
    assert_eq!((own.verdict, own.victim.as_deref()), (Verdict::Proven, Some("cc1")));
    let foreign = judge_v2(before, &log("/lb-2/build/buildkit/x"), &failure("exit code: 1"), true);
    assert_eq!((foreign.verdict, foreign.victim), (Verdict::NotMemory, None));
}

#[test]
fn the_leases_group_is_the_one_that_bears_its_name() {
    let lease = "lb-019aa3c1d2e87f00a1b2c3d4e5f60718";
    for (parent, group) in [
        (format!("/lian-build/{lease}/build"), format!("/lian-build/{lease}")),
        (format!("/{lease}"), format!("/{lease}")),
        ("/buildkit".to_owned(), "/buildkit".to_owned()),
    ] {
        let memory = MemoryLimit::Cgroup { version: CgroupVersion::V1, parent, bytes: 1 };
        let runner = RunnerFacts { memory: &memory, shared: true, isolation: Isolation::None };
        assert_eq!(runner.own_group(), Some(group.as_str()));
    }
}

#[test]
fn a_process_name_cannot_drive_the_terminal() {
    let after = "kmsg.first=0\nkmsg.last=6\nkmsg.complete=yes\nkmsg.line=6;oom-kill:constraint=CONSTRAINT_MEMCG,\
         oom_memcg=/lb-1/build,task_memcg=/lb-1/build,task=\u{1b}[2Jx,pid=9,uid=0";
    let judgement = judge_v2("kmsg.first=0\nkmsg.last=5\nkmsg.complete=yes", after, &failure("exit code: 1"), true);
    assert_eq!(judgement.verdict, Verdict::Proven);
    assert!(!format!("{judgement:?}{}", judgement.evidence.join("")).contains('\u{1b}'));
}
