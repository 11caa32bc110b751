//! [`compare`]: item by item, what a plan reaches that an earlier one does not.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::outline::{Outline, OutlineReach};
use crate::error::Error;
use crate::plan::Price;

/// What a plan reaches newly, compared with an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Against {
    /// The earlier plan's file.
    pub file: String,
    /// What is reached newly; empty when nothing is.
    pub new: Vec<New>,
    /// Where the project was, when it has moved: paths in it are compared from its directory on.
    pub moved_from: Option<String>,
}

/// One thing that is reached newly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct New {
    /// What sort of thing it is.
    pub kind: NewKind,
    /// The thing itself; a path in the project is written from `.` on.
    pub what: String,
    /// What there was instead; `null` when there was nothing of the kind.
    pub before: Option<String>,
}

/// What sort of thing is reached newly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewKind {
    /// Another kind of caller asks.
    Actor,
    /// Something else is built: its caches, its history and the credentials that are bound for it.
    Workspace,
    /// A secret, or the same from elsewhere.
    Secret,
    /// An SSH agent, or the same from elsewhere.
    SshAgent,
    /// A repository that is pushed to.
    Push,
    /// A repository that is pulled from.
    Pull,
    /// An image whose name cannot be told before the build.
    PullUnknown,
    /// An address that the Dockerfile fetches from.
    Fetch,
    /// A source of the Dockerfile that may be an address of any host.
    FetchUnknown,
    /// A proxy of steps, or the same elsewhere.
    Proxy,
    /// A registry that is spoken to without TLS.
    InsecureRegistry,
    /// A NATS server.
    Nats,
    /// A file or directory that is read.
    Read,
    /// A file or directory that is written.
    Write,
    /// The local Docker gets the image.
    DockerLoad,
    /// Steps have more of a network.
    Network,
    /// An extra line of /etc/hosts.
    AddHost,
    /// A provider.
    Provider,
    /// A runner that is less apart from this machine.
    Isolation,
    /// A larger machine.
    Tier,
    /// More minutes for an attempt.
    Time,
    /// More money.
    Money,
    /// A failed runner stays, or stays longer.
    KeepFailed,
}

impl NewKind {
    /// The word that stands in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Workspace => "workspace",
            Self::Secret => "secret",
            Self::SshAgent => "ssh_agent",
            Self::Push => "push",
            Self::Pull => "pull",
            Self::PullUnknown => "pull_unknown",
            Self::Fetch => "fetch",
            Self::FetchUnknown => "fetch_unknown",
            Self::Proxy => "proxy",
            Self::InsecureRegistry => "insecure_registry",
            Self::Nats => "nats",
            Self::Read => "read",
            Self::Write => "write",
            Self::DockerLoad => "docker_load",
            Self::Network => "network",
            Self::AddHost => "add_host",
            Self::Provider => "provider",
            Self::Isolation => "isolation",
            Self::Tier => "tier",
            Self::Time => "time",
            Self::Money => "money",
            Self::KeepFailed => "keep_failed",
        }
    }
}

impl Against {
    /// The answer when something is new; `None` when nothing is.
    pub fn refusal(&self) -> Option<Error> {
        let count = match self.new.len() {
            0 => return None,
            1 => "one thing".to_owned(),
            count => format!("{count} things"),
        };
        let what: Vec<String> = self.new.iter().map(New::to_string).collect();
        let message = format!("the plan reaches {count} that `{}` does not: {}", self.file, what.join("; "));
        Some(Error::usage(message).hint("if that is meant, keep this plan's document as the approved one"))
    }
}

impl fmt::Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str().replace('_', " "), self.what)?;
        match &self.before {
            Some(before) => write!(f, " (before: {before})"),
            None => Ok(()),
        }
    }
}

