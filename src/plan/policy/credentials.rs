//! `secrets` and `ssh`: where the value of an id comes from that nobody else has bound.

use super::{Effect, Finding, Who};
use crate::env_vars::{self, Environment};
use crate::ids::{Actor, Workspace};
use crate::inputs::nickel::field_path;
use crate::inputs::policy::{Policies, Rule};
use crate::inputs::secret::{SecretSource, SecretSpec};
use crate::inputs::ssh_agent::{SshAgent, SshSource};

/// Who asks for a credential.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Asker<'a> {
    pub(in crate::plan) who: Who<'a>,
    pub(in crate::plan) environment: &'a Environment,
}

/// Whom a binding is for; `None` for all.
#[derive(Debug, Clone, Copy)]
struct Whom<'a> {
    actors: Option<&'a [Actor]>,
    workspaces: Option<&'a [Workspace]>,
}

/// The secrets, with those bound that neither a flag nor `LIAN_SECRET_<ID>` binds.
pub(in crate::plan) fn bind_secrets(
    policies: &Policies,
    secrets: &[SecretSpec],
    asker: Asker<'_>,
) -> (Vec<SecretSpec>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut bound = secrets.to_vec();
    for secret in &mut bound {
        let is_open = matches!(secret.source, SecretSource::Bound | SecretSource::Named);
        if !is_open || asker.environment.os(&secret.id.variable()).is_some() {
            continue;
        }
        let (id, what) = (secret.id.to_string(), format!("the secret `{}`", secret.id));
        let name = field_path("secrets", &id);
        let said = policies.said(&name, |policy| policy.secrets.get(&id)).collect();
        let Some((rule, binding, beaten)) = winner(said) else { continue };
        let whom = Whom { actors: binding.actors.as_deref(), workspaces: binding.workspaces.as_deref() };
        if !asker.is(whom) {
            findings.push(Finding::new(Effect::Withheld, rule, what + &asker.doubt(whom), whom.to_string()));
            continue;
        }
        // The contract sees to it that it is exactly one of them.
        match (&binding.src, &binding.env) {
            (Some(path), _) => secret.source = SecretSource::File(path.clone()),
            (None, Some(name)) => secret.source = SecretSource::Env(name.clone()),
            (None, None) => continue,
        }
        findings.push(Finding::new(Effect::Bound, rule, what, format!("{}{beaten}", secret.source_text())));
    }
    (bound, findings)
}

/// The SSH agents, with those bound that only the directives name.
pub(in crate::plan) fn bind_ssh(
    policies: &Policies,
    agents: &[SshAgent],
    asker: Asker<'_>,
) -> (Vec<SshAgent>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut bound = agents.to_vec();
    for agent in bound.iter_mut().filter(|agent| agent.source == SshSource::Named) {
        let (id, what) = (agent.id.to_string(), format!("the SSH agent `{}`", agent.id));
        let name = field_path("ssh", &id);
        let said = policies.said(&name, |policy| policy.ssh.get(&id)).collect();
        let Some((rule, binding, beaten)) = winner(said) else { continue };
        let whom = Whom { actors: binding.actors.as_deref(), workspaces: binding.workspaces.as_deref() };
        if !asker.is(whom) {
            findings.push(Finding::new(Effect::Withheld, rule, what + &asker.doubt(whom), whom.to_string()));
            continue;
        }
        let (source, words) = match &binding.socket {
            Some(path) => (SshSource::Socket(path.clone()), format!("socket {}", path.display())),
            None => (SshSource::Environment, format!("variable {}", env_vars::SSH_AUTH_SOCK)),
        };
        agent.source = source;
        findings.push(Finding::new(Effect::Bound, rule, what, format!("{words}{beaten}")));
    }
    (bound, findings)
}

/// The first file's word, the system's, and in words the others that lose to it.
fn winner<T>(said: Vec<(Rule, T)>) -> Option<(Rule, T, String)> {
    let mut said = said.into_iter();
    let (rule, binding) = said.next()?;
    let beaten: Vec<String> = said.map(|(rule, _)| rule.to_string()).collect();
    let beaten = if beaten.is_empty() { String::new() } else { format!(", before {}", beaten.join(", ")) };
    Some((rule, binding, beaten))
}

