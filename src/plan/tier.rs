//! [`Tier`]: one machine size, and [`Tiers`]: the ladder of them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Bytes in one GB, as this project counts (2^30).
pub const GB: u64 = 1 << 30;

/// One machine size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The name, `cax21` say; what a spec calls `runner_type`.
    pub name: String,
    /// Virtual CPUs.
    pub cpu: u32,
    /// Memory in GB (2^30 bytes); may be a fraction in tiers files for tests.
    pub memory_gb: f64,
    /// Disk in GB.
    pub disk_gb: u32,
}

impl Tier {
    /// Memory in bytes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "memory_gb is checked to be positive and below 2^20 when a tiers file is read"
    )]
    pub fn memory_bytes(&self) -> u64 {
        (self.memory_gb * GB as f64) as u64
    }

    /// What build steps may use together: the memory less max(512 MiB, 6 %), which is for the kernel, `sshd` and
    /// `buildkitd`; a tier below 1 GB (in tests) keeps half.
    pub fn build_memory_bytes(&self) -> u64 {
        let memory = self.memory_bytes();
        let reserve = (512 << 20).max(memory / 100 * 6);
        memory.saturating_sub(reserve).max(memory / 2)
    }
}

/// The ladder: tiers in ascending order of memory, then cpu. Never empty.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Tiers(Vec<Tier>);

impl Tiers {
    /// Sorts and checks a ladder.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] for an empty ladder, a repeated name, or a size outside of (0, 1024] cpu, (0, 2^20) GB.
    pub fn new(mut tiers: Vec<Tier>) -> Result<Self> {
        if tiers.is_empty() {
            return Err(Error::new(ErrorKind::Spec, "the tiers file names no tier"));
        }
        for tier in &tiers {
            if !(tier.memory_gb > 0.0 && tier.memory_gb < f64::from(1 << 20)) || tier.cpu == 0 || tier.cpu > 1024 {
                return Err(Error::new(
                    ErrorKind::Spec,
                    format!("tier `{}` has no usable size: {} cpu, {} GB", tier.name, tier.cpu, tier.memory_gb),
                ));
            }
        }
        tiers.sort_by(|a, b| a.memory_gb.total_cmp(&b.memory_gb).then(a.cpu.cmp(&b.cpu)));
        for (position, tier) in tiers.iter().enumerate() {
            if tiers.iter().skip(position + 1).any(|other| other.name == tier.name) {
                return Err(Error::new(
                    ErrorKind::Spec,
                    format!("tier `{}` stands twice in the tiers file", tier.name),
                ));
            }
        }
        Ok(Self(tiers))
    }

    /// This ladder with another one's tiers between its own.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when both have a tier of one name.
    pub fn and(&self, other: &Self) -> Result<Self> {
        Self::new(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// All tiers, smallest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Tier> {
        self.0.iter()
    }

    /// The tier of that name.
    pub fn get(&self, name: &str) -> Option<&Tier> {
        self.0.iter().find(|tier| tier.name == name)
    }

    /// The tiers with more memory than `tier`, and no fewer CPUs, smallest first.
    pub fn above<'a>(&'a self, tier: &'a Tier) -> impl Iterator<Item = &'a Tier> {
        self.0.iter().filter(|other| other.memory_gb > tier.memory_gb && other.cpu >= tier.cpu)
    }

    /// The next tier with more memory than `tier`.
    pub fn next_above<'a>(&'a self, tier: &'a Tier) -> Option<&'a Tier> {
        self.above(tier).next()
    }

    /// The largest tier.
    pub fn largest(&self) -> Option<&Tier> {
        self.0.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(name: &str, cpu: u32, memory_gb: f64) -> Tier {
        Tier { name: name.to_owned(), cpu, memory_gb, disk_gb: 10 }
    }

    #[test]
    fn a_ladder_is_sorted_by_memory_then_cpu() {
        let tiers = Tiers::new(vec![tier("c", 8, 4.0), tier("b", 2, 4.0), tier("a", 16, 0.25)]).unwrap();
        assert_eq!(tiers.iter().map(|tier| tier.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(tiers.largest().map(|tier| tier.name.as_str()), Some("c"));
        assert_eq!(tiers.get("b").map(|tier| tier.cpu), Some(2));
        assert_eq!(tiers.get("d"), None);
    }

    #[test]
    fn ladders_without_sense_are_refused() {
        for (tiers, wrong) in [
            (vec![], "names no tier"),
            (vec![tier("a", 1, 1.0), tier("a", 2, 2.0)], "tier `a` stands twice"),
            (vec![tier("a", 0, 1.0)], "no usable size: 0 cpu, 1 GB"),
            (vec![tier("a", 1, 0.0)], "no usable size: 1 cpu, 0 GB"),
            (vec![tier("a", 1, f64::NAN)], "no usable size"),
            (vec![tier("a", 1025, 1.0)], "no usable size"),
        ] {
            let error = Tiers::new(tiers).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Spec);
            assert!(error.message().contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_next_tier_has_more_memory_and_no_fewer_cpus() {
        let tiers =
            Tiers::new(vec![tier("a", 4, 4.0), tier("b", 8, 4.0), tier("c", 2, 8.0), tier("d", 4, 16.0)]).unwrap();
        let next = |name: &str| tiers.next_above(tiers.get(name).unwrap()).map(|tier| tier.name.as_str());
        assert_eq!((next("a"), next("b"), next("c"), next("d")), (Some("d"), None, Some("d"), None));
    }

    #[test]
    fn the_machine_keeps_a_share_of_the_memory() {
        assert_eq!(tier("a", 2, 4.0).build_memory_bytes(), (4 << 30) - (512 << 20));
        let sixteen = tier("a", 2, 16.0);
        assert_eq!(sixteen.build_memory_bytes(), sixteen.memory_bytes() - sixteen.memory_bytes() / 100 * 6);
        assert_eq!(tier("a", 1, 0.25).build_memory_bytes(), 128 << 20, "a tier for tests keeps half");
    }
}
