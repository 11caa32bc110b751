//! Decides the size of the runner, with its reason. Pure: values in, values out.
//!
//! The first rule that applies wins: override, spec, history, language. What history says is in
//! [`super::history`]; nothing here looks at a machine or a provider.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::Actor;
use crate::inputs::spec::{self, BuildSpec};
use crate::nearest::nearest;
use crate::plan::history::{self, Seen};
use crate::plan::need::{Need, amount};
use crate::plan::{Languages, Tier, Tiers};
use crate::record::Advice;

/// Everything a size is decided from.
#[derive(Debug, Clone, Copy)]
pub struct SizeRequest<'a> {
    /// `--runner-type`, or an override in directives.
    pub override_runner_type: Option<&'a str>,
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
    /// Whether one retry on the next tier is allowed after memory ran out.
    pub oom_retry: bool,
    /// True when the memory was asked for (override or spec): a machine with less is then refused, not used.
    pub memory_is_explicit: bool,
    /// Why this size, in words.
    pub reason: String,
    /// What was asked for but is overridden, and what was limited.
    pub notes: Vec<String>,
}

/// A tier with the rule that chose it.
struct Choice<'a> {
    source: SizingSource,
    tier: &'a Tier,
    reason: String,
    notes: Vec<String>,
}

/// Decides. The first rule that applies wins: override, spec, history, language.
///
/// # Errors
/// [`ErrorKind::Usage`] for an unknown `--runner-type`, [`ErrorKind::Spec`] for one in the spec or a size beside it
/// that does not fit in it, [`ErrorKind::NoCapacity`] for a size that no tier holds.
pub fn decide(request: &SizeRequest<'_>) -> Result<Sizing> {
    let choice = match (request.override_runner_type, request.spec) {
        (Some(name), spec) => by_override(name, spec, request.tiers)?,
        (None, Some(BuildSpec { runner_type: Some(name), .. })) => by_spec_tier(name, request)?,
        (None, Some(BuildSpec { cpu: Some(cpu), memory_gb: Some(memory_gb), .. })) => {
            by_spec_size(*cpu, *memory_gb, request)?
        }
        _ => by_advice(request)?,
    };
    let default = request.languages.get(request.language);
    let Choice { source, tier, reason, notes } = choice;
    Ok(Sizing {
        source,
        tier: tier.clone(),
        runner_type: tier.name.clone(),
        cpu: tier.cpu,
        memory_gb: tier.memory_gb,
        disk_gb: tier.disk_gb,
        time_budget_min: request.spec.and_then(|spec| spec.time_budget_min).unwrap_or(default.time_budget_min),
        oom_retry: request.spec.is_none_or(|spec| spec.oom_retry),
        memory_is_explicit: matches!(source, SizingSource::Override | SizingSource::Spec),
        reason,
        notes,
    })
}

fn by_override<'a>(name: &str, spec: Option<&BuildSpec>, tiers: &'a Tiers) -> Result<Choice<'a>> {
    let tier = tiers.get(name).ok_or_else(|| {
        Error::usage(format!("`{name}` is not a runner type{}", did_you_mean(name, tiers))).hint(all(tiers))
    })?;
    let asked = spec.and_then(|spec| match (&spec.runner_type, Need::of_spec(spec)) {
        (Some(other), _) if other != name => Some(format!("`{other}`")),
        (None, Some(need)) => Some(need.to_string()),
        _ => None,
    });
    let notes = asked.map(|asked| format!("`{}` asks for {asked}, which is overridden", spec::FILE_NAME));
    Ok(Choice {
        source: SizingSource::Override,
        tier,
        reason: format!("`{name}` is asked for by override (`--runner-type` or directives)"),
        notes: notes.into_iter().collect(),
    })
}

fn by_spec_tier<'a>(name: &str, request: &SizeRequest<'a>) -> Result<Choice<'a>> {
    let (file, tiers) = (spec::FILE_NAME, request.tiers);
    let tier = tiers.get(name).ok_or_else(|| {
        let near = did_you_mean(name, tiers);
        Error::new(ErrorKind::Spec, format!("`{file}` asks for runner_type `{name}`, and there is no such tier{near}"))
            .hint(all(tiers))
    })?;
    let beside = request.spec.map(|spec| {
        [
            ("cpu", spec.cpu, f64::from(tier.cpu)),
            ("memory_gb", spec.memory_gb, tier.memory_gb),
            ("disk_gb", spec.disk_gb, f64::from(tier.disk_gb)),
        ]
    });
    for (field, asked, has) in beside.into_iter().flatten() {
        if let Some(asked) = asked.filter(|asked| *asked > has) {
            let (asked, has) = (amount(asked), amount(has));
            let message = format!("`{file}` asks for {field} {asked} beside runner_type `{name}`, which has {has}");
            return Err(Error::new(ErrorKind::Spec, message)
                .hint("runner_type decides; what stands beside it has to fit in it, or can be left out"));
        }
    }
    let reason = format!("`{file}` asks for `{name}`");
    Ok(Choice { source: SizingSource::Spec, tier, reason, notes: Vec::new() })
}

fn by_spec_size<'a>(cpu: f64, memory_gb: f64, request: &SizeRequest<'a>) -> Result<Choice<'a>> {
    let disk_gb = request.spec.and_then(|spec| spec.disk_gb);
    let need = Need { disk_gb, ..Need::of(cpu, memory_gb) };
    let asks = format!("`{}` asks for {need}", spec::FILE_NAME);
    let tier = need.smallest(request.tiers).ok_or_else(|| larger_than_any(&asks, request.tiers))?;
    let reason = format!("{asks}: {} is the smallest tier that holds them", tier.name);
    Ok(Choice { source: SizingSource::Spec, tier, reason, notes: Vec::new() })
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
    let disk_gb = request.spec.and_then(|spec| spec.disk_gb);
    let capped = need.capped(request.tiers);
    let need_with_disk = Need { disk_gb, ..capped };
    let tier = need_with_disk.smallest(request.tiers);
    let tier = match (tier, disk_gb) {
        (Some(tier), _) => tier,
        (None, Some(disk)) => {
            let asks = format!("`{}` asks for {} GB of disk, which with {capped}", spec::FILE_NAME, amount(disk));
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
