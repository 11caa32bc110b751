//! [`RunnerSign`]: by what a runner is seen that outlives the process which leased it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lease::Holder;

/// By what a runner is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::provider) enum RunnerSign {
    /// Its first process, named as one that holds a lease is, where it is one of this machine: exact, whatever became of who made
    /// it.
    Process(Holder),
    /// The lease's directory, which goes once the runner is verified gone: where its processes are not to be seen from here.
    Dir(PathBuf),
}

impl RunnerSign {
    /// True while the runner is there, and where that cannot be judged from here.
    pub(in crate::provider) fn is_seen(&self) -> bool {
        match self {
            Self::Process(process) => !process.is_gone(),
            Self::Dir(dir) => dir.symlink_metadata().is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_while_it_lives_and_a_directory_while_it_stands() {
        let here = Holder::current().unwrap();
        assert!(RunnerSign::Process(here.clone()).is_seen());
        let (start, ticks) = here.to_string().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let gone: Holder = format!("{start}.{}", ticks.parse::<u64>().unwrap() + 1).parse().unwrap();
        let earlier: Holder = format!("{}{}", "0".repeat(12), &here.to_string()[12..]).parse().unwrap();
        for none in [gone, earlier] {
            assert!(!RunnerSign::Process(none).is_seen());
        }
        let mut parts: Vec<String> = here.to_string().split('.').map(str::to_owned).collect();
        "1".clone_into(&mut parts[1]);
        let elsewhere: Holder = parts.join(".").parse().unwrap();
        assert!(RunnerSign::Process(elsewhere).is_seen(), "it is of another PID namespace, and may live");
        let dir = tempfile::tempdir().unwrap();
        let sign = RunnerSign::Dir(dir.path().to_owned());
        assert!(sign.is_seen());
        drop(dir);
        assert!(!sign.is_seen());
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for sign in [RunnerSign::Process(Holder::current().unwrap()), RunnerSign::Dir("/run/x".into())] {
            let text = serde_json::to_string(&sign).unwrap();
            assert_eq!(serde_json::from_str::<RunnerSign>(&text).unwrap(), sign);
        }
    }
}
