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

    /// All tiers, smallest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Tier> {
        self.0.iter()
    }

    /// The tier of that name.
    pub fn get(&self, name: &str) -> Option<&Tier> {
        self.0.iter().find(|tier| tier.name == name)
    }

    /// The smallest tier that holds `cpu` and `memory_gb`.
    pub fn smallest_holding(&self, cpu: f64, memory_gb: f64) -> Option<&Tier> {
        self.0.iter().find(|tier| f64::from(tier.cpu) >= cpu && tier.memory_gb >= memory_gb)
    }

    /// The next tier with more memory than `tier`.
    pub fn next_above(&self, tier: &Tier) -> Option<&Tier> {
        self.0.iter().find(|other| other.memory_gb > tier.memory_gb && other.cpu >= tier.cpu)
    }

    /// The largest tier.
    pub fn largest(&self) -> Option<&Tier> {
        self.0.last()
    }
}
