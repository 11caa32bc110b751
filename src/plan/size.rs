//! Decides the size of the runner, with its reason. Pure: values in, values out.
//!
//! The first rule that applies wins: override, spec, history, language. What history says is in
//! [`super::history`]; nothing here looks at a machine or a provider.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::Actor;
use crate::inputs::origin::By;
use crate::inputs::runner_wish::{RunnerSize, RunnerWish};
use crate::inputs::spec::{self, BuildSpec};
use crate::nearest::nearest;
use crate::plan::history::{self, Seen};
use crate::plan::need::{Need, amount};
use crate::plan::{Languages, Tier, Tiers};
use crate::record::Advice;

/// Everything a size is decided from.
#[derive(Debug, Clone, Copy)]
pub struct SizeRequest<'a> {
    /// What `--runner-type` and the override in directives ask for.
    pub wish: &'a RunnerWish,
    /// The project's `.build-spec.ncl`.
    pub spec: Option<&'a BuildSpec>,
    /// What past runs say.
    pub advice: Option<&'a Advice>,
    /// Who builds: CI uses approved advice only.
    pub actor: Actor,
    /// The language found in the context, `rust` say, or `other`.
    pub language: &'a str,
    /// Why that language: `Cargo.toml`, say. May be empty.
    pub evidence: &'a str,
    /// Default sizes by language.
    pub languages: &'a Languages,
    /// The ladder.
    pub tiers: &'a Tiers,
}

/// What decided the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SizingSource {
    /// `--runner-type` or the directives.
    Override,
    /// `.build-spec.ncl`.
    Spec,
    /// Past runs.
    P95,
    /// The default of the language found.
    Language,
}

/// The decided size.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizing {
    /// Which rule decided.
    pub source: SizingSource,
    /// The tier in full, for the lease.
    pub tier: Tier,
    /// The tier's name.
    pub runner_type: String,
    /// The tier's CPUs.
    pub cpu: u32,
    /// The tier's memory in GB (2^30).
    pub memory_gb: f64,
    /// The tier's disk in GB (2^30).
    pub disk_gb: u32,
    /// Minutes an attempt may take, from lease to end of solve.
    pub time_budget_min: f64,
    /// True when that time was asked for.
    pub time_is_explicit: bool,
    /// Whether one retry on the next tier is allowed after memory ran out.
    pub oom_retry: bool,
    /// True when the memory was asked for (override or spec): a machine with less is then refused, not used.
    pub memory_is_explicit: bool,
    /// Why this size, in words.
    pub reason: String,
    /// What was asked for but is overridden, and what was limited.
    pub notes: Vec<String>,
}

impl Sizing {
    /// Goes on with the tier that a candidate asks for by `name`: one that holds what was decided.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] when the ladder has none of that name; [`ErrorKind::NoCapacity`] when it is too small.
    pub(super) fn take_for_candidate(&mut self, name: &str, tiers: &Tiers) -> Result<()> {
        let Some(tier) = tiers.get(name) else {
            let names: Vec<&str> = tiers.iter().map(|tier| tier.name.as_str()).collect();
            return Err(Error::new(ErrorKind::Spec, format!("the candidate's tier `{name}` is none of this platform"))
                .hint(format!("tiers are {}", names.join(", ")))
                .hint("`--platform` says which architecture is built for"));
        };
        if tier.cpu < self.cpu || tier.memory_gb < self.memory_gb {
            let (cpu, memory) = (self.cpu, amount(self.memory_gb));
            return Err(Error::new(
                ErrorKind::NoCapacity,
                format!(
                    "the candidate's tier `{name}` ({} cpu, {} GB) is smaller than `{}` ({cpu} cpu, {memory} GB): {}",
                    tier.cpu,
                    amount(tier.memory_gb),
                    self.runner_type,
                    self.reason
                ),
            ));
        }
        if tier.name != self.runner_type {
            self.notes.push(format!("the candidate's tier `{name}` is taken in place of `{}`", self.runner_type));
            self.take(tier);
        }
        Ok(())
    }

