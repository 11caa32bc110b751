//! Finds everything that is wrong with a document, in as many evaluations as that takes.
//!
//! Two things hide others. A closed record with an unknown field is refused before its fields are looked at, and so is a
//! record whose fields do not go together. So unknown fields are taken out and the document is evaluated again, until no
//! more turn up; and then once more without the rules about several fields. What is in an unknown field that was plainly meant
//! to be another one is looked at as that one's, from the start.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;

use nickel_lang_core::error::NullReporter;
use nickel_lang_core::files::FileId;
use nickel_lang_core::position::RawSpan;

use super::contract::Contract;
use super::diagnose::{self, Scene};
use super::diagnostic::{Diagnostic, Rule};
use super::loader::{Loaded, Loader};
use super::partial::Partial;
use super::place::field_path;
use super::rename::Rename;
use super::round::{Main, Round};
use super::survey::{Fault, Survey, Vm};
use super::{cut, embed, suggest};

/// The most evaluations of one document.
const MAX_ROUNDS: usize = 12;

/// How often fields are renamed: one that is found in a renamed one may have to be, too.
const MAX_RENAMINGS: usize = 4;

/// The document that is looked through.
pub(super) struct Subject<'a> {
    pub(super) loader: &'a Loader,
    pub(super) loaded: &'a Loaded,
    pub(super) contract: Contract,
    /// Its name, as its user knows it.
    pub(super) shown: &'a str,
}

/// An unknown field.
struct Unknown {
    /// The path of its record.
    record: String,
    name: String,
    /// Where its name stands.
    place: Option<(PathBuf, Range<usize>)>,
}

/// Texts for files of a table.
type Texts = Vec<(FileId, String)>;

/// What was found so far.
#[derive(Default)]
struct Findings {
    unknown: Vec<Unknown>,
    others: Vec<Diagnostic>,
    /// Those of `others` that a contract told while the rules about several fields held.
    told_with_rules: HashSet<usize>,
    /// Those of `others` that were told without these rules.
    told_without_rules: HashSet<usize>,
    /// How many of `others` were told before any field was renamed.
    before: usize,
    /// The fields of every record, by its path.
    fields: BTreeMap<String, Vec<String>>,
    /// What could be evaluated.
    partial: Partial,
    /// The texts that are evaluated instead of what was loaded, by their virtual paths.
    replaced: BTreeMap<PathBuf, String>,
    /// Whether fields were taken out.
    has_cuts: bool,
    /// Whether the rules about several fields are left out.
    is_without_rules: bool,
}

impl Findings {
    /// The fields that can be looked at under other names, but for those that were.
    fn renames(&self, before: &[Rename]) -> Vec<Rename> {
        let rename = |unknown: &Unknown| {
            let to = suggest::plainly_meant(&unknown.name, self.fields.get(&unknown.record)?)?;
            Some(Rename { record: unknown.record.clone(), from: unknown.name.clone(), to: to.to_owned() })
        };
        self.unknown.iter().filter_map(rename).filter(|rename| !before.contains(rename)).collect()
    }

    /// Takes in what was found in renamed fields; the rest is known.
    fn take_in(&mut self, inside: Self, renames: &[Rename]) {
        let is_inside = |path: &str| renames.iter().any(|rename| rename.has(path));
        for unknown in inside.unknown {
            let is_known = |known: &Unknown| known.name == unknown.name && known.place == unknown.place;
            if is_inside(&unknown.record) && !self.unknown.iter().any(is_known) {
                self.unknown.push(unknown);
            }
        }
        for (number, diagnostic) in inside.others.into_iter().enumerate() {
            let is_new = self.others.iter().all(|known| known.identity() != diagnostic.identity());
            let path = diagnostic.path.as_deref().unwrap_or_default();
            // With its fields under their names, a record may be one that does not go together.
            let is_about_record =
                inside.told_with_rules.contains(&number) && renames.iter().any(|rename| rename.record == path);
            if !is_new || !(is_inside(path) || is_about_record) {
                continue;
            }
            let own = self.others.len();
            self.others.push(diagnostic);
            for (told, inside) in [
                (&mut self.told_with_rules, &inside.told_with_rules),
                (&mut self.told_without_rules, &inside.told_without_rules),
            ] {
                told.extend(inside.contains(&number).then_some(own));
            }
        }
        self.is_without_rules |= inside.is_without_rules;
        for (path, fields) in inside.fields {
            self.fields.entry(path).or_insert(fields);
        }
        self.partial.add(inside.partial.value, inside.partial.places);
    }
}

