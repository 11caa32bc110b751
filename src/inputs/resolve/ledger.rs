//! [`Ledger`]: decides who wins, and writes it down.

use crate::error::{Error, Result};
use crate::inputs::origin::{By, Origin};
use crate::inputs::resolve::Said;
use crate::sanitise;

/// Who has spoken about one value.
#[derive(Debug, Clone)]
pub struct Candidates<T> {
    /// The command line.
    pub flag: Option<Said<T>>,
    /// The directives.
    pub directives: Option<Said<T>>,
    /// The environment.
    pub variable: Option<Said<T>>,
}

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self { flag: None, directives: None, variable: None }
    }
}

/// One entry of a map, or of a list whose entries have names.
#[derive(Debug, Clone)]
pub struct Keyed<T> {
    /// What names it: no two entries of a result have the same, unless the command line repeats itself.
    pub key: String,
    /// The entry.
    pub said: Said<T>,
}

/// Decides who wins, and remembers it for `plan`.
#[derive(Debug, Default)]
pub struct Ledger {
    origins: Vec<Origin>,
}

impl Ledger {
    /// Every decision so far, in the order in which they were made.
    pub fn into_origins(self) -> Vec<Origin> {
        self.origins
    }

    /// Writes down a value that was decided elsewhere.
    pub fn note(&mut self, origin: Origin) {
        self.origins.push(origin);
    }

    /// Writes down that nobody spoke about `name`, and what then holds.
    pub fn note_default(&mut self, name: &str, value: impl Into<String>) {
        self.note(Origin::new(name, value, By::Default, "default"));
    }

    /// Writes down a value that only a flag can set, or what holds without it.
    pub fn note_flag(&mut self, name: &str, flag: &str, said: Option<impl Into<String>>, otherwise: &str) {
        match said {
            Some(value) => self.note(Origin::new(name, value, By::Flag, flag)),
            None => self.note_default(name, otherwise),
        }
    }

    /// The value of `name`; `None` when nobody spoke.
    ///
    /// # Errors
    /// `Usage` when command line and directives say different things.
    pub fn pick<T: PartialEq>(&mut self, name: &str, candidates: Candidates<T>) -> Result<Option<T>> {
        self.pick_by(name, candidates, |flag, directives| flag == directives)
    }

    /// As [`Ledger::pick`]; writes `otherwise` down, in words, for what holds when nobody spoke.
    ///
    /// # Errors
    /// As [`Ledger::pick`].
    pub fn pick_or<T: PartialEq>(
        &mut self,
        name: &str,
        candidates: Candidates<T>,
        otherwise: &str,
    ) -> Result<Option<T>> {
        let picked = self.pick(name, candidates)?;
        if picked.is_none() {
            self.note_default(name, otherwise);
        }
        Ok(picked)
    }

    /// As [`Ledger::pick`], with another notion of what is the same. Of two that are the same the flag's value is taken.
    ///
    /// # Errors
    /// As [`Ledger::pick`].
    pub fn pick_by<T>(
        &mut self,
        name: &str,
        candidates: Candidates<T>,
        is_same: impl Fn(&T, &T) -> bool,
    ) -> Result<Option<T>> {
        let Candidates { flag, directives, variable } = candidates;
        if let (Some(flag), Some(directives)) = (&flag, &directives)
            && !is_same(&flag.value, &directives.value)
        {
            return Err(contradiction(name, flag, directives));
        }
        let also = flag.is_some().then(|| directives.as_ref().map(|said| said.from.clone())).flatten();
        let mut loser = None;
        let winner = match flag.or(directives) {
            Some(winner) => {
                loser = variable.filter(|variable| !is_same(&winner.value, &variable.value));
                winner
            }
            None => match variable {
                Some(variable) => variable,
                None => return Ok(None),
            },
        };
        let from = also.map_or_else(|| winner.from.clone(), |also| format!("{} and {also}", winner.from));
        self.note(Origin {
            instead_of: loser.map(|loser| format!("{} = {}", loser.from, loser.shown)).into_iter().collect(),
            ..Origin::new(name, winner.shown, winner.by, from)
        });
        Ok(Some(winner.value))
    }

    /// The entries of both: those that only the directives have, then the command line's own. Each is written down as
    /// `name.KEY`.
    ///
    /// # Errors
    /// `Usage` when both have an entry of the same name that is not the same.
    pub fn unite<T: PartialEq>(
        &mut self,
        name: &str,
        flags: Vec<Keyed<T>>,
        directives: Vec<Keyed<T>>,
    ) -> Result<Vec<T>> {
        self.unite_by(name, flags, directives, |flag, directives| flag == directives)
    }

