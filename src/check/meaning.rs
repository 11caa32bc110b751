//! [`Meaning`]: what a document means, held against what there is and may be: images, files, tiers, who may do what. Every
//! rule is the one that `plan` and `build` keep; none needs more than the project itself.

use std::path::Path;

use super::part::Part;
use crate::error::{Error, ErrorKind};
use crate::inputs::nickel::{Diagnostic, Places, Rule};
use crate::inputs::policy::{Caps, Policies, Policy, PolicyFile};
use crate::inputs::runner_wish::RunnerSize;
use crate::plan::policy::TierCaps;
use crate::plan::{Tiers, check_size};

/// The ladders that tiers are named by.
#[derive(Debug, Clone)]
pub(super) struct Ladders {
    /// The one that counts: built in, or the user's.
    pub(super) tiers: Tiers,
    /// The one that is built in.
    pub(super) builtin: Tiers,
}

/// Collects what is wrong with the meaning of one document. What is wrong with its contract is not asked about again.
pub(super) struct Meaning<'a> {
    file: &'a str,
    pub(super) root: &'a Path,
    ladders: &'a Ladders,
    places: &'a Places,
    diagnostics: Vec<Diagnostic>,
    warnings: Vec<String>,
}

impl<'a> Meaning<'a> {
    pub(super) fn new(file: &'a str, root: &'a Path, ladders: &'a Ladders, places: &'a Places) -> Self {
        Self { file, root, ladders, places, diagnostics: Vec::new(), warnings: Vec::new() }
    }

    /// What is wrong, and what is worth a warning.
    pub(super) fn found(self) -> (Vec<Diagnostic>, Vec<String>) {
        (self.diagnostics, self.warnings)
    }

    pub(super) fn of_spec(&mut self, spec: &Part<'_>) {
        self.size("the spec", spec);
    }

    pub(super) fn of_policy(&mut self, policy: &Part<'_>) {
        let cap = policy.at("caps.runner_type");
        let caps = Caps { runner_type: cap.said(), ..Caps::default() };
        let file = PolicyFile {
            name: self.file.to_owned(),
            policy: Policy { caps, ..Policy::default() },
            places: self.places.clone(),
        };
        let policies = Policies::new(vec![file]);
        if let Err(error) = TierCaps::of(&policies, &self.ladders.builtin, &self.ladders.tiers) {
            self.refuse(cap.path(), Rule::Reference, &error);
        }
    }

    pub(super) fn of_tiers(&mut self, error: &Error) {
        self.refuse("tiers", Rule::Reference, error);
    }

    /// Refuses each name of a tier that stands before; whether there was one. A ladder that is wrong elsewhere has names, too.
    pub(super) fn tiers_twice(&mut self, ladder: &Part<'_>) -> bool {
        let tiers = ladder.field("tiers").elements();
        let names: Vec<Part<'_>> = tiers.iter().map(|tier| tier.field("name")).collect();
        let said: Vec<Option<String>> = names.iter().map(Part::said).collect();
        let before =
            |at: usize| said.iter().take(at).any(|other| other.is_some() && other.as_ref() == said[at].as_ref());
        let again: Vec<(&Part<'_>, &String)> = (0..said.len())
            .filter(|at| before(*at))
            .filter_map(|at| Some((names.get(at)?, said.get(at)?.as_ref()?)))
            .collect();
        for (part, name) in &again {
            let error = Error::new(ErrorKind::Spec, format!("tier `{name}` stands twice in the tiers file"));
            self.refuse(part.path(), Rule::Reference, &error);
        }
        !again.is_empty()
    }

    /// The size that `part` asks for: some tier has to be it. `who` is how messages call `part`.
    pub(super) fn size(&mut self, who: &str, part: &Part<'_>) {
        let [name, cpu, memory_gb, disk_gb] =
            ["runner_type", "cpu", "memory_gb", "disk_gb"].map(|field| part.field(field));
        if !name.is_sound() {
            return;
        }
        let tier: Option<String> = name.said();
        let size = RunnerSize::of(tier.as_ref(), cpu.said(), memory_gb.said());
        let (place, rule) = match (&tier, &size) {
            // What stands beside a tier does not go together with it.
            (Some(tier), _) if self.ladders.tiers.get(tier).is_some() => (&name, Rule::Together),
            (Some(_), _) => (&name, Rule::Reference),
            (None, Some(_)) => (&cpu, Rule::Reference),
            (None, None) => (&disk_gb, Rule::Reference),
        };
        if let Err(error) = check_size(who, size, disk_gb.said(), &self.ladders.tiers) {
            self.refuse(place.path(), rule, &error);
        }
    }

    /// What is wrong with a candidate's own tier, where there is none of that name.
    pub(super) fn no_such_tier(&self, name: String) -> Option<Error> {
        check_size("the candidate", Some(RunnerSize::tier(name)), None, &self.ladders.tiers).err()
    }

    /// Refuses the value at `path` with the words of `error`.
    pub(super) fn refuse(&mut self, path: &str, rule: Rule, error: &Error) {
        let place = self.places.nearest(path);
        let mut diagnostic = Diagnostic::of_file(self.file, rule, error.message()).at(path, place);
        diagnostic.hint = (!error.hints().is_empty()).then(|| error.hints().join("; "));
        self.diagnostics.push(diagnostic);
    }

    /// Says what is not wrong, but may be.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}
