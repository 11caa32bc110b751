//! [`Need`]: an amount of CPU, memory and disk, before it is a tier.

use std::fmt;

use crate::inputs::spec::BuildSpec;
use crate::plan::{Tier, Tiers};

/// What a build needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Need {
    /// At least this many CPUs.
    pub(super) cpu: f64,
    /// At least this much memory, in GB.
    pub(super) memory_gb: f64,
    /// More than this much memory, in GB: a build ran out of memory with it.
    pub(super) memory_above: Option<f64>,
    /// At least this much disk, in GB.
    pub(super) disk_gb: Option<f64>,
}

impl Need {
    pub(super) const fn of(cpu: f64, memory_gb: f64) -> Self {
        Self { cpu, memory_gb, memory_above: None, disk_gb: None }
    }

    /// The raw resources that a spec asks for.
    pub(super) fn of_spec(spec: &BuildSpec) -> Option<Self> {
        Some(Self { disk_gb: spec.disk_gb, ..Self::of(spec.cpu?, spec.memory_gb?) })
    }

    /// Whether `tier` is enough.
    pub(super) fn fits(&self, tier: &Tier) -> bool {
        f64::from(tier.cpu) >= self.cpu
            && tier.memory_gb >= self.memory_gb
            && self.memory_above.is_none_or(|bound| tier.memory_gb > bound)
            && self.disk_gb.is_none_or(|disk| f64::from(tier.disk_gb) >= disk)
    }

    /// The smallest tier that is enough.
    pub(super) fn smallest<'a>(&self, tiers: &'a Tiers) -> Option<&'a Tier> {
        tiers.iter().find(|tier| self.fits(tier))
    }

    /// This need, but not more than the ladder has.
    pub(super) fn capped(&self, tiers: &Tiers) -> Self {
        let most_cpu = tiers.iter().map(|tier| f64::from(tier.cpu)).fold(0.0, f64::max);
        let most_memory = tiers.iter().map(|tier| tier.memory_gb).fold(0.0, f64::max);
        // Where memory ran out on the largest tier, the largest tier is still the best there is.
        let beyond = self.memory_above.is_some_and(|bound| bound >= most_memory);
        Self {
            cpu: self.cpu.min(most_cpu),
            memory_gb: if beyond { most_memory } else { self.memory_gb.min(most_memory) },
            memory_above: self.memory_above.filter(|_| !beyond),
            disk_gb: self.disk_gb,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = match self.memory_above.filter(|bound| *bound >= self.memory_gb) {
            Some(bound) => format!("more than {} GB", amount(bound)),
            None => format!("{} GB", amount(self.memory_gb)),
        };
        match self.disk_gb {
            None => write!(f, "{} cpu and {memory}", amount(self.cpu)),
            Some(disk) => write!(f, "{} cpu, {memory} and {} GB of disk", amount(self.cpu), amount(disk)),
        }
    }
}

/// A number for a reader: `8`, `7.5`, at most two decimals.
pub(super) fn amount(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    format!("{rounded}")
}
