//! What a workspace's history means for its size.
//!
//! Percentiles get head room; bounds do not. A saturated CPU says "at least this many", not "this many and a fifth
//! more": otherwise a build that uses every CPU it gets would climb to the largest tier.

use crate::ids::Actor;
use crate::plan::need::{Need, amount};
use crate::record::{Advice, Approved, MIN_SAMPLES};

/// Head room over the 95th percentile.
const HEADROOM: f64 = 1.2;
/// The least that history advises, in CPUs.
const FLOOR_CPU: f64 = 2.0;
/// The least that history advises, in GB.
const FLOOR_MEMORY_GB: f64 = 4.0;

/// No machine has more CPUs or GB than this; a larger number is a fault of whoever wrote it.
const MOST: f64 = 1e6;

/// What is done with history.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// There is none.
    Nothing,
    /// It decides.
    Use {
        /// The size.
        need: Need,
        /// Why that size.
        because: String,
        /// What else is worth knowing.
        aside: Option<String>,
    },
    /// It is shown and not used, with why not.
    Show(String),
}

/// Whether history decides for `actor`. CI, and its helper jobs, use what an operator approved, however the advice
/// has drifted since; sessions use the advice at once.
pub(super) fn judge(advice: Option<&Advice>, actor: Actor) -> Seen {
    let Some(advice) = advice else { return Seen::Nothing };
    let enough = advice.samples >= MIN_SAMPLES;
    let sums = Sums::of(advice);
    let session = matches!(actor, Actor::Human | Actor::Agent);
    match (&advice.approved, session && enough) {
        (_, true) => Seen::Use { need: sums.need, because: format!("history says {}", sums.words), aside: None },
        (Some(approved), false) if is_usable(approved) => {
            let need = Need::of(approved.cpu, approved.memory_gb);
            let because = format!("{need} were approved by {} on {}", approved.by, approved.at);
            let aside = Some(format!("history says {} now", sums.words));
            Seen::Use { need, because, aside }
        }
        _ if advice.samples == 0 && sums.is_empty => Seen::Nothing,
        _ if !enough => Seen::Show(format!("history says {}, not used below {MIN_SAMPLES} runs", sums.words)),
        _ => Seen::Show(format!("history advises {} ({}), not used as nobody has approved it", sums.need, sums.words)),
    }
}

fn is_usable(approved: &Approved) -> bool {
    is_amount(&approved.cpu) && is_amount(&approved.memory_gb)
}

/// The arithmetic, done and written down.
struct Sums {
    need: Need,
    words: String,
    is_empty: bool,
}

impl Sums {
    fn of(advice: &Advice) -> Self {
        // The numbers may come from another program: what is no amount is as good as missing.
        let cpu = advice.cpu_p95.filter(is_amount);
        let cpu_bound = advice.cpu_at_least.filter(is_amount);
        let memory = advice.mem_p95.filter(is_amount);
        let memory_bound = advice.mem_more_than.filter(is_amount);
        let mut words = Vec::new();
        if let Some(cpu) = cpu {
            words.push(format!("cpu {} × {HEADROOM} → {}", amount(cpu), amount(with_headroom(cpu))));
        }
        if let Some(bound) = cpu_bound {
            words.push(format!("all {} cpu were busy", amount(bound)));
        }
        if let Some(memory) = memory {
            words.push(format!("mem {} GB × {HEADROOM} → {} GB", amount(memory), amount(with_headroom(memory))));
        }
        if let Some(bound) = memory_bound {
            words.push(format!("memory ran out with {} GB", amount(bound)));
        }
        let is_empty = words.is_empty();
        if is_empty {
            words.push("nothing measured".to_owned());
        }
        let runs = if advice.samples == 1 { "run" } else { "runs" };
        let need = Need {
            cpu: cpu.map_or(0.0, with_headroom).max(cpu_bound.unwrap_or(0.0)).max(FLOOR_CPU),
            memory_gb: memory.map_or(0.0, with_headroom).max(FLOOR_MEMORY_GB),
            memory_above: memory_bound,
            disk_gb: None,
        };
        Self { need, words: format!("{} over {} {runs}", words.join(", "), advice.samples), is_empty }
    }
}

/// A fifth more, in whole units. The tiny bit less keeps 5 × 1.2 at 6, whatever binary fractions make of it.
fn with_headroom(value: f64) -> f64 {
    (value * HEADROOM - 1e-9).ceil()
}

fn is_amount(value: &f64) -> bool {
    *value > 0.0 && *value <= MOST
}
