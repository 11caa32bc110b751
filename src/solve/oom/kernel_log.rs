//! [`KernelLog`]: the kernel's own messages about processes that it killed for memory.

use std::collections::BTreeMap;

/// The part of the kernel's log that one reading saw. "No kill" can only be said of a log without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelLog {
    /// Why part of the log, or all of it, is missing; `None` when it was read to its end.
    pub gap: Option<String>,
    /// Number of the oldest message still there.
    pub first: Option<u64>,
    /// Number of the newest message: where the next reading starts.
    pub last: Option<u64>,
    /// The kills since the number that the reading was asked to start after.
    pub kills: Vec<Kill>,
    /// Numbers of the messages about killed processes whose group no message names.
    pub unnamed: Vec<u64>,
}

impl Default for KernelLog {
    fn default() -> Self {
        Self {
            gap: Some("the kernel's log was not read".to_owned()),
            first: None,
            last: None,
            kills: Vec::new(),
            unnamed: Vec::new(),
        }
    }
}

impl KernelLog {
    /// Whether this reading saw every message after `before`'s end.
    ///
    /// # Errors
    /// With the reason why something may be missing.
    pub(super) fn covers_since(&self, before: &Self) -> Result<(), String> {
        if let Some(gap) = &self.gap {
            return Err(gap.clone());
        }
        let Some(since) = before.last else {
            return Err("it is not known where the kernel's log ended before the build".to_owned());
        };
        match (self.first, self.last) {
            (Some(first), Some(last)) if first <= since.saturating_add(1) && last >= since => Ok(()),
            _ => Err("messages from the time of the build are no longer in the kernel's log".to_owned()),
        }
    }
}

/// One process killed for memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Number of the message.
    pub number: u64,
    /// The process's name, at most 15 bytes and chosen by the process: foreign text.
    pub task: String,
    /// Its process id as the machine's first namespace counts.
    pub pid: u32,
    /// The cgroup whose limit was hit; `None` when the whole machine had no memory left.
    pub limited_group: Option<String>,
    /// The cgroup that the process was in.
    pub task_group: String,
    /// Memory of its own that it held, in bytes, when the kernel says so.
    pub anon_bytes: Option<u64>,
}

impl Kill {
    /// Reads `number;text` lines: an `oom-kill:` line makes a kill, the `Killed process` line after it adds the size.
    pub(super) fn all(lines: &[&str]) -> Vec<Self> {
        let mut kills: Vec<Self> = Vec::new();
        let mut sizes = BTreeMap::new();
        for (number, text) in lines.iter().filter_map(|line| line.split_once(';')) {
            if let Ok(number) = number.parse()
                && let Some(kill) = Self::from_line(number, text)
            {
                kills.push(kill);
            } else if let Some((pid, bytes)) = size(text) {
                sizes.insert(pid, bytes);
            }
        }
        for kill in &mut kills {
            kill.anon_bytes = sizes.get(&kill.pid).copied();
        }
        kills
    }

    /// `oom-kill:constraint=…,oom_memcg=GROUP,task_memcg=GROUP,task=NAME,pid=N,uid=N`, with `global_oom` instead of
    /// `oom_memcg` when no group's limit was hit. The name may hold commas: it is cut from both ends.
    fn from_line(number: u64, text: &str) -> Option<Self> {
        let fields = text.strip_prefix("oom-kill:")?;
        let (head, rest) = fields.split_once(",task_memcg=")?;
        let (task_group, rest) = rest.split_once(",task=")?;
        let (rest, _uid) = rest.rsplit_once(",uid=")?;
        let (task, pid) = rest.rsplit_once(",pid=")?;
        Some(Self {
            number,
            task: task.to_owned(),
            pid: pid.parse().ok()?,
            limited_group: head.split_once(",oom_memcg=").map(|(_, group)| group.to_owned()),
            task_group: task_group.to_owned(),
            anon_bytes: None,
        })
    }

