//! [`judge`]: compares two readings. Pure.

use super::counters::{Counters, Daemon};
use super::judgement::{Judgement, Verdict};
use super::kernel_log::Kill;
use super::standstill::Standstill;
use crate::ids::LeaseId;
use crate::lease::{Endpoint, Isolation, MemoryLimit};
use crate::{sanitise, units};

/// How the build failed, as BuildKit reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureFacts {
    /// BuildKit's own words: the failing vertex's error and buildctl's last `error:` line. Never a step's output.
    pub error_text: String,
    /// The failing step's exit code, where BuildKit names one.
    pub exit_code: Option<i32>,
    /// The step that failed, as it stands in the Dockerfile.
    pub step: Option<String>,
    /// The last lines that the failing step printed. They only count where the kernel cannot be asked.
    pub last_lines: String,
    /// Set when the solve was ended because it stood still for want of memory.
    pub stalled: Option<Standstill>,
    /// True when the build's log could not be written to its end: the disk was full then, whatever it has by now.
    pub log_was_cut: bool,
}

/// What the verdict must know of the runner.
#[derive(Debug, Clone, Copy)]
pub struct RunnerFacts<'a> {
    /// How the tier's memory is enforced, which names the build's cgroup.
    pub memory: &'a MemoryLimit,
    /// True when others use the machine too: then only the lease's own evidence counts.
    pub shared: bool,
    /// How far the runner is apart.
    pub isolation: Isolation,
}

impl<'a> From<&'a Endpoint> for RunnerFacts<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        Self { memory: &endpoint.memory, shared: endpoint.shared, isolation: endpoint.isolation }
    }
}

impl RunnerFacts<'_> {
    /// The cgroup that only this lease's processes are in: the build's, or the one above it that bears the lease's
    /// name, which also holds buildkitd and what it starts.
    fn own_group(&self) -> Option<&str> {
        let MemoryLimit::Cgroup { parent, .. } = self.memory else { return None };
        let bears_the_lease = |name: &str| name.parse::<LeaseId>().is_ok();
        let end = parent
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([parent.len()])
            .find(|end| parent.get(..*end).and_then(|path| path.rsplit('/').next()).is_some_and(bears_the_lease));
        parent.get(..end.unwrap_or(parent.len()))
    }

    /// True when nothing else runs on the machine, so that its own counters speak of this lease.
    fn is_own_machine(&self) -> bool {
        !self.shared && self.isolation == Isolation::Vm
    }
}

/// What the kernel says about the time between two readings.
#[derive(Debug, Default)]
struct KernelWord {
    /// Sentences that say that a process of this lease was killed for memory. Any one is proof.
    kills: Vec<String>,
    /// The first process that was killed.
    victim: Option<String>,
    /// Why it is certain that none was killed; `None` when that cannot be said.
    none: Option<String>,
    /// What could not be read.
    gaps: Vec<String>,
}

/// Was it memory? `before` was read before the solve started, `after` when buildctl had ended (`None` when the runner
/// did not answer any more).
///
/// A failed build with the kernel's word that a process of **this** lease was killed for memory is proven. On a shared
/// machine the kills of others are nothing. Where the kernel can be asked, text never decides.
pub fn judge(
    build_failed: bool,
    before: &Counters,
    after: Option<&Counters>,
    failure: &FailureFacts,
    runner: RunnerFacts<'_>,
) -> Judgement {
    let word = kernel_word(before, after, runner);
    let disk_full = failure.log_was_cut || after.and_then(|after| after.disk).is_some_and(|disk| disk.is_full());
    let (peak_bytes, limit_bytes) = memory_use(after, runner);
    let mut judgement = Judgement {
        verdict: Verdict::NotMemory,
        step: failure.step.as_deref().map(sanitise::line),
        victim: word.victim,
        evidence: Vec::new(),
        peak_bytes,
        limit_bytes,
        warning: None,
        disk_full,
    };
    if !build_failed {
        judgement.warning = (!word.kills.is_empty()).then(|| swallowed(judgement.victim.as_deref()));
        judgement.evidence = word.kills;
        return judgement;
    }
    let mut proof = word.kills;
    if failure.buildkit_says_memory() {
        proof.push("BuildKit reports `cannot allocate memory` for the step".to_owned());
    }
    if !proof.is_empty() {
        judgement.verdict = Verdict::Proven;
        judgement.evidence = proof;
        judgement.evidence.extend(limit_sentence(peak_bytes, limit_bytes));
    } else if let Some(stalled) = failure.stalled {
        judgement.verdict = Verdict::Stalled;
        judgement.evidence.push(stalled.evidence());
    } else if let (Some(sign), None) = (failure.sigkill_sign(), &word.none) {
        judgement.verdict = Verdict::Suspected;
        judgement.evidence.push(sign);
        judgement.evidence.extend(word.gaps);
    } else {
        judgement.evidence.extend(word.none);
    }
    if disk_full {
        judgement.evidence.push("the runner's disk is full, which is not memory".to_owned());
    }
    judgement
}

