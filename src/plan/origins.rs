//! Where the size came from, for `plan --explain`.

use super::need::amount;
use super::policy::{Effect, Finding};
use super::{Found, Sizing, SizingSource};
use crate::inputs::nickel::field_path;
use crate::inputs::origin::{By, Origin};
use crate::inputs::resolve::Said;
use crate::inputs::runner_wish::RunnerWish;
use crate::inputs::spec::{self, BuildSpec};

/// Where tier, time budget and retry came from.
pub(super) fn of_sizing(wish: &RunnerWish, found: &Found<'_>, sizing: &Sizing) -> Vec<Origin> {
    vec![
        size(wish, found, sizing),
        part("cpu", &sizing.cpu, wish.cpu.as_ref(), found.spec.and_then(|spec| spec.cpu), found, sizing),
        part(
            "memory_gb",
            &sizing.memory_gb,
            wish.memory_gb.as_ref(),
            found.spec.and_then(|spec| spec.memory_gb),
            found,
            sizing,
        ),
        part(
            "disk_gb",
            &sizing.disk_gb,
            wish.disk_gb.as_ref(),
            found.spec.and_then(|spec| spec.disk_gb),
            found,
            sizing,
        ),
        one("time_budget_min", wish.time_budget_min.as_ref(), time_of_spec(found), &sizing.time_budget_min, || {
            of_language(found)
        }),
        one("oom_retry", wish.oom_retry.as_ref(), retry_of_spec(found), &sizing.oom_retry, || "default".to_owned()),
        cache_keys(found),
    ]
}

/// One amount of the runner: it is the tier's, and what was asked for decided about the tier.
fn part<T: ToString>(
    name: &str,
    value: &T,
    said: Option<&Said<f64>>,
    of_spec: Option<f64>,
    found: &Found<'_>,
    sizing: &Sizing,
) -> Origin {
    let tier = format!("the tier `{}`", sizing.runner_type);
    // The spec's size counts where its rule decided; its disk where nobody else speaks of one.
    let counts = sizing.source == SizingSource::Spec || name == "disk_gb";
    match (said, of_spec.filter(|_| counts)) {
        (Some(said), _) => {
            Origin::new(name, value.to_string(), said.by, format!("{tier}, for {} asks for {}", said.from, said.shown))
        }
        (None, Some(asked)) => {
            let from = format!("{tier}, for {} asks for {}", place(found, name), amount(asked));
            Origin::new(name, value.to_string(), By::Spec, from)
        }
        (None, None) => Origin::new(name, value.to_string(), By::Found, tier),
    }
}

fn cache_keys(found: &Found<'_>) -> Origin {
    match found.spec.filter(|spec| !spec.cache_keys.is_empty()) {
        Some(spec) => Origin::new("cache_keys", spec.cache_keys.join(", "), By::Spec, place(found, "cache_keys")),
        None => Origin::new("cache_keys", "none", By::Default, "default"),
    }
}

/// The same, with the policy's cap where there is one.
pub(super) fn capped(origin: Origin, findings: &[Finding], sizing: &Sizing) -> Origin {
    let value = match origin.name.as_str() {
        "runner_type" => sizing.runner_type.clone(),
        "cpu" => return of_capped_tier(origin, &sizing.cpu, findings, sizing),
        "memory_gb" => return of_capped_tier(origin, &sizing.memory_gb, findings, sizing),
        "disk_gb" => return of_capped_tier(origin, &sizing.disk_gb, findings, sizing),
        "time_budget_min" => sizing.time_budget_min.to_string(),
        _ => return origin,
    };
    let is_cap =
        |finding: &&Finding| finding.effect == Effect::Capped && finding.rule == format!("caps.{}", origin.name);
    let Some(cap) = findings.iter().find(is_cap) else { return origin };
    Origin {
        instead_of: vec![format!("{} = {}", origin.from, origin.value)],
        ..Origin::new(origin.name, value, By::Policy, cap.place())
    }
}

