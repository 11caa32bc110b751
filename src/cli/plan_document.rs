//! [`PlanDocument`]: a plan as it is printed, `lian-build/plan/v1`.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::inputs::request::Origin;
use crate::lease::RunnerPaths;
use crate::plan::Reach;
use crate::report::envelope::{ErrorInfo, SizingInfo, Status};
use crate::report::units;
use crate::run::Prepared;
use crate::solve::buildctl;

/// A plan as it is printed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument {
    /// The format's name and version: `lian-build/plan/v1`.
    pub schema: &'static str,
    /// The command: `plan`.
    pub command: &'static str,
    /// `succeeded` when the build can be attempted, else `refused`.
    pub status: Status,
    /// The exit code.
    pub exit_code: u8,
    /// The plan; `null` when there is none.
    pub plan: Option<PlanBody>,
    /// Why there is no plan.
    pub error: Option<ErrorInfo>,
}

/// The plan itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanBody {
    /// What is built.
    pub workspace: String,
    /// `dockerfile`.
    pub build_kind: &'static str,
    /// The Dockerfile.
    pub dockerfile: String,
    /// `linux/arm64`, say.
    pub platform: String,
    /// The provider.
    pub provider: String,
    /// The size and its reason.
    pub sizing: SizingInfo,
    /// What it costs; local runners cost nothing.
    pub price: String,
    /// How much is sent.
    pub context: ContextBody,
    /// The command on the runner, with `<…>` for the lease's directories.
    pub argv: Vec<String>,
    /// What the build can reach.
    pub reach: Reach,
    /// Who won, for every value that has several sources.
    pub origins: Vec<Origin>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// How much is sent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContextBody {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Entries that an ignore file left out.
    pub ignored: u64,
}

const SCHEMA: &str = "lian-build/plan/v1";

impl PlanDocument {
    /// A plan that can be attempted.
    ///
    /// # Errors
    /// When the arguments cannot be written for `buildctl`.
    pub fn planned(prepared: &Prepared) -> Result<Self> {
        let plan = &prepared.plan;
        let totals = prepared.context.totals();
        let mut notes = plan.notes.clone();
        notes.extend(prepared.warnings.iter().cloned());
        notes.extend(crate::inputs::context::large_context_warning(&prepared.context));
        Ok(Self {
            schema: SCHEMA,
            command: "plan",
            status: Status::Succeeded,
            exit_code: crate::exit::SUCCESS,
            plan: Some(PlanBody {
                workspace: plan.workspace.to_string(),
                build_kind: plan.build_kind.as_str(),
                dockerfile: prepared.dockerfile.path.display().to_string(),
                platform: prepared.platform.clone(),
                provider: plan.provider.clone(),
                sizing: SizingInfo::from(&plan.sizing),
                price: "nothing: a runner of the provider `local` is this machine".to_owned(),
                context: ContextBody { files: totals.files, bytes: totals.bytes, ignored: prepared.context.ignored() },
                argv: buildctl::argv(&plan.solve, &placeholder_paths())?,
                reach: plan.reach.clone(),
                origins: plan.origins.clone(),
                notes,
            }),
            error: None,
        })
    }

    /// A refusal.
    pub fn refused(error: &Error) -> Self {
        let exit_code = crate::exit::code(error.kind());
        Self {
            schema: SCHEMA,
            command: "plan",
            status: Status::of_exit_code(exit_code),
            exit_code,
            plan: None,
            error: Some(ErrorInfo::from(error)),
        }
    }

    /// The plan for people.
    pub fn to_text(&self) -> String {
        match (&self.plan, &self.error) {
            (Some(plan), _) => plan.to_text(),
            (None, Some(error)) => format!("refused: {}\n", error.message.lines().next().unwrap_or_default()),
            (None, None) => String::new(),
        }
    }
}

impl PlanBody {
    fn to_text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<11} {}", crate::sanitise::line(value));
        };
        let sizing = &self.sizing;
        row("workspace", &self.workspace);
        row("size", &format!("{} ({} cpu, {} GB)", sizing.runner_type, sizing.cpu, sizing.memory_gb));
        row("", &sizing.reason);
        row("time budget", &format!("{} min for each attempt", sizing.time_budget_min));
        row("provider", &self.provider);
        row("price", &self.price);
        row("platform", &self.platform);
        row("builds", &self.dockerfile);
        row(
            "context",
            &format!(
                "{}, {}, {} ignored",
                units::count(self.context.files, "file"),
                units::bytes(self.context.bytes),
                self.context.ignored
            ),
        );
        list(&mut row, "pushes to", self.reach.registries.iter().map(String::as_str));
        list(&mut row, "secrets", self.reach.secrets.iter().map(String::as_str));
        let paths: Vec<String> = self.reach.reads.iter().map(|path| path.display().to_string()).collect();
        list(&mut row, "reads", paths.iter().map(String::as_str));
        let paths: Vec<String> = self.reach.writes.iter().map(|path| path.display().to_string()).collect();
        list(&mut row, "writes", paths.iter().map(String::as_str));
        if self.reach.host_network {
            row("network", "steps share the runner's network");
        }
        for origin in &self.origins {
            row("set by", &format!("{} = {} ({})", origin.name, origin.value, origin.from));
        }
        list(&mut row, "note", self.notes.iter().map(String::as_str));
        row("runs", &self.argv.join(" "));
        text
    }
}

fn list<'a>(row: &mut impl FnMut(&str, &str), name: &str, values: impl Iterator<Item = &'a str>) {
    for (index, value) in values.enumerate() {
        row(if index == 0 { name } else { "" }, value);
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