/// What the kernel says about the time between the two readings.
fn kernel_word(before: &Counters, after: Option<&Counters>, runner: RunnerFacts<'_>) -> KernelWord {
    let mut word = KernelWord::default();
    let Some(after) = after else {
        word.gaps.push("the runner's counters could not be read after the build".to_owned());
        return word;
    };
    if before.boot_id.is_some() && after.boot_id.is_some() && before.boot_id != after.boot_id {
        word.gaps.push("the runner was restarted during the build".to_owned());
        return word;
    }
    log_word(&mut word, before, after, runner);
    counter_word(&mut word, before, after, runner);
    word
}

/// The kernel's log: kills with the victim's name and cgroup.
fn log_word(word: &mut KernelWord, before: &Counters, after: &Counters, runner: RunnerFacts<'_>) {
    let since = before.kernel_log.last.unwrap_or(u64::MAX);
    let (own, foreign): (Vec<&Kill>, Vec<&Kill>) = after
        .kernel_log
        .kills
        .iter()
        .filter(|kill| kill.number > since)
        .partition(|kill| belongs_to_lease(kill, before, after, runner));
    word.victim = own.first().map(|kill| sanitise::line(&kill.task));
    word.kills.extend(own.iter().map(|kill| kill_sentence(kill)));
    let named = u64::try_from(own.len() + foreign.len()).unwrap_or(u64::MAX);
    let counted =
        after.vmstat_oom_kill.zip(before.vmstat_oom_kill).map_or(0, |(after, before)| after.saturating_sub(before));
    let is_any_unnamed = counted > named || after.kernel_log.unnamed.iter().any(|number| *number > since);
    match after.kernel_log.covers_since(&before.kernel_log) {
        Ok(()) if is_any_unnamed => {
            word.gaps.push("the kernel killed processes for memory that its log does not name".to_owned());
        }
        // Without a cgroup of the lease's own, nobody can tell whose process a killed one was.
        Ok(()) if own.is_empty() && (foreign.is_empty() || runner.own_group().is_some()) => {
            word.none = Some(match foreign.len() {
                0 => "the kernel killed nothing for memory on this machine".to_owned(),
                count => {
                    format!("the kernel killed {count} other processes of this machine for memory, none of this build")
                }
            });
        }
        Ok(()) => word.gaps.push("the kernel's log does not say whose process was killed".to_owned()),
        Err(reason) => word.gaps.push(reason),
    }
}

/// The counters: the lease's own cgroup, and the machine's where the lease has it for itself.
fn counter_word(word: &mut KernelWord, before: &Counters, after: &Counters, runner: RunnerFacts<'_>) {
    let group_before = before.v2.map_or(0, |group| group.oom_kill) + before.v1.map_or(0, |group| group.oom_kill);
    let group_after = after.v2.map_or(0, |group| group.oom_kill) + after.v1.map_or(0, |group| group.oom_kill);
    if group_after > group_before {
        word.kills.push(format!("`oom_kill` of the build's cgroup went from {group_before} to {group_after}"));
    }
    let lease = |counters: &Counters| counters.v2.and_then(|group| group.lease_oom_kill);
    let lease = lease(before).zip(lease(after));
    if let Some((lease_before, lease_after)) = lease
        && lease_after > lease_before
        && group_after == group_before
    {
        word.kills.push(format!("`oom_kill` of the lease's cgroup went from {lease_before} to {lease_after}"));
    }
    let daemon_is_gone = daemon_is_gone(before.daemon, after.daemon);
    // The build's group alone does not tell what became of buildkitd.
    let is_lease_at_rest = lease.map_or(!daemon_is_gone, |(before, after)| before == after);
    if after.v2.is_some_and(|group| group.hierarchical) && group_after == group_before && is_lease_at_rest {
        word.none.get_or_insert_with(|| "`oom_kill` of the build's cgroup did not grow".to_owned());
    }
    match (before.vmstat_oom_kill, after.vmstat_oom_kill) {
        (Some(before), Some(after)) if after > before && runner.is_own_machine() => {
            word.kills.push(format!("`oom_kill` in /proc/vmstat of the runner went from {before} to {after}"));
            if daemon_is_gone {
                word.kills.push("buildkitd is gone".to_owned());
            }
        }
        (Some(before), Some(after)) if after == before => {
            word.none.get_or_insert_with(|| "`oom_kill` in /proc/vmstat did not grow".to_owned());
        }
        (Some(_), Some(_)) => {}
        _ => word.gaps.push("/proc/vmstat could not be read".to_owned()),
    }
}