    /// Goes on with another tier. The reason stays that of the choice.
    pub(super) fn take(&mut self, tier: &Tier) {
        self.tier = tier.clone();
        self.runner_type.clone_from(&tier.name);
        self.cpu = tier.cpu;
        self.memory_gb = tier.memory_gb;
        self.disk_gb = tier.disk_gb;
    }
}

/// A tier with the rule that chose it.
struct Choice<'a> {
    source: SizingSource,
    tier: &'a Tier,
    reason: String,
    notes: Vec<String>,
}

/// What a document or a flag asks for.
struct Asked<'a> {
    source: SizingSource,
    /// Who asks: "`.build-spec.ncl`", "ci/directives.ncl:5:3".
    who: String,
    /// What sort of mistake a wrong size is.
    kind: ErrorKind,
    size: RunnerSize,
    /// The disk, in GB, and who asks for it.
    disk: Option<(f64, &'a str)>,
}

/// Decides. The first rule that applies wins: override, spec, history, language.
///
/// # Errors
/// [`ErrorKind::Usage`] for an unknown `--runner-type`, [`ErrorKind::Spec`] for one in directives or spec or a size beside it
/// that does not fit in it, [`ErrorKind::NoCapacity`] for a size that no tier holds.
pub fn decide(request: &SizeRequest<'_>) -> Result<Sizing> {
    let choice = match asked(request) {
        Some(asked) => by_size(asked, request)?,
        None => by_advice(request)?,
    };
    let default = request.languages.get(request.language);
    let Choice { source, tier, reason, notes } = choice;
    let wish = request.wish;
    let own_time = wish.time_budget_min.as_ref().map(|said| said.value);
    let asked_time = own_time.or_else(|| request.spec.and_then(|spec| spec.time_budget_min));
    let retry = wish.oom_retry.as_ref().map(|said| said.value);
    Ok(Sizing {
        source,
        tier: tier.clone(),
        runner_type: tier.name.clone(),
        cpu: tier.cpu,
        memory_gb: tier.memory_gb,
        disk_gb: tier.disk_gb,
        time_budget_min: asked_time.unwrap_or(default.time_budget_min),
        time_is_explicit: asked_time.is_some(),
        oom_retry: retry.unwrap_or_else(|| request.spec.is_none_or(|spec| spec.oom_retry)),
        memory_is_explicit: matches!(source, SizingSource::Override | SizingSource::Spec),
        reason,
        notes,
    })
}

/// The size that somebody asks for: the override, else the spec.
fn asked<'a>(request: &SizeRequest<'a>) -> Option<Asked<'a>> {
    let own_disk = request.wish.disk_gb.as_ref().map(|said| (said.value, said.from.as_str()));
    if let Some(said) = &request.wish.size {
        let is_flag = said.by == By::Flag;
        return Some(Asked {
            source: SizingSource::Override,
            who: if is_flag { format!("`{}`", said.from) } else { said.from.clone() },
            kind: if is_flag { ErrorKind::Usage } else { ErrorKind::Spec },
            size: said.value.clone(),
            disk: own_disk,
        });
    }
    let spec = request.spec?;
    Some(Asked {
        source: SizingSource::Spec,
        who: format!("`{}`", spec::FILE_NAME),
        kind: ErrorKind::Spec,
        size: size_of(spec)?,
        disk: own_disk.or_else(|| Some((spec.disk_gb?, spec::FILE_NAME))),
    })
}

fn size_of(spec: &BuildSpec) -> Option<RunnerSize> {
    RunnerSize::of(spec.runner_type.as_ref(), spec.cpu, spec.memory_gb)
}

