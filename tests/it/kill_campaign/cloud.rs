//! [`Cloud`]: a simulated cloud that killed builds lease machines from: what all of them have, and what each has its own way.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lian_build::ids::LeaseId;
use lian_simulators::backend::Backend;
use lian_simulators::bill::Line;
use lian_simulators::core::Core;
use lian_simulators::faults::Fault;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::places::Passes;
use crate::support::{ContainerGuests, ServerContainers, SshdBackend, wait_until};

/// The size that is leased: what stands behind it is of this machine's architecture, and CI's is x86.
pub(super) const SIZE: &str = "cx23";

/// What stands behind the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machines {
    /// An `sshd`, behind which nothing is built: quick enough for many kills.
    Answer,
    /// A container that builds.
    Build,
}

/// A backend that can say what it has.
pub(super) trait Behind: Backend {
    fn all(&self) -> Vec<String>;
}

impl Behind for SshdBackend {
    fn all(&self) -> Vec<String> {
        self.all()
    }
}

impl Behind for ServerContainers {
    fn all(&self) -> Vec<String> {
        self.containers()
    }
}

impl Behind for ContainerGuests {
    fn all(&self) -> Vec<String> {
        self.containers()
    }
}

/// What every simulated cloud has beside its simulator.
pub(super) struct Common {
    pub(super) machines: Machines,
    pub(super) runtime: Runtime,
    behind: Arc<dyn Behind>,
    /// How long a request that a killed process sent is looked for, in seconds.
    look_limit: u64,
    /// How far the time of this cloud, and of all who use it, is ahead.
    ahead: Mutex<Duration>,
    others: Mutex<Others>,
    /// How many machines there had been at the last look.
    seen: Mutex<usize>,
}

/// What was there before the first kill: other people's.
#[derive(Debug, Default)]
struct Others {
    /// By the meter's ids.
    metered: BTreeSet<String>,
    things: BTreeSet<String>,
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("machines", &self.machines).finish_non_exhaustive()
    }
}

impl Common {
    pub(super) fn new(machines: Machines, behind: Arc<dyn Behind>, look_limit: u64) -> Self {
        crate::support::install_tls();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (ahead, others, seen) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { machines, runtime, behind, look_limit, ahead, others, seen }
    }
}

/// A simulated cloud.
pub(super) trait Cloud: fmt::Debug {
    fn common(&self) -> &Common;

    /// The simulator's clock, faults, log and meter.
    fn core(&self) -> &Core;

    /// Where a machine is asked for, with POST.
    fn asked_at(&self) -> &'static str;

    /// The place that only builds with this one pass.
    fn own_place(&self) -> Passes;

    /// Enough of its credential to be found, wherever it is.
    fn secret(&self) -> String;

    /// What a command needs in its environment.
    fn environment(&self) -> Vec<(&'static str, String)>;

    /// What it has of a lease, one line each, as long as that is there: nothing that changes meanwhile is in it.
    fn traces(&self, lease: &LeaseId) -> Vec<String>;

    /// How the machine of another's lease that lives is, but for its labels: those are renewed.
    fn look(&self, lease: &LeaseId) -> Vec<String>;

    /// All that there is, and that could be left whosever it is.
    fn things(&self) -> Vec<String>;

    /// The labels of a lease's machine.
    fn label(&self, lease: &LeaseId, label: &str) -> Option<String>;

    /// Notes what the plan of a build promises.
    fn promised(&self, plan: &Value);

    /// What was metered is what was promised, and the new machines were paid for so many hours.
    fn assert_paid(&self, metered: &[Line], new: &[&Line], hours: u64);

    /// What was paid, in words.
    fn paid_in_words(&self) -> String;

    /// Whether builds here pass such a place, and are to be killed at it.
    fn passes(&self, place: Passes) -> bool {
        match self.common().machines {
            Machines::Answer => place == Passes::AnyBuild || place == self.own_place(),
            // The rest is passed, and killed at where it is quicker.
            Machines::Build => matches!(place, Passes::AnyStep | Passes::KeptFailure),
        }
    }

    /// What a command here does otherwise than a user's: it is less patient with requests that got no answer, and its time is
    /// the cloud's.
    fn failpoints(&self) -> Vec<String> {
        let ahead = self.common().ahead.lock().unwrap().as_secs();
        vec![format!("{}@look", self.common().look_limit), format!("{ahead}@clock")]
    }

    /// Moves everybody's time forward.
    fn advance(&self, by: Duration) {
        *self.common().ahead.lock().unwrap() += by;
        self.core().clock.advance(by);
    }

    /// From here on builds are killed: what there is now is other people's.
    fn begins(&self, plan: &Value) {
        self.promised(plan);
        let metered = self.core().bill().lines.into_iter().map(|line| line.id).collect();
        *self.common().others.lock().unwrap() = Others { metered, things: all(self).collect() };
    }

    /// What is there beyond what others have.
    fn left(&self) -> Vec<String> {
        let others = self.common().others.lock().unwrap();
        all(self).filter(|thing| !others.things.contains(thing)).collect()
    }

    /// What the meter counted of the killed builds.
    fn metered(&self) -> Vec<Line> {
        let others = self.common().others.lock().unwrap();
        let lines = self.core().bill().lines;
        lines.into_iter().filter(|line| !others.metered.contains(&line.id)).collect()
    }

    /// How many machines were made for the killed builds.
    fn made(&self) -> usize {
        self.metered().iter().filter(|line| is_machine(line)).count()
    }

    /// Nothing is there any more of what was made, each machine was of a lease of its own, `most` of them are new since the last
    /// look, and all were paid for so many hours.
    #[track_caller]
    fn assert_gone(&self, most: usize, hours: u64) {
        let metered = self.metered();
        assert!(metered.iter().all(|line| line.deleted.is_some()), "its meter runs: {metered:#?}");
        let machines: Vec<&Line> = metered.iter().filter(|line| is_machine(line)).collect();
        let names: BTreeSet<&str> = machines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names.len(), machines.len(), "one lease had two machines: {names:?}");
        let mut seen = self.common().seen.lock().unwrap();
        let new = &machines[*seen..];
        assert!(new.len() <= most, "{most} at most: {new:#?}");
        self.assert_paid(&metered, new, hours);
        *seen = machines.len();
    }

    /// How often a machine was asked for.
    fn asked(&self) -> usize {
        self.core().audit.of("POST", self.asked_at()).len()
    }

    /// Puts something into the way of the next request for a machine.
    fn strike(&self, fault: Fault) {
        self.core().faults.script(fault.on("POST", self.asked_at()));
    }

    /// Waits until a request for a machine is here, and what stands in its way holds it.
    fn wait_for_request(&self, after: usize) {
        wait_until("a machine is asked for", || self.asked() > after);
    }
}

/// All that there is, and what stands behind it.
fn all<C: Cloud + ?Sized>(cloud: &C) -> impl Iterator<Item = String> {
    let behind = cloud.common().behind.all().into_iter().map(|id| format!("what stands behind a machine: {id}"));
    cloud.things().into_iter().chain(behind)
}

pub(super) fn is_machine(line: &Line) -> bool {
    line.kind == lian_simulators::bill::Kind::Server
}