/// Whether the killed process is one of this lease: in its cgroup, or on a machine of its own any, or its buildkitd. That
/// one's process id is of the runner's PID namespace, and the kernel's log has the machine's: with the same id it is
/// ours only if ours is gone.
fn belongs_to_lease(kill: &Kill, before: &Counters, after: &Counters, runner: RunnerFacts<'_>) -> bool {
    let is_daemon = matches!(before.daemon, Daemon::Alive { pid, .. } if pid == kill.pid)
        && kill.task == "buildkitd"
        && daemon_is_gone(before.daemon, after.daemon);
    runner.is_own_machine() || is_daemon || runner.own_group().is_some_and(|group| kill.is_within(group))
}

fn daemon_is_gone(before: Daemon, after: Daemon) -> bool {
    matches!(before, Daemon::Alive { .. })
        && matches!(after, Daemon::Dead { .. } | Daemon::Alive { .. })
        && before != after
}

fn kill_sentence(kill: &Kill) -> String {
    let held = kill.anon_bytes.map_or_else(String::new, |bytes| format!(", which held {}", units::bytes(bytes)));
    let limit = match &kill.limited_group {
        Some(group) => format!("the limit of cgroup `{}` was hit", sanitise::line(group)),
        None => "the machine had no memory left".to_owned(),
    };
    format!("the kernel killed `{}` (pid {}{held}): {limit}", sanitise::line(&kill.task), kill.pid)
}

fn swallowed(victim: Option<&str>) -> String {
    let victim = victim.map_or_else(|| "a process of the build".to_owned(), |name| format!("`{name}`"));
    format!("the kernel killed {victim} for memory, and the build succeeded all the same: check what it made")
}

fn limit_sentence(peak: Option<u64>, limit: Option<u64>) -> Option<String> {
    Some(format!("memory peaked at {} of {}", units::bytes(peak?), units::bytes(limit?)))
}

/// Peak and limit of the build's cgroup.
fn memory_use(after: Option<&Counters>, runner: RunnerFacts<'_>) -> (Option<u64>, Option<u64>) {
    let v1 = after.and_then(|after| after.v1);
    let v2 = after.and_then(|after| after.v2);
    let said = match runner.memory {
        MemoryLimit::Cgroup { bytes, .. } => Some(*bytes),
        MemoryLimit::None { .. } => None,
    };
    let read = v1.and_then(|group| group.limit_bytes).or(v2.and_then(|group| group.limit_bytes));
    (v1.and_then(|group| group.peak_bytes).or(v2.and_then(|group| group.peak_bytes)), read.or(said))
}

impl FailureFacts {
    /// BuildKit looks into the step's own `memory.events` (v2) and then reports ENOMEM instead of the exit code. The
    /// step's command stands in the same line and may say anything, so only what follows it counts. A full disk is
    /// `ResourceExhausted` too.
    fn buildkit_says_memory(&self) -> bool {
        self.error_text.lines().any(|line| {
            line.rsplit_once("did not complete successfully: ")
                .is_some_and(|(_, outcome)| outcome.trim_end() == "cannot allocate memory")
        })
    }

    /// A sentence when the step was ended by SIGKILL, or says that a child of it was.
    fn sigkill_sign(&self) -> Option<String> {
        /// What cargo, GCC's driver, its linker front end and Go print of a child that was killed.
        const SIGNS: [&str; 4] = [
            "signal: 9, SIGKILL: kill",
            "Killed signal terminated program",
            "terminated with signal 9",
            "signal: killed",
        ];
        let exit_137 = self.exit_code == Some(137)
            || self.error_text.lines().any(|line| {
                line.rsplit_once("did not complete successfully: ")
                    .is_some_and(|(_, outcome)| outcome.trim_end() == "exit code: 137")
            });
        if exit_137 {
            return Some("the step ended with exit code 137 (SIGKILL)".to_owned());
        }
        SIGNS
            .iter()
            .find(|sign| self.last_lines.contains(*sign))
            .map(|sign| format!("the step printed `{sign}` of a child process"))
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