/// An amount of the tier that the policy's cap leaves.
fn of_capped_tier<T: ToString>(origin: Origin, value: &T, findings: &[Finding], sizing: &Sizing) -> Origin {
    let rule = "caps.runner_type";
    let cap = findings.iter().find(|finding| finding.effect == Effect::Capped && finding.rule == rule);
    let Some(cap) = cap else { return origin };
    let from = format!("the tier `{}`, for {}", sizing.runner_type, cap.place());
    Origin {
        instead_of: vec![format!("{} = {}", origin.from, origin.value)],
        ..Origin::new(origin.name, value.to_string(), By::Policy, from)
    }
}

/// The same for a secret or an SSH agent that the policy has bound.
pub(super) fn bound(origin: Origin, findings: &[Finding]) -> Origin {
    let rule = match origin.name.split_once('.') {
        Some(("secret", id)) => field_path("secrets", id),
        Some(("ssh", id)) => field_path("ssh", id),
        _ => return origin,
    };
    let binding = findings.iter().find(|finding| finding.effect == Effect::Bound && finding.rule == rule);
    let Some(binding) = binding else { return origin };
    Origin {
        instead_of: vec![format!("{} = {}", origin.from, origin.value)],
        ..Origin::new(origin.name, binding.allowed.clone(), By::Policy, binding.place())
    }
}

fn size(wish: &RunnerWish, found: &Found<'_>, sizing: &Sizing) -> Origin {
    let origin = |by, from: &str| Origin::new("runner_type", sizing.runner_type.clone(), by, from);
    let of_spec = found.spec.and_then(|spec| {
        let shown = match (&spec.runner_type, spec.cpu, spec.memory_gb) {
            (Some(name), ..) => name.clone(),
            (None, Some(cpu), Some(memory_gb)) => format!("{cpu} cpu and {memory_gb} GB"),
            _ => return None,
        };
        let field = if spec.runner_type.is_some() { "runner_type" } else { "cpu" };
        Some((place(found, field), shown))
    });
    match (sizing.source, &wish.size, of_spec) {
        (SizingSource::Override, Some(said), of_spec) => Origin {
            instead_of: of_spec.map(|(place, shown)| format!("{place} = {shown}")).into_iter().collect(),
            ..origin(said.by, &said.from)
        },
        (SizingSource::Spec, _, Some((place, _))) => origin(By::Spec, &place),
        (SizingSource::P95, ..) => origin(By::Found, "past runs"),
        _ => origin(By::Default, &of_language(found)),
    }
}

fn of_language(found: &Found<'_>) -> String {
    format!("the language's default ({})", found.language.0)
}

/// What the spec says: its place and the value.
type OfSpec = Option<(String, String)>;

fn one<T: PartialEq + ToString>(
    name: &str,
    said: Option<&Said<T>>,
    of_spec: OfSpec,
    value: &T,
    otherwise: impl FnOnce() -> String,
) -> Origin {
    let origin = |by, from: String| Origin::new(name, value.to_string(), by, from);
    match (said, of_spec) {
        (Some(said), of_spec) => Origin {
            instead_of: of_spec
                .filter(|(_, shown)| *shown != said.shown)
                .map(|(place, shown)| format!("{place} = {shown}"))
                .into_iter()
                .collect(),
            ..origin(said.by, said.from.clone())
        },
        (None, Some((place, _))) => origin(By::Spec, place),
        (None, None) => origin(By::Default, otherwise()),
    }
}

fn time_of_spec(found: &Found<'_>) -> OfSpec {
    let minutes = found.spec?.time_budget_min?;
    Some((place(found, "time_budget_min"), minutes.to_string()))
}

/// The spec always has a value; it is said only where it stands in the file.
fn retry_of_spec(found: &Found<'_>) -> OfSpec {
    let BuildSpec { oom_retry, .. } = found.spec?;
    let own = found.spec_places.get("oom_retry").filter(|place| !place.is_embedded());
    (!oom_retry || own.is_some()).then(|| (place(found, "oom_retry"), oom_retry.to_string()))
}

fn place(found: &Found<'_>, field: &str) -> String {
    found.spec_places.nearest(field).map_or_else(|| spec::FILE_NAME.to_owned(), ToString::to_string)
}
