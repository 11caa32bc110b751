//! [`Victim`]: a command that runs, or has been killed, and what it has said.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command};
use std::thread::JoinHandle;

use rustix::process::Signal;

use super::way::{in_namespace, namespace_of, signal_all};
use crate::support::Sandbox;

/// A build that runs, or has been killed.
pub(super) struct Victim {
    pub(super) child: Child,
    pub(super) home: Sandbox,
    /// The mount namespace of the command, and of all it starts but the runner.
    pub(super) namespace: u64,
    /// Reads on what it says, once some of it was waited for.
    reader: Option<JoinHandle<String>>,
    /// Keeps the namespace's number from being another's as soon as all its processes are gone.
    _namespace: Option<File>,
}

impl Drop for Victim {
    /// Only a test that fails comes here with something alive.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            signal_all(&in_namespace(self.namespace), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Victim {
    /// Starts a command made by [`Site::command`].
    pub(super) fn start(command: &mut Command, home: Sandbox) -> Self {
        let child = command.spawn().unwrap();
        let mut victim = Self { child, home, namespace: 0, reader: None, _namespace: None };
        let own = namespace_of(i32::try_from(std::process::id()).unwrap());
        // The first thing it does.
        loop {
            match namespace_of(victim.pid()) {
                namespace if namespace == own => std::thread::yield_now(),
                Some(namespace) => {
                    victim.namespace = namespace;
                    victim._namespace = Some(File::open(format!("/proc/{}/ns/mnt", victim.pid())).unwrap());
                    return victim;
                }
                None => panic!("it ended at once: {:?}", victim.child.wait()),
            }
        }
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Where a lease stands on record; `none` when nothing is.
    pub(super) fn state(&self) -> &'static str {
        let (records, _) = lian_build::lease::Journal::new(&self.home.state()).read().unwrap();
        records.first().map_or("none", |found| found.record.state.name())
    }

    /// What is on record in its home.
    pub(super) fn records(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.home.state().join("leases")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Deletes the home with everything that is in it; temporary files are the machine's.
    pub(super) fn delete_home(&self) {
        for name in ["home", "state", "cache", "config"] {
            std::fs::remove_dir_all(self.home.path().join(name)).unwrap();
        }
    }

    /// Reads what it says until a line holds `text`.
    pub(super) fn wait_for(&mut self, text: &str) {
        let mut lines = BufReader::new(self.child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("`{text}` never came: {seen:#?}")).unwrap();
            let is_it = line.contains(text);
            seen.push(line);
            if is_it {
                break;
            }
        }
        // What it says later must not block it.
        self.reader = Some(std::thread::spawn(move || {
            seen.extend(lines.map_while(Result::ok));
            seen.join("\n")
        }));
    }

    /// All that it ever said. No process of it may live any more.
    pub(super) fn said(&mut self) -> String {
        let mut said = self.reader.take().map(|reader| reader.join().unwrap()).unwrap_or_default();
        for stream in [
            self.child.stdout.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read>),
            self.child.stderr.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read>),
        ]
        .into_iter()
        .flatten()
        {
            let mut bytes = Vec::new();
            let _ = BufReader::new(stream).read_to_end(&mut bytes);
            said.push_str(&String::from_utf8_lossy(&bytes));
        }
        said
    }
}
