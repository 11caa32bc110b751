//! [`Figures`]: what a campaign counted, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Way;

/// One kill and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Kill {
    pub(super) way: Way,
    /// What cleaned up.
    pub(super) cleaner: &'static str,
    /// Where the lease stood on record; `none` before it, and after its release.
    pub(super) state: &'static str,
    /// What was there of the lease right after the kill.
    pub(super) found: usize,
    /// From the kill to the first look that found nothing.
    pub(super) clean_after: Duration,
}

/// All kills of a campaign. None of them left anything: a campaign ends with the first that does.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<Kill>);

impl Figures {
    pub(super) fn add(&mut self, kill: Kill) {
        self.0.push(kill);
    }

    /// How many kills hit while something of a lease was there.
    pub(super) fn hits(&self) -> usize {
        self.0.iter().filter(|kill| kill.found > 0).count()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| killed | cleaned up by | lease at the kill | kills | left at first | left at last | median | most |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        let mut groups: BTreeMap<(Way, &str, &str), Vec<&Kill>> = BTreeMap::new();
        for kill in &self.0 {
            for state in ["all", kill.state] {
                groups.entry((kill.way, kill.cleaner, state)).or_default().push(kill);
            }
        }
        for ((way, cleaner, state), mut kills) in groups {
            kills.sort_by_key(|kill| kill.clean_after);
            let found = kills.iter().filter(|kill| kill.found > 0).count();
            let seconds = |place: usize| kills[place].clean_after.as_secs_f64();
            let (count, median, most) = (kills.len(), seconds(kills.len() / 2), seconds(kills.len() - 1));
            writeln!(f, "| {way} | {cleaner} | {state} | {count} | {found} | 0 | {median:.2} s | {most:.2} s |")?;
        }
        Ok(())
    }
}

#[test]
fn the_table_counts_by_way_and_state() {
    let mut figures = Figures::default();
    for (found, millis) in [(3, 500), (0, 100), (1, 900)] {
        let clean_after = Duration::from_millis(millis);
        figures.add(Kill { way: Way::Command, cleaner: "its reaper", state: "ready", found, clean_after });
    }
    let table = figures.to_string();
    assert!(table.contains("| command | its reaper | ready | 3 | 2 | 0 | 0.50 s | 0.90 s |"), "{table}");
    assert_eq!(figures.hits(), 2);
}
