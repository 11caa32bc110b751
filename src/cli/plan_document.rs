//! Makes a [`PlanDocument`] of a prepared build, and writes it for people.

use std::fmt::Write as _;

use crate::error::Result;
use crate::ids::RunId;
use crate::inputs::origin::{By, Origin};
use crate::lease::RunnerPaths;
use crate::plan::against::Against;
use crate::plan::policy::Effect;
use crate::report::plan_document::{
    PlanBody, PlanDocument, PlannedCache, PlannedContext, PlannedLogin, UNKNOWN_OFFLINE,
};
use crate::report::units;
use crate::run::{Checked, Prepared};
use crate::solve::buildctl;

/// Values that several sources can set: who won is always shown.
const CONTESTED: [&str; 6] = ["workspace", "actor_id", "provider", "owner", "nats_url", "nats_subject_prefix"];

/// Whether a plan that is not to explain everything shows where a value came from.
fn is_contested(origin: &Origin) -> bool {
    !origin.instead_of.is_empty() || (CONTESTED.contains(&origin.name.as_str()) && origin.by != By::Default)
}

/// The document of a plan, with what keeps it from being carried out here. With `explain` it shows where every value came
/// from.
///
/// # Errors
/// When the arguments cannot be written for `buildctl`.
pub(super) fn document(run_id: RunId, prepared: &Prepared, checked: &Checked, explain: bool) -> Result<PlanDocument> {
    let plan = &prepared.plan;
    let totals = prepared.context.totals();
    let login = |host: &str| PlannedLogin { registry: host.to_owned(), state: UNKNOWN_OFFLINE.to_owned() };
    let body = PlanBody {
        build_kind: plan.build_kind.as_str().to_owned(),
        dockerfile: prepared.dockerfile.path.display().to_string(),
        platform: prepared.platform.clone(),
        provider: plan.provider.clone(),
        sizing: (&plan.sizing).into(),
        price: prepared.price.clone(),
        context: PlannedContext { files: totals.files, bytes: totals.bytes, ignored: prepared.context.ignored() },
        cache: PlannedCache {
            reads: plan.cache.reads.clone(),
            writes: plan.cache.writes.clone(),
            kept_bytes: checked.kept_cache_bytes,
            ..PlannedCache::default()
        },
        skipped: Vec::new(),
        argv: buildctl::argv(&plan.solve, &placeholder_paths())?,
        reach: plan.reach.clone(),
        policy: plan.policy.clone(),
        logins: plan.reach.registries().into_iter().map(login).collect(),
        origins: plan.origins.iter().filter(|origin| explain || is_contested(origin)).cloned().collect(),
        notes: plan.notes.clone(),
    };
    let mut warnings = prepared.warnings.clone();
    warnings.extend(crate::inputs::context::large_context_warning(&prepared.context));
    let document = PlanDocument::planned(run_id, plan.workspace.clone(), body, warnings);
    Ok(match &checked.refusal {
        Some(error) => document.because(error),
        None => document,
    })
}

/// The document for people.
pub(super) fn text(document: &PlanDocument, explain: bool) -> String {
    let mut rows = Rows::default();
    if let Some(plan) = &document.plan {
        if let Some(workspace) = &document.workspace {
            rows.one("workspace", workspace.as_str());
        }
        describe(&mut rows, plan);
        if explain {
            rows.table(&plan.origins);
        } else {
            rows.origins(&plan.origins);
        }
        rows.list("note", &plan.notes);
        rows.list("warning", &document.warnings);
        rows.one("runs", &plan.argv.join(" "));
    }
    if let Some(against) = &document.against {
        compared(&mut rows, against);
    }
    if let Some(error) = &document.error {
        let is_new = document.against.as_ref().is_some_and(|against| !against.new.is_empty());
        let what = match &document.plan {
            Some(_) if !is_new => "cannot be built here",
            _ => "refused",
        };
        rows.line(&format!("{what}: {}", error.message.lines().next().unwrap_or_default()));
    }
    rows.text
}

/// What is new compared with an earlier plan.
fn compared(rows: &mut Rows, against: &Against) {
    if let Some(root) = &against.moved_from {
        rows.one("moved", &format!("the project was at {root}; paths in it are compared from its directory on"));
    }
    let new: Vec<String> = against.new.iter().map(ToString::to_string).collect();
    if new.is_empty() {
        rows.one("new", &format!("nothing, compared with {}", against.file));
    }
    rows.list("new", &new);
}