    /// True when the process, or the limit that it hit, belongs to `group`, a path below the hierarchy's root.
    ///
    /// The kernel writes paths from the machine's root. Seen from inside a container the same group has a shorter
    /// path, so `group` may also stand in the middle.
    pub(super) fn is_within(&self, group: &str) -> bool {
        let names = |path: &str| {
            !group.trim_matches('/').is_empty()
                && path.match_indices(group).any(|(at, found)| {
                    path.get(at + found.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
        };
        group.starts_with('/') && (names(&self.task_group) || self.limited_group.as_deref().is_some_and(names))
    }
}

/// The numbers of `Killed process` lines without an `oom-kill:` line: the kernel limits how often it writes the latter.
pub(super) fn unnamed(lines: &[&str], kills: &[Kill]) -> Vec<u64> {
    let killed = lines.iter().filter_map(|line| {
        let (number, text) = line.split_once(';')?;
        let (pid, _) = size(text)?;
        let number: u64 = number.parse().ok()?;
        (!text.starts_with("oom-kill:") && kills.iter().all(|kill| kill.pid != pid)).then_some(number)
    });
    killed.collect()
}

/// Process id and own memory of `… Killed process 42 (name) total-vm:1kB, anon-rss:2kB, …`.
fn size(text: &str) -> Option<(u32, u64)> {
    let (_, rest) = text.split_once("Killed process ")?;
    let (pid, rest) = rest.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(" anon-rss:")?;
    let (kilobytes, _) = rest.split_once("kB")?;
    Some((pid.parse().ok()?, kilobytes.parse::<u64>().ok()?.checked_mul(1024)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(groups: &str, task: &str) -> String {
        format!(
            "7;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,{groups},task={task},pid=42,uid=0"
        )
    }

    fn kill(groups: &str, task: &str) -> Kill {
        let line = line(groups, task);
        Kill::all(&[&line]).pop().unwrap()
    }

    #[test]
    fn a_name_may_look_like_the_line_around_it() {
        for name in ["a,task=b", "x,pid=1,uid=0", ",", "(sd-pam)", "a b"] {
            let kill = kill("oom_memcg=/lease,task_memcg=/lease/step", name);
            assert_eq!((kill.task.as_str(), kill.pid), (name, 42));
            assert_eq!(kill.task_group, "/lease/step");
        }
    }

    #[test]
    fn the_whole_machine_has_no_limited_group() {
        let kill = kill("global_oom,task_memcg=/lease/step", "cc1");
        assert_eq!(kill.limited_group, None);
        assert!(kill.is_within("/lease"));
    }

    #[test]
    fn a_group_is_matched_by_whole_names() {
        let kill = kill("oom_memcg=/lb-1/build,task_memcg=/lb-1/build/buildkit/x", "cc1");
        for group in ["/lb-1", "/lb-1/build", "/build/buildkit"] {
            assert!(kill.is_within(group), "{group}");
        }
        for group in ["/lb-2", "/lb", "/lb-1/bui", "lb-1", "/", "", "//"] {
            assert!(!kill.is_within(group), "{group}");
        }
    }

    #[test]
    fn inside_a_container_the_lease_is_the_end_of_the_path() {
        let kill = kill("oom_memcg=/docker/f00/lb-1/build,task_memcg=/docker/f00/lb-1/build/buildkit/x", "cc1");
        assert!(kill.is_within("/lb-1/build"));
    }

    #[test]
    fn the_size_belongs_to_the_process_id() {
        let first = line("oom_memcg=/a,task_memcg=/a", "cc1");
        let lines = [
            "6;Out of memory: Killed process 41 (cc1) total-vm:9kB, anon-rss:9kB, file-rss:0kB",
            &first,
            "8;Memory cgroup out of memory: Killed process 42 (anon-rss:1kB,) total-vm:3kB, anon-rss:2kB, file-rss:1kB",
        ];
        let kills = Kill::all(&lines);
        assert_eq!(unnamed(&lines, &kills), [6]);
        assert_eq!(kills.last().unwrap().anon_bytes, Some(2048));
    }

    #[test]
    fn broken_lines_are_left_out() {
        for line in [
            "",
            ";",
            "7;oom-kill:",
            "x;oom-kill:,task_memcg=/a,task=b,pid=1,uid=0",
            "7;oom-kill:,task_memcg=/a,task=b,pid=z,uid=0",
        ] {
            assert_eq!(Kill::all(&[line]), [], "{line}");
        }
    }
}
