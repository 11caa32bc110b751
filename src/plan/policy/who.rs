//! [`Who`]: who asks, as far as a rule may believe it.

use crate::ids::{Actor, Workspace};
use crate::inputs::vouched::Vouched;

/// Who asks. What only the directives say of it never satisfies a rule: any source could say it.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Who<'a> {
    pub(in crate::plan) actor: Actor,
    pub(in crate::plan) workspace: &'a Workspace,
    pub(in crate::plan) vouched: Vouched,
}

impl Who<'_> {
    /// Everybody it may be: a rule has to allow all of them.
    pub(super) fn actors(&self) -> Vec<Actor> {
        if self.vouched.actor { vec![self.actor] } else { Actor::ALL.to_vec() }
    }

    /// True when a rule for these actors is for it.
    pub(super) fn is_among(&self, actors: &[Actor]) -> bool {
        self.actors().iter().all(|actor| actors.contains(actor))
    }

    /// True when a rule for these workspaces is for it.
    pub(super) fn builds_one_of(&self, workspaces: &[Workspace]) -> bool {
        self.vouched.workspace && workspaces.contains(self.workspace)
    }

    /// What to say of the actor so that it is believed; empty where it is.
    pub(super) fn actor_doubt(&self) -> String {
        let actor = self.actor.as_str();
        if self.vouched.actor {
            String::new()
        } else {
            format!(" (only the directives say `'{actor}`: say `--actor {actor}`)")
        }
    }

    /// What to say of the workspace so that it is believed; empty where it is.
    pub(super) fn workspace_doubt(&self) -> String {
        let name = self.workspace;
        if self.vouched.workspace {
            String::new()
        } else {
            format!(" (only the directives say the workspace `{name}`: say `--workspace {name}`)")
        }
    }
}
