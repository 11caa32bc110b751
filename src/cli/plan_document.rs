//! Makes a [`PlanDocument`] of a prepared build, and writes it for people.

use std::fmt::Write as _;

use crate::error::Result;
use crate::ids::RunId;
use crate::lease::RunnerPaths;
use crate::report::plan_document::{
    PlanBody, PlanDocument, PlannedCache, PlannedContext, PlannedLogin, UNKNOWN_OFFLINE,
};
use crate::report::units;
use crate::run::{Checked, Prepared};
use crate::solve::buildctl;

/// What a runner costs.
fn price(provider: &str) -> &'static str {
    match provider {
        "local" => "nothing: a runner of the provider `local` is this machine",
        "docker_local" => "nothing: a runner of the provider `docker_local` is a container of this machine's Docker",
        _ => UNKNOWN_OFFLINE,
    }
}

/// The document of a plan, with what keeps it from being carried out here.
///
/// # Errors
/// When the arguments cannot be written for `buildctl`.
pub(super) fn document(run_id: RunId, prepared: &Prepared, checked: &Checked) -> Result<PlanDocument> {
    let plan = &prepared.plan;
    let totals = prepared.context.totals();
    let login = |host: &str| PlannedLogin { registry: host.to_owned(), state: UNKNOWN_OFFLINE.to_owned() };
    let body = PlanBody {
        build_kind: plan.build_kind.as_str().to_owned(),
        dockerfile: prepared.dockerfile.path.display().to_string(),
        platform: prepared.platform.clone(),
        provider: plan.provider.clone(),
        sizing: (&plan.sizing).into(),
        price: price(&plan.provider).to_owned(),
        context: PlannedContext { files: totals.files, bytes: totals.bytes, ignored: prepared.context.ignored() },
        cache: PlannedCache { kept_bytes: checked.kept_cache_bytes, ..PlannedCache::default() },
        skipped: Vec::new(),
        argv: buildctl::argv(&plan.solve, &placeholder_paths())?,
        reach: plan.reach.clone(),
        logins: plan.reach.registries().into_iter().map(login).collect(),
        origins: plan.origins.clone(),
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
pub(super) fn text(document: &PlanDocument) -> String {
    let mut rows = Rows::default();
    if let Some(plan) = &document.plan {
        if let Some(workspace) = &document.workspace {
            rows.one("workspace", workspace.as_str());
        }
        describe(&mut rows, plan);
        rows.list("warning", &document.warnings);
        rows.one("runs", &plan.argv.join(" "));
    }
    if let Some(error) = &document.error {
        let what = if document.plan.is_some() { "cannot be built here" } else { "refused" };
        rows.line(&format!("{what}: {}", error.message.lines().next().unwrap_or_default()));
    }
    rows.text
}

fn describe(rows: &mut Rows, plan: &PlanBody) {
    let sizing = &plan.sizing;
    rows.one("size", &format!("{} ({} cpu, {} GB)", sizing.runner_type, sizing.cpu, sizing.memory_gb));
    rows.one("", &sizing.reason);
    rows.one("time budget", &format!("{} min for each attempt", sizing.time_budget_min));
    rows.one("provider", &plan.provider);
    rows.one("price", &plan.price);
    rows.one("platform", &plan.platform);
    rows.one("builds", &plan.dockerfile);
    let context = &plan.context;
    let (files, bytes) = (units::count(context.files, "file"), units::bytes(context.bytes));
    rows.one("context", &format!("{files}, {bytes}, {} ignored", context.ignored));
    rows.some("cache from", &plan.cache.imported);
    rows.some("cache to", &plan.cache.exported);
    rows.one(
        "cache kept",
        &match plan.cache.kept_bytes {
            0 => "none".to_owned(),
            bytes => format!("up to {} on the runner's machine, for this workspace and actor", units::bytes(bytes)),
        },
    );
    rows.some("skips", &plan.skipped);
    rows.some("pushes to", &plan.reach.pushes_to);
    rows.some("pulls from", &plan.reach.pulls_from);
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
    rows.list("reads", &plan.reach.reads);
    rows.some("writes", &plan.reach.writes);
    if plan.reach.host_network {
        rows.one("network", "steps share the runner's network");
    }
    for origin in &plan.origins {
        rows.one("set by", &format!("{} = {} ({})", origin.name, origin.value, origin.from));
    }
    rows.list("note", &plan.notes);
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
