//! [`Policies`]: the policies that count together, each with the places of its lines.

use super::{Policy, Rule};
use crate::inputs::nickel::Places;

/// One policy as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyFile {
    /// The file.
    pub name: String,
    /// What it says.
    pub policy: Policy,
    /// Where it says it.
    pub places: Places,
}

/// The policies that count, the system's before the user's. A build has to keep all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies(Vec<PolicyFile>);

impl Policies {
    /// These files, the most important first.
    pub fn new(files: Vec<PolicyFile>) -> Self {
        Self(files)
    }

    /// The files' names.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|file| file.name.clone()).collect()
    }

    /// What each file that says something says about `name`, with its line: `caps.runner_type`, say. `get` takes it from
    /// the policy.
    pub fn said<'a, T>(
        &'a self,
        name: &'a str,
        get: impl Fn(&'a Policy) -> Option<T> + 'a,
    ) -> impl Iterator<Item = (Rule, T)> + 'a {
        self.0.iter().filter_map(move |file| Some((file.rule(name), get(&file.policy)?)))
    }
}

impl PolicyFile {
    /// The line on which `name` stands.
    fn rule(&self, name: &str) -> Rule {
        let place = self.places.nearest(name);
        Rule {
            name: name.to_owned(),
            file: place.map_or_else(|| self.name.clone(), |place| place.file.clone()),
            line: place.map(|place| place.line),
        }
    }
}

/// A policy as JSON, and the lines of its rules.
#[cfg(test)]
type Written<'a> = (serde_json::Value, &'a [(&'a str, u32)]);

/// Policies for tests, in the files `/p0`, `/p1`, ….
#[cfg(test)]
pub(crate) fn policies(files: &[Written<'_>]) -> Policies {
    let file = |(number, (policy, lines)): (usize, &Written<'_>)| {
        let name = format!("/p{number}");
        let place = |line: u32| serde_json::json!({ "file": name, "line": line, "column": 1 });
        let places: serde_json::Map<_, _> =
            lines.iter().map(|(path, line)| ((*path).to_owned(), place(*line))).collect();
        PolicyFile {
            policy: serde_json::from_value(policy.clone()).unwrap(),
            places: serde_json::from_value(places.into()).unwrap(),
            name,
        }
    };
    Policies::new(files.iter().enumerate().map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_says_something_is_heard_with_its_line() {
        let both = policies(&[
            (serde_json::json!({ "caps": { "time_budget_min": 9 } }), &[("caps.time_budget_min", 4)]),
            (serde_json::json!({}), &[]),
            (serde_json::json!({ "caps": { "time_budget_min": 7 } }), &[("caps", 2)]),
        ]);
        let said: Vec<String> = both
            .said("caps.time_budget_min", |policy| policy.caps.time_budget_min)
            .map(|(rule, minutes)| format!("{rule}: {minutes}"))
            .collect();
        assert_eq!(said, ["`caps.time_budget_min` at /p0:4: 9", "`caps.time_budget_min` at /p2:2: 7"]);
        assert_eq!(both.names(), ["/p0", "/p1", "/p2"]);
    }
}