impl Subject<'_> {
    /// Everything that is wrong, in the order of the source, and what could be evaluated all the same. `vm` and `round` are
    /// those of the first evaluation, which has failed.
    pub(super) fn all_that_is_wrong(&self, vm: &mut Vm, round: Round) -> (Vec<Diagnostic>, Partial) {
        let mut findings = Findings::default();
        self.look(&mut findings, vm, round, &[]);
        findings.before = findings.others.len();
        let mut renames: Vec<Rename> = Vec::new();
        for _ in 0..MAX_RENAMINGS {
            let more = findings.renames(&renames);
            if more.is_empty() {
                break;
            }
            renames.extend(more);
            let mut own = Vm::new(self.loader.table(&BTreeMap::new()), std::io::sink(), NullReporter {});
            let main = Main::new(&mut own.import_resolver, 0, self.loaded, self.contract, &renames);
            let round = Round::run(&mut own, main);
            let mut inside = Findings::default();
            self.look(&mut inside, &mut own, round, &renames);
            std::mem::forget(own);
            findings.take_in(inside, &renames);
        }
        let partial = std::mem::take(&mut findings.partial);
        (self.conclude(vm, findings), partial)
    }

    /// Notes what `round` has found, and what further ones find. `vm` is that of `round`.
    fn look(&self, findings: &mut Findings, vm: &mut Vm, mut round: Round, renames: &[Rename]) {
        let mut own_vm: Option<Vm> = None;
        for _ in 0..MAX_ROUNDS {
            let current = own_vm.as_mut().unwrap_or(vm);
            let has_others = round.faults.iter().any(|fault| diagnose::unknown_fields(&fault.error).is_none());
            let names = self.note(findings, current, round);
            let cuts = cut::without(&current.import_resolver, &names);
            let is_changed = !cuts.is_empty();
            for (id, text) in cuts {
                let path = PathBuf::from(current.import_resolver.sources.files.name(id));
                findings.replaced.insert(path, text);
                findings.has_cuts = true;
            }
            if !is_changed {
                if findings.is_without_rules || !has_others {
                    break;
                }
                findings.is_without_rules = true;
                findings
                    .replaced
                    .extend(embed::without_rules_together().map(|text| (PathBuf::from(embed::COMMON), text)));
            }
            let mut next = Vm::new(self.loader.table(&findings.replaced), std::io::sink(), NullReporter {});
            let main = Main::new(&mut next.import_resolver, 0, self.loaded, self.contract, renames);
            round = Round::run(&mut next, main);
            // Taking the evaluator's graph apart would only cost time, and stack.
            std::mem::forget(own_vm.replace(next));
            if !round.has_begun {
                // Something else needed what was taken out: there is no more to be seen this way.
                findings.told_with_rules.clear();
                break;
            }
        }
        std::mem::forget(own_vm);
    }

    /// Notes what a round has found; the places of the names of unknown fields.
    fn note(&self, findings: &mut Findings, vm: &mut Vm, round: Round) -> Vec<RawSpan> {
        let Round { survey, faults, seen, .. } = round;
        findings.partial.add(seen, survey.places(&vm.import_resolver.sources.files, self.loader));
        for (path, fields) in survey.records() {
            findings.fields.insert(path.clone(), fields.clone());
        }
        let mut names = Vec::new();
        let mut others = Vec::new();
        for fault in faults {
            let Some(unknown) = diagnose::unknown_fields(&fault.error) else {
                others.push(fault);
                continue;
            };
            for (name, span) in unknown {
                let files = &vm.import_resolver.sources.files;
                // A function that made the record anew has lost the place of its fields' names.
                let span = span.or_else(|| cut::only_definition(&vm.import_resolver, self.loader, &name));
                let place = span.map(|span| (PathBuf::from(files.name(span.src_id)), span.to_range()));
                names.extend(span);
                let record = fault.path.clone().unwrap_or_default();
                let is_new = |known: &Unknown| known.place != place || (known.place.is_none() && known.name != name);
                if findings.unknown.iter().all(is_new) {
                    findings.unknown.push(Unknown { record, name, place });
                }
            }
        }
        let originals = self.originals(vm, &findings.replaced);
        let current = Self::swap(vm, originals);
        self.tell(findings, vm, &survey, others);
        Self::swap(vm, current);
        names
    }

    /// The texts of the replaced files as their authors know them.
    fn originals(&self, vm: &Vm, replaced: &BTreeMap<PathBuf, String>) -> Texts {
        let sources = &vm.import_resolver.sources;
        let pair = |path: &PathBuf| Some((self.loader.id_in(sources, path)?, self.loader.text(path)?.to_owned()));
        replaced.keys().filter_map(pair).collect()
    }

    /// Puts other texts into the table; those that were there.
    fn swap(vm: &mut Vm, texts: Texts) -> Texts {
        let files = &mut vm.import_resolver.sources.files;
        let put = |(id, text): (FileId, String)| {
            let before = files.source(id).to_owned();
            files.update(id, text);
            (id, before)
        };
        texts.into_iter().map(put).collect()
    }

    fn tell(&self, findings: &mut Findings, vm: &mut Vm, survey: &Survey, faults: Vec<Fault>) {
        let files = &mut vm.import_resolver.sources.files;
        let mut scene = Scene { files, loader: self.loader, document: self.shown, survey };
        for fault in faults {
            let is_blame = diagnose::is_blame(&fault.error);
            for diagnostic in scene.tell(fault) {
                if findings.has_cuts && diagnostic.rule == Rule::Unbound {
                    // It may be a field that was taken out.
                    continue;
                }
                let known = findings.others.iter().position(|known| known.identity() == diagnostic.identity());
                let number = known.unwrap_or_else(|| {
                    findings.others.push(diagnostic);
                    findings.others.len() - 1
                });
                if findings.is_without_rules {
                    findings.told_without_rules.insert(number);
                } else if is_blame {
                    findings.told_with_rules.insert(number);
                }
            }
        }
    }

    /// Whether the document calls a function of ours that takes more words than directives have.
    fn calls_for_a_session(&self) -> bool {
        let calls = |text: &str| embed::SESSION_FUNCTIONS.iter().any(|name| text.contains(name));
        self.contract == Contract::Directives && self.loader.own_texts().any(calls)
    }

    /// Puts together what was found. The texts of `vm` are the originals.
    fn conclude(&self, vm: &mut Vm, findings: Findings) -> Vec<Diagnostic> {
        let Findings {
            unknown,
            mut others,
            told_with_rules,
            told_without_rules,
            fields,
            is_without_rules,
            mut before,
            ..
        } = findings;
        let about_several = told_with_rules.difference(&told_without_rules).filter(|_| is_without_rules);
        for number in about_several {
            if let Some(other) = others.get_mut(*number) {
                other.rule = Rule::Together;
            }
        }
        let mut all = Vec::new();
        for Unknown { record, name, place } in unknown {
            let mut known = fields.get(&record).cloned().unwrap_or_default();
            if is_whole(&record) && self.calls_for_a_session() {
                known.extend(embed::SESSION_WORDS.map(str::to_owned));
            }
            let known = known.as_slice();
            for near in suggest::fields(&name, known) {
                // What was misspelled is not missing besides.
                let meant = field_path(&record, near);
                let is_meant = |other: &Diagnostic| match other.rule {
                    Rule::MissingField => other.path.as_deref() == Some(&meant),
                    Rule::Together => {
                        other.path.as_deref().unwrap_or_default() == record && other.message.contains(near)
                    }
                    _ => false,
                };
                // What was told with the field under its right name counts.
                let meant: Vec<Diagnostic> = others.drain(..before).filter(|other| !is_meant(other)).collect();
                before = meant.len();
                others.splice(..0, meant);
            }
            let sources = &vm.import_resolver.sources;
            let span =
                place.and_then(|(path, range)| Some(RawSpan::from_range(self.loader.id_in(sources, &path)?, range)));
            let survey = Survey::default();
            let files = &mut vm.import_resolver.sources.files;
            let mut scene = Scene { files, loader: self.loader, document: self.shown, survey: &survey };
            all.push(scene.tell_unknown(field_path(&record, &name), &name, span, known));
        }
        all.append(&mut others);
        let order = |diagnostic: &Diagnostic| {
            let Diagnostic { file, line, column, .. } = diagnostic;
            (file != self.shown, file.clone(), *line, *column)
        };
        all.sort_by_key(order);
        all
    }
}

/// Whether the record at `path` is the document itself, or one of several in it.
fn is_whole(path: &str) -> bool {
    path.is_empty() || (path.starts_with('[') && path.ends_with(']') && !path.contains('.'))
}