fn describe(rows: &mut Rows, plan: &PlanBody) {
    let sizing = &plan.sizing;
    rows.one("size", &format!("{} ({} cpu, {} GB)", sizing.runner_type, sizing.cpu, sizing.memory_gb));
    rows.one("", &sizing.reason);
    rows.one("time budget", &format!("{} min for each attempt", sizing.time_budget_min));
    rows.one("provider", &format!("{} (isolation: {})", plan.provider, plan.reach.isolation.as_str()));
    rows.one("price", &plan.price);
    rows.one("platform", &plan.platform);
    rows.one("builds", &plan.dockerfile);
    let context = &plan.context;
    let (files, bytes) = (units::count(context.files, "file"), units::bytes(context.bytes));
    rows.one("context", &format!("{files}, {bytes}, {} ignored", context.ignored));
    rows.some("cache from", &plan.cache.imported);
    rows.some("cache to", &plan.cache.exported);
    rows.some("may read", &plan.cache.reads);
    rows.some("may write", &plan.cache.writes);
    rows.one(
        "cache kept",
        &match plan.cache.kept_bytes {
            0 => "none".to_owned(),
            bytes => format!("up to {} on the runner's machine, for this workspace and actor", units::bytes(bytes)),
        },
    );
    rows.some("skips", &plan.skipped);
    rows.some("pushes to", &plan.reach.push_repositories);
    rows.some("pulls from", &plan.reach.pull_repositories);
    rows.list(
        "pulls",
        &plan.reach.pulls_unknown.iter().map(|text| format!("{text}, wherever that is")).collect::<Vec<_>>(),
    );
    rows.list("fetches", &plan.reach.fetches);
    rows.list(
        "fetches",
        &plan.reach.fetches_unknown.iter().map(|text| format!("{text}, whatever that is")).collect::<Vec<_>>(),
    );
    rows.list("proxies", &plan.reach.proxies);
    for login in &plan.logins {
        rows.one("login", &format!("{}: {}", login.registry, login.state));
    }
    rows.one(
        "events to",
        &plan
            .reach
            .nats
            .as_ref()
            .map_or("no NATS server".to_owned(), |nats| format!("{nats}, whether it answers: {UNKNOWN_OFFLINE}")),
    );
    rows.some("secrets", &plan.reach.secrets);
    rows.some("ssh agents", &plan.reach.ssh);
    rows.list("reads", &plan.reach.reads);
    rows.some("writes", &plan.reach.writes);
    match plan.reach.step_network.as_str() {
        "host" => rows.one("network", "steps share the runner's network"),
        "none" => rows.one("network", "steps have none"),
        _ => {}
    }
    rows.list("policy", &plan.policy.files);
    // What was capped is among the notes.
    for finding in plan.policy.rules.iter().filter(|finding| finding.effect != Effect::Capped) {
        rows.one(finding.effect.as_str(), &finding.to_string());
    }
}

/// Where a value came from, and what lost to it.
fn from(origin: &Origin) -> String {
    match origin.instead_of.as_slice() {
        [] => origin.from.clone(),
        losers => format!("{}, not {}", origin.from, losers.join(", ")),
    }
}

/// Lines of a name and a value.
#[derive(Default)]
struct Rows {
    text: String,
}

impl Rows {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{}", crate::sanitise::line(line));
    }

    fn one(&mut self, name: &str, value: &str) {
        self.line(&format!("{name:<11} {value}"));
    }

    /// Who won, a line each.
    fn origins(&mut self, origins: &[Origin]) {
        for origin in origins {
            self.one("set by", &format!("{} = {} ({})", origin.name, origin.value, from(origin)));
        }
    }

    /// Where every value came from, in columns.
    fn table(&mut self, origins: &[Origin]) {
        let width = |text: fn(&Origin) -> &str, most: usize| {
            origins.iter().map(|origin| text(origin).chars().count()).max().unwrap_or_default().min(most)
        };
        let (names, values) = (width(|origin| &origin.name, 40), width(|origin| &origin.value, 48));
        self.line("");
        self.line(&format!("{:names$}  {:values$}  FROM", "NAME", "VALUE"));
        for origin in origins {
            self.line(&format!("{:names$}  {:values$}  {}", origin.name, origin.value, from(origin)));
        }
        self.line("");
    }

    fn list(&mut self, name: &str, values: &[String]) {
        for (index, value) in values.iter().enumerate() {
            self.one(if index == 0 { name } else { "" }, value);
        }
    }

    /// As [`Rows::list`]; says so when there is nothing.
    fn some(&mut self, name: &str, values: &[String]) {
        if values.is_empty() {
            self.one(name, "none");
        }
        self.list(name, values);
    }
}

fn placeholder_paths() -> RunnerPaths {
    let path = |name: &str| format!("<{name}>");
    RunnerPaths {
        context: path("context"),
        extra_contexts: path("extra-contexts"),
        run: path("run"),
        buildkit_root: path("buildkit"),
        output: path("output"),
        secrets: path("secrets"),
        bin: path("bin"),
    }
}