/// Checks what a document, called `who`, says of the runner's size: that some tier of the ladder is it. Without a size only
/// the disk counts.
///
/// # Errors
/// As [`decide`].
pub fn check_size(who: &str, size: Option<RunnerSize>, disk_gb: Option<f64>, tiers: &Tiers) -> Result<()> {
    let disk = disk_gb.map(|disk| (disk, who));
    if let Some(size) = size {
        let asked = Asked { source: SizingSource::Override, who: who.to_owned(), kind: ErrorKind::Spec, size, disk };
        return pick(&asked, tiers).map(drop);
    }
    let need = Need { disk_gb, ..Need::of(0.0, 0.0) };
    match (need.smallest(tiers), disk_gb) {
        (None, Some(disk)) => Err(larger_than_any(&format!("{who} asks for {} GB of disk", amount(disk)), tiers)),
        _ => Ok(()),
    }
}

/// The tier that is asked for, with the reason.
fn pick<'a>(asked: &Asked<'_>, tiers: &'a Tiers) -> Result<(&'a Tier, String)> {
    match &asked.size {
        RunnerSize::Tier { name, cpu, memory_gb } => {
            let tier = named_tier(name, asked, tiers)?;
            check_beside(tier, *cpu, *memory_gb, asked)?;
            Ok((tier, format!("{} asks for `{name}`", asked.who)))
        }
        RunnerSize::Raw { cpu, memory_gb } => {
            let need = Need { disk_gb: asked.disk.map(|(disk, _)| disk), ..Need::of(*cpu, *memory_gb) };
            let asks = format!("{} asks for {need}", asked.who);
            let tier = need.smallest(tiers).ok_or_else(|| larger_than_any(&asks, tiers))?;
            let reason = format!("{asks}: {} is the smallest tier that holds them", tier.name);
            Ok((tier, reason))
        }
    }
}

fn by_size<'a>(asked: Asked<'_>, request: &SizeRequest<'a>) -> Result<Choice<'a>> {
    let (tier, reason) = pick(&asked, request.tiers)?;
    let notes = match asked.source {
        SizingSource::Override => overridden(&asked.size, request.spec),
        _ => None,
    };
    Ok(Choice { source: asked.source, tier, reason, notes: notes.into_iter().collect() })
}

fn named_tier<'a>(name: &str, asked: &Asked<'_>, tiers: &'a Tiers) -> Result<&'a Tier> {
    tiers.get(name).ok_or_else(|| {
        let near = did_you_mean(name, tiers);
        Error::new(asked.kind, format!("{} asks for runner_type `{name}`, and there is no such tier{near}", asked.who))
            .hint(all(tiers))
    })
}

/// What stands beside a tier's name has to fit in it.
fn check_beside(tier: &Tier, cpu: Option<f64>, memory_gb: Option<f64>, asked: &Asked<'_>) -> Result<()> {
    let disk = asked.disk.map(|(disk, _)| disk);
    let beside = [
        ("cpu", cpu, f64::from(tier.cpu)),
        ("memory_gb", memory_gb, tier.memory_gb),
        ("disk_gb", disk, f64::from(tier.disk_gb)),
    ];
    for (field, amount_asked, has) in beside {
        if let Some(wanted) = amount_asked.filter(|wanted| *wanted > has) {
            let (wanted, has, name) = (amount(wanted), amount(has), &tier.name);
            // The disk may come from somebody else.
            let who = match asked.disk {
                Some((_, from)) if field == "disk_gb" && !asked.who.contains(from) => from,
                _ => &asked.who,
            };
            let message = format!("{who} asks for {field} {wanted} beside runner_type `{name}`, which has {has}");
            return Err(Error::new(ErrorKind::Spec, message)
                .hint("runner_type decides; what stands beside it has to fit in it, or can be left out"));
        }
    }
    Ok(())
}

