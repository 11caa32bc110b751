//! The runner: who leases it, how large it is, whose it is.

use std::path::PathBuf;
use std::time::Duration;

use super::sources::Sources;
use crate::env_vars;
use crate::error::Result;
use crate::inputs::candidate::Candidate;
use crate::inputs::directives::ComputeProviderRef;
use crate::inputs::origin::{By, Origin};
use crate::inputs::resolve::{Candidates, Ledger, Said};
use crate::inputs::runner_wish::{RunnerSize, RunnerWish};
use crate::provider::choice;

/// How long a build waits for memory that others hold, when nobody says so.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(600);

/// The runner.
pub(super) struct Runner {
    pub(super) candidates: Vec<Candidate>,
    pub(super) wait_capacity: Duration,
    pub(super) wish: RunnerWish,
    pub(super) tiers_file: Option<PathBuf>,
    pub(super) owner: Option<String>,
    pub(super) keep_failed: Option<Duration>,
    pub(super) queue_timeout: Duration,
}

pub(super) fn runner(sources: &Sources<'_>, ledger: &mut Ledger, warnings: &mut Vec<String>) -> Result<Runner> {
    let args = sources.args;
    let key = key_without_effect(sources);
    match &key {
        Some((key, from)) => {
            let by = if *from == env_vars::BUILDKIT_SSH_KEY { By::Variable } else { By::Flag };
            ledger.note(Origin::new("ssh_key", format!("{}, which is not used", key.display()), by, *from));
        }
        None => ledger.note_default("ssh_key", "one for each lease"),
    }
    if let Some((key, from)) = key {
        warnings.push(format!(
            "the key `{}` ({from}) is not used: a runner gets a key of its own for each lease",
            key.display()
        ));
    }
    let tiers_file = args.tiers.as_ref().map(|file| sources.file(file));
    ledger.note_flag("tiers", "--tiers", tiers_file.as_ref().map(|path| path.display().to_string()), "built in");
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    ledger.note_flag("on_failure", "--on-failure", args.on_failure.map(seconds), "the runner is released");
    ledger.note_flag("wait_capacity", "--wait-capacity", args.wait_capacity.map(seconds), "0 s");
    ledger.note_flag("queue_timeout", "--queue-timeout", args.queue_timeout.map(seconds), &seconds(QUEUE_TIMEOUT));
    Ok(Runner {
        candidates: candidates(sources, ledger)?,
        wait_capacity: args.wait_capacity.unwrap_or_default(),
        wish: wish(sources)?,
        tiers_file,
        owner: args.owner.clone(),
        keep_failed: args.on_failure,
        queue_timeout: args.queue_timeout.unwrap_or(QUEUE_TIMEOUT),
    })
}

/// What is asked of the machine. The plan writes down what becomes of it.
fn wish(sources: &Sources<'_>) -> Result<RunnerWish> {
    let flag = sources.args.runner_type.as_ref().map(|name| Said::flag("--runner-type", RunnerSize::tier(name)));
    let of_directives = sources.directives.and_then(|said| Some((said, said.value.runner_override.as_ref()?)));
    let Some((said, wants)) = of_directives else { return Ok(RunnerWish { size: flag, ..RunnerWish::default() }) };
    let size = RunnerSize::of(wants.runner_type.as_ref(), wants.cpu, wants.memory_gb).map(|size| {
        let field = if wants.runner_type.is_some() { "runner_type" } else { "cpu" };
        let shown = size.to_string();
        said.said(&format!("runner_override.{field}"), size, shown)
    });
    let is_same = |flag: &RunnerSize, other: &RunnerSize| flag.to_string() == other.to_string();
    let candidates = Candidates { flag: flag.clone(), directives: size.clone(), variable: None };
    Ledger::default().pick_by("the runner's size", candidates, is_same)?;
    let amount = |field: &str, amount: Option<f64>| {
        amount.map(|amount| said.said(&format!("runner_override.{field}"), amount, amount.to_string()))
    };
    Ok(RunnerWish {
        // A flag names the tier only; the directives may have said more.
        size: size.or(flag),
        cpu: amount("cpu", wants.cpu),
        memory_gb: amount("memory_gb", wants.memory_gb),
        disk_gb: amount("disk_gb", wants.disk_gb),
        time_budget_min: amount("time_budget_min", wants.time_budget_min),
        oom_retry: wants.oom_retry.map(|retry| said.said("runner_override.oom_retry", retry, retry.to_string())),
    })
}

/// Who may lease the runner, in order. The plan writes down who does.
fn candidates(sources: &Sources<'_>, noted: &mut Ledger) -> Result<Vec<Candidate>> {
    let flag = sources.args.provider.iter().map(|said| choice::candidate(said, "--provider"));
    let flag = flag.collect::<Result<Vec<_>>>()?;
    let Some((said, providers)) =
        sources.directives.and_then(|said| Some((said, said.value.compute_provider.as_ref()?)))
    else {
        note_candidates(&flag, |_, _| "--provider".to_owned(), noted);
        return Ok(flag);
    };
    let path = |index| format!("compute_provider[{index}]");
    let candidate = |(index, provider): (usize, &ComputeProviderRef)| Candidate {
        provider: provider.clone(),
        from: said.place(&path(index)),
        by: By::Directives,
    };
    let directives: Vec<Candidate> = providers.iter().enumerate().map(candidate).collect();
    let names = |candidates: &[Candidate]| {
        candidates.iter().map(|candidate| candidate.provider.name()).collect::<Vec<_>>().join(", ")
    };
    let (shown, listed) = (names(&flag), names(&directives));
    let mut ledger = Ledger::default();
    let candidates = Candidates {
        flag: (!flag.is_empty()).then(|| Said::flag("--provider", shown)),
        directives: Some(said.said("compute_provider", listed.clone(), listed)),
        variable: None,
    };
    ledger.pick("provider", candidates)?;
    // A flag names them only; the directives have their options too.
    note_candidates(
        &directives,
        |index, option| match option {
            Some(option) => said.place(&format!("{}.options.{option}", path(index))),
            None => said.place(&path(index)),
        },
        noted,
    );
    Ok(directives)
}

/// Writes down who may lease, in order, each with its options. `place` tells where a candidate stands, or an option of it.
fn note_candidates(candidates: &[Candidate], place: impl Fn(usize, Option<&str>) -> String, ledger: &mut Ledger) {
    if candidates.is_empty() {
        ledger.note_default("candidate", "whom the machine decides");
    }
    for (index, candidate) in candidates.iter().enumerate() {
        let name = format!("candidate.{}", index + 1);
        ledger.note(Origin::new(name.clone(), candidate.provider.name(), candidate.by, place(index, None)));
        for (option, value) in candidate.provider.options() {
            let from = place(index, Some(&option));
            ledger.note(Origin::new(format!("{name}.{option}"), value, candidate.by, from));
        }
    }
}

fn key_without_effect(sources: &Sources<'_>) -> Option<(PathBuf, &'static str)> {
    let variable = || Some((sources.environment.path(env_vars::BUILDKIT_SSH_KEY)?, env_vars::BUILDKIT_SSH_KEY));
    sources.args.ssh_key.clone().map(|path| (path, "--ssh-key")).or_else(variable)
}
