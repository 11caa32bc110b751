//! [`VmidRange`]: the ids that machines of ours get.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::env_vars;
use crate::error::{Error, Result};

/// The ids that machines of ours get, both ends included. One is chosen by chance: the API's "next free id" reserves nothing,
/// and two that ask at once get the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmidRange {
    first: u32,
    last: u32,
}

impl Default for VmidRange {
    /// Far above what is counted up from 100 by hand.
    fn default() -> Self {
        Self { first: 700_000_000, last: 799_999_999 }
    }
}

impl VmidRange {
    /// The least and the greatest id that Proxmox knows.
    const LIMITS: (u32, u32) = (100, 999_999_999);

    /// Whether an id is one of these.
    pub(super) const fn contains(self, vmid: u32) -> bool {
        self.first <= vmid && vmid <= self.last
    }

    /// One by chance that is not `taken`; `None` when all are, or it seems so.
    pub(super) fn pick(self, taken: &BTreeSet<u32>) -> Option<u32> {
        let count = u64::from(self.last - self.first) + 1;
        let random = || {
            let bits = uuid::Uuid::now_v7().as_u128() & u128::from(u64::MAX >> 2);
            let offset = u64::try_from(bits).unwrap_or_default() % count;
            self.first + u32::try_from(offset).unwrap_or_default()
        };
        let by_chance = (0..64).map(|_| random()).find(|vmid| !taken.contains(vmid));
        by_chance.or_else(|| (self.first..=self.last).take(taken.len() + 1).find(|vmid| !taken.contains(vmid)))
    }
}

impl fmt::Display for VmidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for VmidRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let ends = text
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?)));
        match ends {
            Some((first, last)) if Self::LIMITS.0 <= first && first <= last && last <= Self::LIMITS.1 => {
                Ok(Self { first, last })
            }
            _ => Err(Error::usage(format!(
                "{} is `{}`, which is no range of ids",
                env_vars::PROXMOX_VE_VMID_RANGE,
                crate::sanitise::short(text, 100)
            ))
            .hint(format!("write `FIRST-LAST` within {} and {}", Self::LIMITS.0, Self::LIMITS.1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_free_and_of_the_range() {
        let range: VmidRange = "100-102".parse().unwrap();
        let mut taken = BTreeSet::new();
        for _ in 0..3 {
            let vmid = range.pick(&taken).unwrap();
            assert!(range.contains(vmid) && taken.insert(vmid));
        }
        assert_eq!(range.pick(&taken), None);
        let picked: BTreeSet<u32> = (0..20).filter_map(|_| VmidRange::default().pick(&taken)).collect();
        assert!(picked.len() > 15, "not by chance: {picked:?}");
    }

    #[test]
    fn a_range_is_two_ids_that_proxmox_knows() {
        assert_eq!("5000 - 5999".parse::<VmidRange>().unwrap().to_string(), "5000-5999");
        for bad in ["", "5000", "99-200", "200-100", "100-1000000000", "a-b", "-1-5"] {
            assert!(bad.parse::<VmidRange>().is_err(), "{bad}");
        }
    }
}
