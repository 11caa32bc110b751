//! [`Counters`]: one reading of the runner's memory evidence.

use std::collections::BTreeMap;

use super::kernel_log::{self, KernelLog, Kill};

/// A limit at or above this is none: cgroup v1 writes the largest number of whole pages.
const UNLIMITED: u64 = 1 << 60;

/// One reading. What could not be read is `None`; a reading of which nothing arrived is [`Counters::default`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Changes when the runner restarts: then no number of an earlier reading can be compared.
    pub boot_id: Option<String>,
    /// Processes killed for memory on the whole machine since its start, by any limit.
    pub vmstat_oom_kill: Option<u64>,
    /// The machine's memory, in bytes.
    pub memory_total_bytes: Option<u64>,
    /// What of it could be had without swapping, in bytes.
    pub memory_available_bytes: Option<u64>,
    /// The build's cgroup, where the hierarchy is v1 and the group exists.
    pub v1: Option<CgroupV1>,
    /// The build's cgroup, where the hierarchy is v2 and the group exists.
    pub v2: Option<CgroupV2>,
    /// The kernel's messages about kills.
    pub kernel_log: KernelLog,
    /// Whether buildkitd lives.
    pub daemon: Daemon,
    /// The disk below BuildKit's root.
    pub disk: Option<DiskSpace>,
}

/// A cgroup of a v1 hierarchy. Its `oom_kill` counts the group alone, so it misses the steps below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupV1 {
    /// `memory.limit_in_bytes`; `None` when unlimited.
    pub limit_bytes: Option<u64>,
    /// `memory.max_usage_in_bytes`, which counts page cache too.
    pub peak_bytes: Option<u64>,
    /// How often the limit was hit, here and in BuildKit's own group below.
    pub failcnt: u64,
    /// Kills counted here and in BuildKit's own group below.
    pub oom_kill: u64,
}

/// A cgroup of the v2 hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupV2 {
    /// `memory.max`; `None` when unlimited.
    pub limit_bytes: Option<u64>,
    /// `memory.peak`, which counts page cache too; `None` before Linux 5.19.
    pub peak_bytes: Option<u64>,
    /// `oom_kill` of `memory.events`: the group and, when `hierarchical`, everything below it.
    pub oom_kill: u64,
    /// `oom_kill` of `memory.events.local`: processes directly in the group.
    pub local_oom_kill: u64,
    /// `oom_kill` of `memory.events` of the lease's group, which is above and holds buildkitd too; `None` where there is no
    /// such group.
    pub lease_oom_kill: Option<u64>,
    /// False where cgroups are mounted with `memory_localevents`: then a step's kill does not show here.
    pub hierarchical: bool,
}

/// Whether buildkitd lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Daemon {
    /// No pid file, or no answer.
    #[default]
    Unknown,
    /// It runs.
    Alive {
        /// Its process id, as its own machine or container counts.
        pid: u32,
        /// When it started, in clock ticks after the machine's start: tells it from a successor with the same id.
        started: Option<u64>,
    },
    /// Its process is gone.
    Dead {
        /// The process id that it had.
        pid: u32,
    },
}

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Its size.
    pub total_bytes: u64,
    /// What is free.
    pub free_bytes: u64,
    /// Free inodes; `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
}

impl DiskSpace {
    /// True when nothing more can be written, give or take a few blocks.
    pub fn is_full(&self) -> bool {
        self.total_bytes > 0
            && (self.free_bytes <= (1 << 20).min(self.total_bytes / 100) || self.free_inodes == Some(0))
    }
}

/// Reads the script's output. Anything unknown or broken in it is left out: it comes from the runner, which a build
/// step may own.
pub fn parse(output: &[u8]) -> Counters {
    let text = String::from_utf8_lossy(output);
    // A line without its end was cut off on the way: half a number is a wrong number.
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    if lines.next() != Some("lian-oom=1") {
        return Counters::default();
    }
    let mut values = BTreeMap::new();
    let mut kernel_lines = Vec::new();
    for (key, value) in lines.filter_map(|line| line.split_once('=')) {
        if key == "kmsg.line" {
            kernel_lines.push(value);
        } else {
            values.entry(key).or_insert(value);
        }
    }
    let values = Values(values);
    Counters {
        boot_id: values.text("boot_id"),
        vmstat_oom_kill: values.number("vmstat.oom_kill"),
        memory_total_bytes: values.kilobytes("memory.total_kb"),
        memory_available_bytes: values.kilobytes("memory.available_kb"),
        v1: values.v1(),
        v2: values.v2(),
        kernel_log: values.kernel_log(&kernel_lines),
        daemon: values.daemon(),
        disk: values.disk(),
    }
}

/// The script's `key=value` lines.
struct Values<'a>(BTreeMap<&'a str, &'a str>);