/// What `new` reaches that `old`, which is in `file`, does not.
pub fn compare(file: &str, old: &Outline, new: &Outline) -> Against {
    let mut found = Vec::new();
    for (kind, lists) in [
        (NewKind::Secret, [&old.reach, &new.reach].map(|reach| reach.in_project(&reach.secrets))),
        (NewKind::SshAgent, [&old.reach, &new.reach].map(|reach| reach.in_project(&reach.ssh))),
        (NewKind::Push, [&old.reach, &new.reach].map(|reach| reach.push_repositories.clone())),
        (NewKind::Pull, [&old.reach, &new.reach].map(|reach| reach.pull_repositories.clone())),
        (NewKind::PullUnknown, [&old.reach, &new.reach].map(|reach| reach.pulls_unknown.clone())),
        (NewKind::Fetch, [&old.reach, &new.reach].map(|reach| reach.fetches.clone())),
        (NewKind::FetchUnknown, [&old.reach, &new.reach].map(|reach| reach.fetches_unknown.clone())),
        (NewKind::Proxy, [&old.reach, &new.reach].map(|reach| reach.proxies.clone())),
        (NewKind::InsecureRegistry, [&old.reach, &new.reach].map(|reach| reach.insecure_registries.clone())),
        (NewKind::Nats, [&old.reach, &new.reach].map(OutlineReach::nats_servers)),
        (NewKind::Read, [&old.reach, &new.reach].map(|reach| reach.in_project(&reach.reads))),
        (NewKind::Write, [&old.reach, &new.reach].map(OutlineReach::asked_writes)),
        (NewKind::AddHost, [&old.reach, &new.reach].map(|reach| reach.add_hosts.clone())),
        (NewKind::Provider, [old, new].map(Outline::providers)),
    ] {
        let [old, new] = lists;
        found.extend(items(kind, &old, &new));
    }
    found.extend(amounts(old, new));
    let moved_from = old.reach.root.clone().filter(|root| new.reach.root.as_ref() != Some(root));
    Against { file: file.to_owned(), new: found, moved_from }
}

/// The items of a list that were not there. `before` names what was there under the same id.
fn items(kind: NewKind, old: &[String], new: &[String]) -> Vec<New> {
    let had: BTreeSet<&String> = old.iter().collect();
    let same_id = |item: &str| {
        let (id, _) = item.split_once(" (")?;
        old.iter().find(|old| old.split_once(" (").is_some_and(|(old, _)| old == id)).cloned()
    };
    let fresh: BTreeSet<&String> = new.iter().filter(|item| !had.contains(item)).collect();
    fresh.into_iter().map(|item| New { kind, what: item.clone(), before: same_id(item) }).collect()
}

/// What is larger, weaker or wider than it was.
fn amounts(old: &Outline, new: &Outline) -> Vec<New> {
    let mut found = Vec::new();
    let mut note = |is_new: bool, kind: NewKind, what: String, before: String| {
        if is_new {
            found.push(New { kind, what, before: (!before.is_empty()).then_some(before) });
        }
    };
    let (was, is) = (&old.reach, &new.reach);
    note(was.actor != is.actor, NewKind::Actor, is.actor.clone(), was.actor.clone());
    let workspace = |outline: &Outline| outline.workspace.clone().unwrap_or_default();
    note(old.workspace != new.workspace, NewKind::Workspace, workspace(new), workspace(old));
    let root = |reach: &OutlineReach| reach.root.clone().unwrap_or_default();
    let is_wider = was.root != is.root && is.root.as_deref().is_some_and(holds_projects);
    note(is_wider, NewKind::Read, format!("all of {}", root(is)), root(was));
    let load = "the image goes into the local Docker".to_owned();
    note(is.docker_load && !was.docker_load, NewKind::DockerLoad, load, String::new());
    let width =
        |network: &str| ["none", "default", "host"].iter().position(|name| *name == network).unwrap_or(usize::MAX);
    let (wide, narrow) = (is.step_network.clone(), was.step_network.clone());
    note(width(&wide) > width(&narrow), NewKind::Network, wide, narrow);
    let isolation =
        |reach: &OutlineReach| reach.isolation.map(|isolation| isolation.as_str().to_owned()).unwrap_or_default();
    let is_weaker = is.isolation.is_some_and(|is| was.isolation.is_none_or(|was| is < was));
    note(is_weaker, NewKind::Isolation, isolation(is), isolation(was));
    let size = |outline: &Outline| {
        let sizing = &outline.sizing;
        format!("{} ({} cpu, {} GB)", sizing.runner_type, sizing.cpu, sizing.memory_gb)
    };
    let is_larger = new.sizing.cpu > old.sizing.cpu || new.sizing.memory_gb > old.sizing.memory_gb;
    note(is_larger, NewKind::Tier, size(new), size(old));
    let minutes = |outline: &Outline| format!("{} min for an attempt", outline.sizing.time_budget_min);
    let is_longer = new.sizing.time_budget_min > old.sizing.time_budget_min;
    note(is_longer, NewKind::Time, minutes(new), minutes(old));
    let cost = |reach: &OutlineReach| match reach.money.each {
        Price::Nothing => "it costs nothing".to_owned(),
        Price::Hourly => reach.money.words(),
        Price::Unknown => "it may cost money".to_owned(),
    };
    note(is.money.is_dearer_than(&was.money), NewKind::Money, cost(is), cost(was));
    let attempts = |reach: &OutlineReach| format!("up to {} attempts", reach.money.attempts);
    note(is.money.attempts > was.money.attempts, NewKind::Money, attempts(is), attempts(was));
    let kept = |reach: &OutlineReach| format!("a failed runner stays for {} s", reach.keeps_failed_seconds);
    let is_kept_longer = is.keeps_failed_seconds > was.keeps_failed_seconds;
    note(is_kept_longer, NewKind::KeepFailed, kept(is), kept(was));
    found
}

