//! [`Fit`]: a tier cut to this machine.

use super::budget::gb;
use super::machine::Machine;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{GB, Tier};

/// Less than this is no runner: `buildkitd` alone needs a good part of it.
const LEAST: u64 = 128 << 20;

/// A tier cut to this machine.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::provider) struct Fit {
    /// Memory of the lease, in bytes.
    pub(in crate::provider) memory_bytes: u64,
    /// Memory of its build steps, in bytes.
    pub(in crate::provider) build_bytes: u64,
    /// CPUs.
    pub(in crate::provider) cpu: u32,
    /// What is good to know: fewer CPUs.
    pub(in crate::provider) notes: Vec<String>,
    /// What the result must say: less memory.
    pub(in crate::provider) warnings: Vec<String>,
}

impl Fit {
    /// Cuts `tier` to `machine`, of whose memory builds share `budget` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NoCapacity`] when the memory is more than the machine has and was asked for.
    pub(in crate::provider) fn new(tier: &Tier, machine: &Machine, budget: u64, explicit: bool) -> Result<Self> {
        let mut tier = tier.clone();
        let (mut notes, mut warnings) = (Vec::new(), Vec::new());
        let wanted = tier.memory_bytes();
        if wanted > budget {
            if explicit || budget < LEAST {
                return Err(Error::new(
                    ErrorKind::NoCapacity,
                    format!(
                        "`{}` has {} GB of memory, builds on {} can have {} of its {} GB",
                        tier.name,
                        gb(wanted),
                        machine.name,
                        gb(budget),
                        gb(machine.memory_bytes)
                    ),
                )
                .hint("choose a smaller runner type, or a provider with larger machines"));
            }
            warnings.push(format!(
                "memory is reduced from {} to {} GB: builds on {} can have no more",
                gb(wanted),
                gb(budget),
                machine.name
            ));
            tier.memory_gb = as_gb(budget);
        }
        let cpu = tier.cpu.min(machine.cpus);
        if cpu < tier.cpu {
            notes.push(format!("cpus are reduced from {} to {cpu}: {} has no more", tier.cpu, machine.name));
        }
        Ok(Self { memory_bytes: tier.memory_bytes(), build_bytes: tier.build_memory_bytes(), cpu, notes, warnings })
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^53")]
fn as_gb(bytes: u64) -> f64 {
    bytes as f64 / GB as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(memory_gb: f64) -> Tier {
        Tier { name: "t".to_owned(), cpu: 8, memory_gb, disk_gb: 1 }
    }

    const MACHINE: Machine = Machine { memory_bytes: 16 * GB, cpus: 2, name: "this machine" };

    #[test]
    fn cpus_are_reduced_with_a_note() {
        let fit = Fit::new(&tier(8.0), &MACHINE, 15 * GB, true).unwrap();
        assert_eq!((fit.cpu, fit.memory_bytes), (2, 8 * GB));
        assert_eq!(fit.notes, ["cpus are reduced from 8 to 2: this machine has no more"]);
    }

    #[test]
    fn memory_that_was_asked_for_is_refused_and_advice_is_reduced() {
        let error = Fit::new(&tier(32.0), &MACHINE, 15 * GB, true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCapacity);
        assert!(error.to_string().contains("32 GB") && error.to_string().contains("15 of its 16 GB"), "{error}");
        let fit = Fit::new(&tier(32.0), &MACHINE, 15 * GB, false).unwrap();
        assert_eq!(fit.memory_bytes, 15 * GB);
        assert!(fit.build_bytes < fit.memory_bytes);
        assert!(fit.warnings.iter().any(|note| note.contains("from 32 to 15 GB")), "{:?}", fit.warnings);
    }
}
