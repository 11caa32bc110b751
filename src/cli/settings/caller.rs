//! Who builds, and for what: workspace, actor and actor id.

use super::sources::Sources;
use crate::env_vars;
use crate::error::{Error, Result};
use crate::ids::{Actor, ActorId, Workspace};
use crate::inputs::directives::CachePolicy;
use crate::inputs::origin::{By, Origin};
use crate::inputs::resolve::{Candidates, Ledger, Said};
use crate::inputs::vouched::Vouched;

/// Who builds, and for what.
pub(super) struct Caller {
    /// The workspace, where one was named.
    pub(super) workspace: Option<Workspace>,
    /// What kind of caller.
    pub(super) actor: Actor,
    /// Which one.
    pub(super) actor_id: ActorId,
    /// Which of these it said itself.
    pub(super) vouched: Vouched,
}

pub(super) fn caller(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Caller> {
    let actor = actor(sources, ledger)?;
    let actor_id = actor_id(sources, actor, ledger)?;
    let candidates = sources.text(
        ("--workspace", sources.args.workspace.as_ref()),
        ("workspace", |directives| Some(directives.workspace.to_string())),
        Some(env_vars::BUILDKIT_WORKSPACE),
    )?;
    let vouched = Vouched {
        actor: sources.args.actor.is_some() || sources.directives.is_none(),
        workspace: candidates.directives.as_ref().is_none_or(|said| {
            [&candidates.flag, &candidates.variable].into_iter().flatten().any(|own| own.value == said.value)
        }),
    };
    let workspace = ledger.pick("workspace", candidates)?.map(|name| name.parse()).transpose()?;
    if workspace.is_none() && actor == Actor::Ci {
        return Err(Error::usage("`--actor ci` without a workspace")
            .hint("say `--workspace NAME`: what CI writes must not depend on the name of a directory"));
    }
    Ok(Caller { workspace, actor, actor_id, vouched })
}

fn actor(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<Actor> {
    let said = |policy: &CachePolicy| policy.actor;
    let candidates = Candidates {
        flag: sources.args.actor.map(|actor| Said::by_flag("--actor", actor, actor.as_str())),
        directives: sources.directives.map(|directives| {
            let actor = said(&directives.value.cache_policy);
            directives.said("cache_policy.actor", actor, actor.as_str())
        }),
        variable: None,
    };
    Ok(ledger.pick("actor", candidates)?.unwrap_or_else(|| {
        ledger.note_default("actor", Actor::Human.as_str());
        Actor::Human
    }))
}

fn actor_id(sources: &Sources<'_>, actor: Actor, ledger: &mut Ledger) -> Result<ActorId> {
    let candidates = sources.text(
        ("--actor-id", sources.args.actor_id.as_ref()),
        ("cache_policy.actor_id", |directives| directives.cache_policy.actor_id.as_ref().map(ToString::to_string)),
        None,
    )?;
    if let Some(id) = ledger.pick("actor_id", candidates)? {
        return id.parse();
    }
    let (id, by, from) = match sources.environment.text(env_vars::USER).and_then(ActorId::normalise) {
        Some(id) => (id, By::Variable, "USER"),
        None => (actor.as_str().replace('_', "").parse()?, By::Default, "the actor, for `USER` names nobody"),
    };
    ledger.note(Origin::new("actor_id", id.to_string(), by, from));
    Ok(id)
}