/// True for a directory that is no project's: the file system's root, its great directories, and homes. As a
/// project's own directory it would make `.` of far more than was approved.
fn holds_projects(root: &str) -> bool {
    let names: Vec<&str> = root.split('/').filter(|name| !name.is_empty()).collect();
    matches!(
        names.as_slice(),
        [] | ["root" | "home" | "Users" | "etc" | "opt" | "srv" | "tmp" | "usr" | "var"] | ["home" | "Users", _]
    )
}

impl Outline {
    /// Who may lease: an older document says only who was taken.
    fn providers(&self) -> Vec<String> {
        if self.reach.providers.is_empty() { vec![self.provider.clone()] } else { self.reach.providers.clone() }
    }
}

impl OutlineReach {
    /// Texts with the project's directory written as `.`: where it lies is no news.
    fn in_project(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.below_root(text)).collect()
    }

    /// A path, or `id (file PATH)`.
    fn below_root(&self, text: &str) -> String {
        let Some(root) = self.root.as_deref().filter(|root| *root != "/") else { return text.to_owned() };
        let (before, path, after) = match text.split_once('/') {
            Some((before, rest)) => match rest.strip_suffix(')').filter(|_| before.contains(" (")) {
                Some(path) => (before, format!("/{path}"), ")"),
                None => (before, format!("/{rest}"), ""),
            },
            None => return text.to_owned(),
        };
        match path.strip_prefix(root) {
            // `..` would lead out of it again.
            Some(inner)
                if (inner.is_empty() || inner.starts_with('/')) && !inner.split('/').any(|part| part == "..") =>
            {
                format!("{before}.{inner}{after}")
            }
            _ => text.to_owned(),
        }
    }

    fn nats_servers(&self) -> Vec<String> {
        self.nats.iter().flat_map(|servers| servers.split(',')).map(str::to_owned).collect()
    }

    /// What is written besides the archive in our own cache directory, whose name has a hash of where the context is.
    fn asked_writes(&self) -> Vec<String> {
        let asked = self.writes.iter().filter(|path| self.kept_archive.as_ref() != Some(path));
        asked.map(|path| self.below_root(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(reach: Value) -> Value {
        let sizing = json!({ "runner_type": "cax21", "cpu": 4, "memory_gb": 8, "time_budget_min": 30 });
        json!({ "schema": "lian-build/plan/v1", "plan": { "provider": "local", "sizing": sizing, "reach": reach } })
    }

    fn outline(document: &Value) -> Outline {
        Outline::read("x.json", document.to_string().as_bytes()).unwrap()
    }

    /// `kind: what (before)` of everything that is new.
    fn news(old: &Value, new: &Value) -> Vec<String> {
        let against = compare("x.json", &outline(old), &outline(new));
        let line = |new: &New| {
            let before = new.before.as_ref().map(|before| format!(" < {before}")).unwrap_or_default();
            format!("{}: {}{before}", new.kind.as_str(), new.what)
        };
        against.new.iter().map(line).collect()
    }

    fn old() -> Value {
        document(json!({
            "root": "/a/p", "actor": "agent", "secrets": ["npm (file /a/p/npm)", "t (variable T)"],
            "ssh": ["git (variable SSH_AUTH_SOCK)"], "push_repositories": ["r.example/app"],
            "pull_repositories": ["docker.io/library/debian"], "nats": "nats://n.example:4222", "reads": ["/a/p", "/a/p/lib"],
            "writes": ["/a/p/out", "/cache/p-0001.tar"], "kept_archive": "/cache/p-0001.tar", "step_network": "default",
            "providers": ["local"], "isolation": "container", "keeps_failed_seconds": 60,
            "money": { "each": "nothing", "attempts": 5 },
        }))
    }

    #[test]
    fn the_same_elsewhere_and_less_is_no_news() {
        assert_eq!(news(&old(), &old()), [""; 0]);
        let text = old().to_string().replace("/a/p", "/b/other").replace("0001", "0002");
        let moved: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(news(&old(), &moved), [""; 0]);
        let against = compare("x.json", &outline(&old()), &outline(&moved));
        assert_eq!(against.moved_from.as_deref(), Some("/a/p"));
        let mut less = old();
        less["plan"]["sizing"] = json!({ "runner_type": "cax11", "cpu": 2, "memory_gb": 4, "time_budget_min": 10 });
        for (field, value) in [
            ("secrets", json!([])),
            ("push_repositories", json!([])),
            ("nats", Value::Null),
            ("step_network", json!("none")),
            ("isolation", json!("vm")),
            ("keeps_failed_seconds", json!(0)),
            ("writes", json!([])),
        ] {
            less["plan"]["reach"][field] = value;
        }
        assert_eq!(news(&old(), &less), [""; 0]);
    }

    #[test]
    fn every_sort_of_reach_is_news_by_itself() {
        for (field, value, expected) in [
            ("actor", json!("ci"), "actor: ci < agent"),
            ("secrets", json!(["t (variable T)", "aws (variable A)"]), "secret: aws (variable A)"),
            ("secrets", json!(["npm (file /etc/shadow)"]), "secret: npm (file /etc/shadow) < npm (file ./npm)"),
            ("ssh", json!(["git (socket /x)"]), "ssh_agent: git (socket /x) < git (variable SSH_AUTH_SOCK)"),
            ("push_repositories", json!(["r.example/other"]), "push: r.example/other"),
            ("pull_repositories", json!(["q.example/x"]), "pull: q.example/x"),
            ("pulls_unknown", json!(["${A%b}"]), "pull_unknown: ${A%b}"),
            ("fetches", json!(["https://a.example/x"]), "fetch: https://a.example/x"),
            ("fetches_unknown", json!(["$URL"]), "fetch_unknown: $URL"),
            ("proxies", json!(["HTTP_PROXY (http://p.example)"]), "proxy: HTTP_PROXY (http://p.example)"),
            ("insecure_registries", json!(["r.example"]), "insecure_registry: r.example"),
            ("nats", json!("nats://n.example:4222,nats://m.example"), "nats: nats://m.example"),
            ("reads", json!(["/a/p/lib", "/a/pq"]), "read: /a/pq"),
            ("reads", json!(["/a/p/../q"]), "read: /a/p/../q"),
            ("writes", json!(["/a/p/bin"]), "write: ./bin"),
            ("docker_load", json!(true), "docker_load: the image goes into the local Docker"),
            ("step_network", json!("host"), "network: host < default"),
            ("add_hosts", json!(["r.example=10.0.0.1"]), "add_host: r.example=10.0.0.1"),
            ("providers", json!(["local", "hcloud"]), "provider: hcloud"),
            ("isolation", json!("none"), "isolation: none < container"),
            (
                "keeps_failed_seconds",
                json!(61),
                "keep_failed: a failed runner stays for 61 s < a failed runner stays for 60 s",
            ),
            ("money", json!({ "each": "nothing", "attempts": 6 }), "money: up to 6 attempts < up to 5 attempts"),
            ("money", json!({ "each": "unknown", "attempts": 5 }), "money: it may cost money < it costs nothing"),
        ] {
            let mut new = old();
            new["plan"]["reach"][field] = value;
            assert_eq!(news(&old(), &new), [expected], "{field}");
        }
        let mut larger = old();
        larger["plan"]["sizing"] = json!({ "runner_type": "wide", "cpu": 2, "memory_gb": 16, "time_budget_min": 31 });
        assert_eq!(
            news(&old(), &larger),
            ["tier: wide (2 cpu, 16 GB) < cax21 (4 cpu, 8 GB)", "time: 31 min for an attempt < 30 min for an attempt"]
        );
    }

    #[test]
    fn another_workspace_is_news() {
        let (mut before, mut after) = (old(), old());
        before["workspace"] = json!("a");
        after["workspace"] = json!("b");
        assert_eq!(news(&before, &after), ["workspace: b < a"]);
        assert_eq!(news(&after, &after), [""; 0]);
    }

    #[test]
    fn a_home_directory_is_not_the_same_project_elsewhere() {
        for root in ["/root", "/home/ann", "/etc"] {
            let text = old().to_string().replace("/a/p", root);
            let new: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(news(&old(), &new), [format!("read: all of {root} < /a/p")]);
            assert_eq!(news(&new, &new), [""; 0], "it was approved so");
        }
    }

    #[test]
    fn what_an_older_document_does_not_know_is_news() {
        let older = document(json!({ "reads": ["/a/p"] }));
        let said = news(&older, &old());
        for line in ["push: r.example/app", "isolation: container", "network: default < none", "actor: agent"] {
            assert!(said.iter().any(|said| said == line), "{line}: {said:?}");
        }
        assert!(!said.iter().any(|said| said.starts_with("provider")), "{said:?}");
    }
}
