//! What a runner has to be and what may be done with it, by actor.

use std::time::Duration;

use super::{Finding, Who};
use crate::ids::Actor;
use crate::inputs::policy::{Policies, Policy};
use crate::lease::Isolation;
use crate::plan::Network;
use crate::plan::need::amount;

/// `providers`: who may lease.
pub(super) fn provider(policies: &Policies, name: &str) -> Vec<Finding> {
    let said = policies.said("providers", |policy| policy.providers.as_deref());
    said.filter(|(_, allowed)| !allowed.iter().any(|allowed| allowed == name))
        .map(|(rule, allowed)| Finding::refused(rule, format!("the provider `{name}`"), one_of(allowed)))
        .collect()
}

/// `minimum_isolation`: how far a runner has to be apart from this machine.
/// Whoever is only said by the directives to be this actor has to keep the rules of all.
pub(super) fn isolation(policies: &Policies, who: Who<'_>, provider: &str, has: Isolation) -> Vec<Finding> {
    let doubt = who.actor_doubt();
    who.actors().into_iter().flat_map(|actor| isolation_of(policies, actor, &doubt, provider, has)).collect()
}

fn isolation_of(policies: &Policies, actor: Actor, doubt: &str, provider: &str, has: Isolation) -> Vec<Finding> {
    let name = format!("minimum_isolation.{}", actor.as_str());
    let least = |policy: &Policy| {
        let least = &policy.minimum_isolation;
        match actor {
            Actor::Ci => least.ci,
            Actor::CiAux => least.ci_aux,
            Actor::Human => least.human,
            Actor::Agent => least.agent,
        }
    };
    let said = policies.said(&name, least);
    said.filter(|(_, least)| has < *least)
        .map(|(rule, least)| {
            let asked = format!("a runner of `{provider}`, whose isolation is `{}`{doubt},", has.as_str());
            Finding::refused(rule, asked, format!("at least `{}`", least.as_str()))
        })
        .collect()
}

/// `host_network`: whose steps may share the runner's network.
pub(super) fn host_network(policies: &Policies, who: Who<'_>, network: Network) -> Vec<Finding> {
    if network != Network::Host {
        return Vec::new();
    }
    let said = policies.said("host_network", |policy| policy.host_network.as_deref());
    said.filter(|(_, actors)| !who.is_among(actors))
        .map(|(rule, actors)| Finding::refused(rule, by(who, "the runner's network for steps"), only(actors)))
        .collect()
}

/// `keep_failed` and `caps.keep_failed_min`: who may keep a failed runner, and for how long.
pub(super) fn keep_failed(policies: &Policies, who: Who<'_>, asked: Option<Duration>) -> Vec<Finding> {
    let Some(asked) = asked else { return Vec::new() };
    let named = policies.said("keep_failed", |policy| policy.keep_failed.as_deref());
    let named = named
        .filter(|(_, actors)| !who.is_among(actors))
        .map(|(rule, actors)| Finding::refused(rule, by(who, "a failed runner that is kept"), only(actors)));
    let minutes = asked.as_secs_f64() / 60.0;
    let long = policies.said("caps.keep_failed_min", |policy| policy.caps.keep_failed_min);
    let long = long.filter(|(_, most)| minutes > *most).map(|(rule, most)| {
        let asked = format!("a failed runner that is kept for {} min", amount(minutes));
        Finding::refused(rule, asked, format!("at most {} min", amount(most)))
    });
    named.chain(long).collect()
}

fn by(who: Who<'_>, what: &str) -> String {
    format!("{what}, by `'{}`{},", who.actor.as_str(), who.actor_doubt())
}

/// Who alone may.
fn only(actors: &[Actor]) -> String {
    let names: Vec<String> = actors.iter().map(|actor| format!("'{}", actor.as_str())).collect();
    one_of(&names)
}