/// What the spec asks for in vain.
fn overridden(size: &RunnerSize, spec: Option<&BuildSpec>) -> Option<String> {
    let of_spec = size_of(spec?)?;
    let is_same = match (&of_spec, size) {
        (RunnerSize::Tier { name, .. }, RunnerSize::Tier { name: other, .. }) => name == other,
        (of_spec, size) => of_spec == size,
    };
    let asks = match &of_spec {
        RunnerSize::Tier { name, .. } => format!("`{name}`"),
        RunnerSize::Raw { .. } => Need::of_spec(spec?)?.to_string(),
    };
    (!is_same).then(|| format!("`{}` asks for {asks}, which is overridden", spec::FILE_NAME))
}

/// Nobody asked for a size: history if it may be used, otherwise the language. Both are capped at the largest tier.
fn by_advice<'a>(request: &SizeRequest<'a>) -> Result<Choice<'a>> {
    let seen = history::judge(request.advice, request.actor);
    let default = request.languages.get(request.language);
    let (source, need, because, aside) = match seen {
        Seen::Use { need, because, aside } => (SizingSource::P95, need, because, aside),
        Seen::Nothing => (SizingSource::Language, Need::of(default.cpu, default.memory_gb), by_language(request), None),
        Seen::Show(aside) => {
            (SizingSource::Language, Need::of(default.cpu, default.memory_gb), by_language(request), Some(aside))
        }
    };
    let own = request.wish.disk_gb.as_ref().map(|said| (said.value, said.from.as_str()));
    let disk = own.or_else(|| Some((request.spec?.disk_gb?, spec::FILE_NAME)));
    let disk_gb = disk.map(|(disk, _)| disk);
    let capped = need.capped(request.tiers);
    let need_with_disk = Need { disk_gb, ..capped };
    let tier = need_with_disk.smallest(request.tiers);
    let tier = match (tier, disk) {
        (Some(tier), _) => tier,
        (None, Some((disk, from))) => {
            let asks = format!("`{from}` asks for {} GB of disk, which with {capped}", amount(disk));
            return Err(larger_than_any(&asks, request.tiers));
        }
        // A ladder without a tier that has both: the most memory, since too little of it fails and too few CPUs do not.
        (None, None) => request.tiers.largest().ok_or_else(|| larger_than_any(&because, request.tiers))?,
    };
    let notes = if need.fits(tier) {
        Vec::new()
    } else {
        vec![format!("{need} would be needed, and `{}` is the largest tier", tier.name)]
    };
    let fit = if notes.is_empty() { "the smallest tier that holds them" } else { "the largest tier" };
    let aside = aside.map(|aside| format!("; {aside}")).unwrap_or_default();
    let reason = format!("{because}: {} is {fit}{aside}", tier.name);
    Ok(Choice { source, tier, reason, notes })
}

fn by_language(request: &SizeRequest<'_>) -> String {
    let default = request.languages.get(request.language);
    let need = Need::of(default.cpu, default.memory_gb);
    let evidence = if request.evidence.is_empty() { String::new() } else { format!(" ({})", request.evidence) };
    match request.languages.knows(request.language) {
        true => format!("{}{evidence} gets {need} by default", request.language),
        false => format!("the default for any other project{evidence} is {need}"),
    }
}

fn larger_than_any(asks: &str, tiers: &Tiers) -> Error {
    let largest = tiers.largest().map(describe).unwrap_or_default();
    Error::new(ErrorKind::NoCapacity, format!("{asks}, more than any tier holds; the largest is {largest}"))
        .hint("ask for less, or name a tiers file that has a larger tier")
}

fn did_you_mean(name: &str, tiers: &Tiers) -> String {
    let near = nearest(name, tiers.iter().map(|tier| tier.name.as_str()));
    near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default()
}

fn all(tiers: &Tiers) -> String {
    format!("runner types: {}", tiers.iter().map(describe).collect::<Vec<_>>().join(", "))
}

fn describe(tier: &Tier) -> String {
    format!("`{}` ({} cpu, {} GB)", tier.name, tier.cpu, amount(tier.memory_gb))
}

#[cfg(test)]
#[path = "size_tests.rs"]
mod tests;