impl Values<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).filter(|value| !value.is_empty()).map(|value| (*value).to_owned())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.trim().parse().ok()
    }

    fn kilobytes(&self, key: &str) -> Option<u64> {
        self.number(key)?.checked_mul(1024)
    }

    fn limit(&self, key: &str) -> Option<u64> {
        self.number(key).filter(|limit| *limit < UNLIMITED)
    }

    fn sum(&self, keys: [&str; 2]) -> u64 {
        keys.iter().filter_map(|key| self.number(key)).fold(0, u64::saturating_add)
    }

    fn v1(&self) -> Option<CgroupV1> {
        self.number("v1.limit")?;
        Some(CgroupV1 {
            limit_bytes: self.limit("v1.limit"),
            peak_bytes: self.number("v1.peak"),
            failcnt: self.sum(["v1.failcnt", "v1.child.failcnt"]),
            oom_kill: self.sum(["v1.oom_kill", "v1.child.oom_kill"]),
        })
    }

    fn v2(&self) -> Option<CgroupV2> {
        Some(CgroupV2 {
            oom_kill: self.number("v2.oom_kill")?,
            limit_bytes: self.limit("v2.limit"),
            peak_bytes: self.number("v2.peak"),
            local_oom_kill: self.number("v2.local.oom_kill").unwrap_or(0),
            lease_oom_kill: self.number("v2.lease.oom_kill"),
            hierarchical: self.text("v2.hierarchical").as_deref() != Some("no"),
        })
    }

    fn kernel_log(&self, lines: &[&str]) -> KernelLog {
        let complete = self.text("kmsg.complete").as_deref() == Some("yes");
        // Without the last line the output was cut off on its way.
        let arrived = self.text("end").as_deref() == Some("1");
        let gap = match (self.text("kmsg.unreadable"), self.text("kmsg.incomplete")) {
            (Some(reason), _) => Some(reason),
            (None, _) if complete && arrived => None,
            (None, Some(reason)) => Some(format!("only part of /dev/kmsg could be read: {reason}")),
            (None, None) => Some("the reading did not arrive as a whole".to_owned()),
        };
        let kills = Kill::all(lines);
        let unnamed = kernel_log::unnamed(lines, &kills);
        KernelLog { gap, first: self.number("kmsg.first"), last: self.number("kmsg.last"), kills, unnamed }
    }

    fn daemon(&self) -> Daemon {
        let pid = self.number("buildkitd.pid").and_then(|pid| u32::try_from(pid).ok());
        match (pid, self.text("buildkitd.alive").as_deref()) {
            (Some(pid), Some("yes")) => Daemon::Alive { pid, started: self.number("buildkitd.started") },
            (Some(pid), Some("no")) => Daemon::Dead { pid },
            _ => Daemon::Unknown,
        }
    }

    fn disk(&self) -> Option<DiskSpace> {
        Some(DiskSpace {
            total_bytes: self.kilobytes("disk.total_kb")?,
            free_bytes: self.kilobytes("disk.free_kb")?,
            // File systems without a table of inodes say 0 of 0.
            free_inodes: self
                .number("disk.total_inodes")
                .filter(|total| *total > 0)
                .and_then(|_| self.number("disk.free_inodes")),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_version_is_no_reading() {
        assert_eq!(parse(b"lian-oom=2\nvmstat.oom_kill=3\nend=1\n"), Counters::default());
        assert_eq!(parse(b""), Counters::default());
    }

    #[test]
    fn a_reading_with_cgroup_v2() {
        let counters = parse(
            b"lian-oom=1\nv2.limit=max\nv2.peak=12\nv2.oom_kill=3\nv2.local.oom_kill=1\nv2.lease.oom_kill=4\n\
              v2.hierarchical=no\nend=1\n",
        );
        let expected = CgroupV2 {
            limit_bytes: None,
            peak_bytes: Some(12),
            oom_kill: 3,
            local_oom_kill: 1,
            lease_oom_kill: Some(4),
            hierarchical: false,
        };
        assert_eq!(counters.v2, Some(expected));
    }

    #[test]
    fn no_limit_is_none() {
        let counters = parse(b"lian-oom=1\nv1.limit=9223372036854771712\nv1.peak=5\nend=1\n");
        assert_eq!(counters.v1.unwrap().limit_bytes, None);
    }

    #[test]
    fn a_disk_without_inodes_is_full_by_bytes_alone() {
        let disk = |text: &str| parse(format!("lian-oom=1\n{text}\n").as_bytes()).disk.unwrap();
        assert!(!disk("disk.total_kb=1000000\ndisk.free_kb=500000\ndisk.total_inodes=0\ndisk.free_inodes=0").is_full());
        assert!(disk("disk.total_kb=1000000\ndisk.free_kb=0").is_full());
        assert!(disk("disk.total_kb=1000000\ndisk.free_kb=500000\ndisk.total_inodes=9\ndisk.free_inodes=0").is_full());
    }

    #[test]
    fn a_reading_that_did_not_end_has_a_gap_in_the_log() {
        let whole = b"lian-oom=1\nkmsg.first=0\nkmsg.last=9\nkmsg.complete=yes\nend=1\n";
        assert_eq!(parse(whole).kernel_log.gap, None);
        assert!(parse(&whole[..whole.len() - 1]).kernel_log.gap.is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(output in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut told = b"lian-oom=1\n".to_vec();
            told.extend(&output);
            parse(&output);
            parse(&told);
        }

        #[test]
        fn any_values_are_taken(lines in proptest::collection::vec(
            ("(boot_id|vmstat.oom_kill|v1.(limit|peak|failcnt)|v2.(limit|oom_kill)|kmsg.(line|first|last|complete)|buildkitd.(pid|alive)|disk.(total|free)_kb|end)", "[0-9]{0,25}|yes|no|;|-1|9;oom-kill:.{0,20}"),
            0..30,
        )) {
            let text = lines.iter().fold("lian-oom=1\n".to_owned(), |text, (key, value)| text + key + "=" + value + "\n");
            parse(text.as_bytes());
        }
    }
}