fn one_of(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        _ => format!("only `{}`", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use std::sync::LazyLock;

    use super::*;
    use crate::ids::Workspace;
    use crate::inputs::policy::policies;
    use crate::inputs::vouched::Vouched;

    static SHOP: LazyLock<Workspace> = LazyLock::new(|| "shop".parse().unwrap());

    fn who(actor: Actor) -> Who<'static> {
        Who { actor, workspace: &SHOP, vouched: Vouched { actor: true, workspace: true } }
    }

    /// One that only the directives call so.
    fn claimed(actor: Actor) -> Who<'static> {
        Who { vouched: Vouched { actor: false, workspace: false }, ..who(actor) }
    }

    fn policy(policy: Value) -> Policies {
        policies(&[(policy, &[("", 4)])])
    }

    fn said(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_named_providers_may_lease() {
        let rule = policy(json!({ "providers": ["docker_local", "hcloud"] }));
        assert_eq!(
            said(&provider(&rule, "local")),
            ["/p0:4 (providers): the provider `local` is asked for, and only `docker_local`, `hcloud` is allowed"]
        );
        assert_eq!(provider(&rule, "hcloud"), []);
        assert_eq!(provider(&policy(json!({})), "local"), []);
        assert_eq!(provider(&policy(json!({ "providers": [] })), "local").len(), 1);
    }

    #[test]
    fn isolation_is_by_actor() {
        let rule = policy(json!({ "minimum_isolation": { "agent": "container", "ci": "vm" } }));
        assert_eq!(
            said(&isolation(&rule, who(Actor::Agent), "local", Isolation::None)),
            [
                "/p0:4 (minimum_isolation.agent): a runner of `local`, whose isolation is `none`, is asked for, and at least \
              `container` is allowed"
            ]
        );
        assert_eq!(isolation(&rule, who(Actor::Agent), "x", Isolation::Container), []);
        assert_eq!(isolation(&rule, who(Actor::Ci), "x", Isolation::Container).len(), 1);
        assert_eq!(isolation(&rule, who(Actor::Human), "x", Isolation::None), []);
    }

    #[test]
    fn claiming_to_be_another_actor_lifts_no_rule() {
        let rule = policy(json!({
            "minimum_isolation": { "ci": "vm" }, "keep_failed": ["human"], "host_network": ["human"]
        }));
        let human = claimed(Actor::Human);
        let found = isolation(&rule, human, "local", Isolation::None);
        assert_eq!(found.iter().map(|found| found.rule.as_str()).collect::<Vec<_>>(), ["minimum_isolation.ci"]);
        assert!(found[0].to_string().contains("say `--actor human`"), "{}", found[0]);
        assert_eq!(isolation(&rule, human, "x", Isolation::Vm), []);
        assert_eq!(host_network(&rule, human, Network::Host).len(), 1);
        assert_eq!(keep_failed(&rule, human, Some(Duration::from_secs(60))).len(), 1);
        let all = policy(json!({ "host_network": ["ci", "ci_aux", "human", "agent"] }));
        assert_eq!(host_network(&all, human, Network::Host), []);
    }

    #[test]
    fn the_runners_network_is_for_those_who_are_named() {
        let rule = policy(json!({ "host_network": ["human"] }));
        assert_eq!(host_network(&rule, who(Actor::Agent), Network::Host).len(), 1);
        assert_eq!(host_network(&rule, who(Actor::Human), Network::Host), []);
        assert_eq!(host_network(&rule, who(Actor::Agent), Network::Default), []);
        assert_eq!(host_network(&policy(json!({})), who(Actor::Agent), Network::Host), []);
    }

    #[test]
    fn a_runner_is_kept_by_whom_and_for_how_long_the_policy_says() {
        let rule = policy(json!({ "keep_failed": ["ci"], "caps": { "keep_failed_min": 30 } }));
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        assert_eq!(keep_failed(&rule, who(Actor::Ci), minutes(30)), []);
        assert_eq!(keep_failed(&rule, who(Actor::Human), None), []);
        let both: Vec<String> =
            keep_failed(&rule, who(Actor::Human), minutes(31)).into_iter().map(|found| found.rule).collect();
        assert_eq!(both, ["keep_failed", "caps.keep_failed_min"]);
    }
}