impl Asker<'_> {
    fn is(&self, whom: Whom<'_>) -> bool {
        whom.actors.is_none_or(|actors| self.who.is_among(actors))
            && whom.workspaces.is_none_or(|workspaces| self.who.builds_one_of(workspaces))
    }

    /// What to say to get what is for `whom`; empty where saying it would not help.
    fn doubt(&self, whom: Whom<'_>) -> String {
        let actor = whom.actors.filter(|actors| actors.contains(&self.who.actor)).map(|_| self.who.actor_doubt());
        let named = whom.workspaces.filter(|workspaces| workspaces.contains(self.who.workspace));
        actor.unwrap_or_default() + &named.map(|_| self.who.workspace_doubt()).unwrap_or_default()
    }
}

impl std::fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let none = || "nobody".to_owned();
        let join = |names: Vec<String>| if names.is_empty() { none() } else { names.join(", ") };
        let actors =
            self.actors.map(|actors| join(actors.iter().map(|actor| format!("'{}", actor.as_str())).collect()));
        let workspaces = self.workspaces.map(|all| join(all.iter().map(|name| format!("`{name}`")).collect()));
        match (actors, workspaces) {
            (Some(actors), Some(workspaces)) => write!(f, "{actors} and workspace {workspaces}"),
            (Some(actors), None) => f.write_str(&actors),
            (None, Some(workspaces)) => write!(f, "workspace {workspaces}"),
            (None, None) => f.write_str("everybody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::inputs::policy::policies;
    use crate::inputs::vouched::Vouched;

    const CALLER: Vouched = Vouched { actor: true, workspace: true };

    /// The sources of `secrets` for `'ci` of the workspace `shop`, and what was found.
    fn bind(files: &[Value], secrets: &[(&str, SecretSource)], set: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        bind_for(CALLER, files, secrets, set)
    }

    fn bind_for(
        vouched: Vouched,
        files: &[Value],
        secrets: &[(&str, SecretSource)],
        set: &[(&str, &str)],
    ) -> (Vec<String>, Vec<String>) {
        let environment = Environment::from_pairs(set.iter().copied());
        let workspace = "shop".parse().unwrap();
        let who = Who { actor: Actor::Ci, workspace: &workspace, vouched };
        let asker = Asker { who, environment: &environment };
        let files: Vec<_> = files.iter().map(|file| (file.clone(), &[("secrets", 2)][..])).collect();
        let spec = |(id, source): &(&str, SecretSource)| {
            let spec = SecretSpec::parse(&format!("id={id}")).unwrap();
            SecretSpec { source: source.clone(), ..spec }
        };
        let secrets: Vec<SecretSpec> = secrets.iter().map(spec).collect();
        let (bound, findings) = bind_secrets(&policies(&files), &secrets, asker);
        let said = findings.iter().map(|finding| format!("{}: {finding}", finding.effect.as_str())).collect();
        (bound.iter().map(SecretSpec::source_text).collect(), said)
    }

    #[test]
    fn only_what_nobody_else_binds_comes_from_the_policy() {
        let file = json!({ "secrets": { "npm": { "src": "/s/npm" }, "a.b": { "env": "V" } } });
        let open = [("npm", SecretSource::Named), ("a.b", SecretSource::Bound), ("other", SecretSource::Named)];
        let (sources, said) = bind(std::slice::from_ref(&file), &open, &[("npm", "plain")]);
        assert_eq!(sources, ["file /s/npm", "variable V", "variable LIAN_SECRET_OTHER"]);
        assert_eq!(
            said,
            [
                "bound: /p0:2 (secrets.npm): the secret `npm` comes from file /s/npm",
                "bound: /p0:2 (secrets.\"a.b\"): the secret `a.b` comes from variable V"
            ]
        );
        let bound = [("npm", SecretSource::Env("MINE".to_owned())), ("a.b", SecretSource::Named)];
        let (sources, said) = bind(&[file], &bound, &[("LIAN_SECRET_A_B", "value")]);
        assert_eq!((sources, said), (vec!["variable MINE".to_owned(), "variable LIAN_SECRET_A_B".to_owned()], vec![]));
    }

    #[test]
    fn a_binding_for_others_is_withheld_whatever_a_variable_of_that_name_holds() {
        let npm = [("npm", SecretSource::Bound)];
        for (rule, whom) in [
            (json!({ "env": "V", "actors": ["human", "agent"] }), "'human, 'agent"),
            (json!({ "env": "V", "workspaces": ["other"] }), "workspace `other`"),
            (json!({ "env": "V", "actors": ["ci"], "workspaces": ["other"] }), "'ci and workspace `other`"),
            (json!({ "env": "V", "actors": [] }), "nobody"),
        ] {
            let (_, said) = bind(&[json!({ "secrets": { "npm": rule } })], &npm, &[("npm", "plain")]);
            assert_eq!(said, [format!("withheld: /p0:2 (secrets.npm): the secret `npm` is for {whom} only")]);
        }
        let ours = json!({ "secrets": { "npm": { "env": "V", "actors": ["ci"], "workspaces": ["shop"] } } });
        assert_eq!(bind(&[ours], &npm, &[]).0, ["variable V"]);
    }

    #[test]
    fn a_binding_for_some_is_withheld_from_whom_only_the_directives_name() {
        let npm = [("npm", SecretSource::Bound)];
        let ours = json!({ "secrets": { "npm": { "env": "V", "actors": ["ci"], "workspaces": ["shop"] } } });
        for (actor, workspace, hints) in [
            (false, true, vec!["--actor ci"]),
            (true, false, vec!["--workspace shop"]),
            (false, false, vec!["--actor ci", "--workspace shop"]),
        ] {
            let vouched = Vouched { actor, workspace };
            let (sources, said) = bind_for(vouched, std::slice::from_ref(&ours), &npm, &[]);
            assert!(said.len() == 1 && said[0].starts_with("withheld: "), "{said:?}");
            assert!(hints.iter().all(|hint| said[0].contains(hint)), "{said:?}");
            assert!(!sources.contains(&"variable V".to_owned()), "{sources:?}");
        }
        let nobodys = Vouched { actor: false, workspace: false };
        let open = json!({ "secrets": { "npm": { "env": "V" } } });
        assert_eq!(bind_for(nobodys, &[open], &npm, &[]).0, ["variable V"], "it is for everybody");
        let others = json!({ "secrets": { "npm": { "env": "V", "actors": ["human"] } } });
        let (_, said) = bind_for(nobodys, &[others], &npm, &[]);
        assert_eq!(said, ["withheld: /p0:2 (secrets.npm): the secret `npm` is for 'human only"], "no flag would help");
    }

    #[test]
    fn the_systems_binding_wins_and_says_over_whom() {
        let files = ["/first", "/second"].map(|path| json!({ "secrets": { "npm": { "src": path } } }));
        let (sources, said) = bind(&files, &[("npm", SecretSource::Named)], &[]);
        assert_eq!(sources, ["file /first"]);
        assert!(said.concat().ends_with("comes from file /first, before `secrets.npm` at /p1:2"), "{said:?}");
    }

    #[test]
    fn agents_that_directives_name_are_bound_and_those_of_the_caller_are_left_alone() {
        let environment = Environment::default();
        let workspace = "shop".parse().unwrap();
        let who = Who { actor: Actor::Human, workspace: &workspace, vouched: CALLER };
        let asker = Asker { who, environment: &environment };
        let rules = json!({ "ssh": { "git": { "socket": "/run/a" }, "own": {}, "ci": { "actors": ["ci"] } } });
        let agent = |id: &str, source| SshAgent { source, ..SshAgent::parse(id, std::path::Path::new("/")).unwrap() };
        let agents = [
            agent("git", SshSource::Named),
            agent("own", SshSource::Named),
            agent("ci", SshSource::Named),
            agent("git2", SshSource::Environment),
        ];
        let (bound, findings) = bind_ssh(&policies(&[(rules, &[])]), &agents, asker);
        let sources: Vec<String> = bound.iter().map(ToString::to_string).collect();
        assert_eq!(
            sources,
            [
                "git (socket /run/a)",
                "own (variable SSH_AUTH_SOCK)",
                "ci (bound by nobody)",
                "git2 (variable SSH_AUTH_SOCK)"
            ]
        );
        let effects: Vec<&str> = findings.iter().map(|finding| finding.effect.as_str()).collect();
        assert_eq!(effects, ["bound", "bound", "withheld"]);
    }
}