    /// As [`Ledger::unite`], with another notion of what is the same.
    ///
    /// # Errors
    /// As [`Ledger::unite`].
    pub fn unite_by<T>(
        &mut self,
        name: &str,
        flags: Vec<Keyed<T>>,
        directives: Vec<Keyed<T>>,
        is_same: impl Fn(&T, &T) -> bool,
    ) -> Result<Vec<T>> {
        let mut united: Vec<Keyed<T>> = Vec::with_capacity(flags.len() + directives.len());
        let mut also: Vec<(String, String)> = Vec::new();
        for entry in directives {
            // Where the command line repeats itself, its last word counts, as in buildx.
            match flags.iter().rev().find(|flag| flag.key == entry.key) {
                Some(flag) if !is_same(&flag.said.value, &entry.said.value) => {
                    return Err(contradiction(&format!("{name}.{}", entry.key), &flag.said, &entry.said));
                }
                Some(_) => also.push((entry.key, entry.said.from)),
                None => united.push(entry),
            }
        }
        united.extend(flags);
        if united.is_empty() {
            self.note_default(name, "none");
        }
        for Keyed { key, said } in &united {
            let also = also.iter().find(|(other, _)| other == key);
            let from = also.map_or_else(|| said.from.clone(), |(_, also)| format!("{} and {also}", said.from));
            self.note(Origin::new(format!("{name}.{key}"), said.shown.clone(), said.by, from));
        }
        Ok(united.into_iter().map(|entry| entry.said.value).collect())
    }
}

fn contradiction<T>(name: &str, flag: &Said<T>, directives: &Said<T>) -> Error {
    Error::usage(format!(
        "`{} {}` contradicts {}, which says `{}` for {name}",
        flag.from,
        sanitise::line(&flag.shown),
        directives.from,
        sanitise::line(&directives.shown),
    ))
    .hint("leave one of the two out: a flag may only add to what directives say")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn directives(value: &str) -> Said<String> {
        Said { value: value.to_owned(), shown: value.to_owned(), by: By::Directives, from: "ci/x.ncl:3:3".to_owned() }
    }

    fn candidates(flag: Option<&str>, said: Option<&str>, variable: Option<&str>) -> Candidates<String> {
        Candidates {
            flag: flag.map(|value| Said::flag("--x", value.to_owned())),
            directives: said.map(directives),
            variable: variable.map(|value| Said::variable("X", value.to_owned())),
        }
    }

    #[test]
    fn who_wins_and_what_it_wins_against() {
        for (flag, said, variable, value, from, loser) in [
            (None, None, None, None, "", ""),
            (None, None, Some("v"), Some("v"), "X", ""),
            (None, Some("d"), Some("v"), Some("d"), "ci/x.ncl:3:3", "X = v"),
            (None, Some("d"), Some("d"), Some("d"), "ci/x.ncl:3:3", ""),
            (Some("f"), None, Some("v"), Some("f"), "--x", "X = v"),
            (Some("d"), Some("d"), None, Some("d"), "--x and ci/x.ncl:3:3", ""),
        ] {
            let mut ledger = Ledger::default();
            let picked = ledger.pick("x", candidates(flag, said, variable)).unwrap();
            assert_eq!(picked.as_deref(), value);
            let origins = ledger.into_origins();
            let noted = origins.first().map(|origin| (origin.from.as_str(), origin.instead_of.join(",")));
            assert_eq!(noted, value.map(|_| (from, loser.to_owned())), "{flag:?} {said:?} {variable:?}");
        }
    }

    #[test]
    fn a_flag_that_differs_is_refused_and_both_are_named() {
        let error =
            Ledger::default().pick("workspace", candidates(Some("shop"), Some("lian-build"), None)).unwrap_err();
        assert_eq!(error.to_string(), "`--x shop` contradicts ci/x.ncl:3:3, which says `lian-build` for workspace");
    }

    fn keyed(key: &str, said: Said<String>) -> Keyed<String> {
        Keyed { key: key.to_owned(), said }
    }

    #[test]
    fn lists_are_united_by_name() {
        let flag = |key: &str, value: &str| keyed(key, Said::flag("--arg", value.to_owned()));
        let said = |key: &str, value: &str| keyed(key, directives(value));
        let mut ledger = Ledger::default();
        let flags = vec![flag("B", "0"), flag("B", "2"), flag("C", "3")];
        let united = ledger.unite("arg", flags, vec![said("A", "1"), said("B", "2")]).unwrap();
        assert_eq!(united, ["1", "0", "2", "3"]);
        let origins = ledger.into_origins();
        let of = |name: &str| origins.iter().find(|origin| origin.name == name).unwrap().from.clone();
        assert_eq!((of("arg.A"), of("arg.B")), ("ci/x.ncl:3:3".to_owned(), "--arg and ci/x.ncl:3:3".to_owned()));
        let error = Ledger::default().unite("arg", vec![flag("A", "2")], vec![said("A", "1")]).unwrap_err();
        assert!(error.to_string().contains("for arg.A"), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_in_a_union(
            flags in prop::collection::vec(("[a-d]", "[0-1]"), 0..6),
            said in prop::collection::btree_map("[a-d]", "[0-1]", 0..4),
        ) {
            let by_flag = flags.iter().map(|(key, value)| keyed(key, Said::flag("--arg", value.clone()))).collect();
            let by_directives = said.iter().map(|(key, value)| keyed(key, directives(value))).collect();
            let last = |key: &String| flags.iter().rev().find(|(other, _)| other == key).map(|(_, value)| value);
            match Ledger::default().unite_by("arg", by_flag, by_directives, |flag, said| flag == said) {
                Ok(united) => {
                    let added = said.keys().filter(|key| last(key).is_none()).count();
                    prop_assert_eq!(united.len(), flags.len() + added);
                    prop_assert!(said.iter().all(|(key, value)| last(key).is_none_or(|last| last == value)));
                }
                Err(_) => prop_assert!(said.iter().any(|(key, value)| last(key).is_some_and(|last| last != value))),
            }
        }
    }
}
