//! [`CacheScope`]: which cache namespaces a build may read and write.
//!
//! | actor | reads | writes |
//! |---|---|---|
//! | `'ci` | `ci/*` | `ci/<workspace>/*` |
//! | `'human`, `'agent` | `ci/*`, `dev/<actor id>-*` | `dev/<actor id>-*` |
//! | `'ci_aux` | `ci/*` | `ci/<workspace>/aux-*` |
//!
//! So CI never takes in what a session has made. It is a guard rail; the authority is the registry's own logins.

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Actor, ActorId, Workspace};
use crate::inputs::cache_wish::CacheWish;
use crate::inputs::directives::Disposition;
use crate::inputs::resolve::Said;

/// Namespaces that a build reads and writes; `*` at the end stands for all below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheScope {
    /// What is read.
    pub reads: Vec<String>,
    /// What is written.
    pub writes: Vec<String>,
}

impl CacheScope {
    /// What this actor may, narrowed to what was asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] for a namespace that the actor may not read or write, with the rule.
    pub fn decide(wish: &CacheWish, actor: Actor, actor_id: &ActorId, workspace: &Workspace) -> Result<Self> {
        let may = Self::allowed(actor, actor_id.as_str(), workspace);
        let reads = may.narrow(Access::Read, wish.read.as_deref(), actor)?;
        let writes = may.narrow(Access::Write, wish.write.as_deref(), actor)?;
        // What may not be written is refused, also where nothing is written in the end.
        let is_kept = wish.disposition != Disposition::Discard;
        Ok(Self { reads, writes: if is_kept { writes } else { Vec::new() } })
    }

    /// Checks one namespace before it is known who builds: without an `actor_id` any id may be meant that would be allowed.
    ///
    /// # Errors
    /// As [`CacheScope::decide`].
    pub fn check(
        access: Access,
        name: &str,
        actor: Actor,
        actor_id: Option<&ActorId>,
        workspace: &Workspace,
    ) -> Result<()> {
        let of_name = || id_in(name).unwrap_or("<actor id>");
        let may = Self::allowed(actor, actor_id.map_or_else(of_name, ActorId::as_str), workspace);
        may.check_one(access, name, actor)
    }

    /// The only actor id that the namespace `name` is for; `None` for what is for all.
    pub fn owner(name: &str) -> Option<&str> {
        id_in(name)
    }

    /// Everything that this actor may.
    fn allowed(actor: Actor, actor_id: &str, workspace: &Workspace) -> Self {
        let all_of_ci = "ci/*".to_owned();
        let own = || format!("dev/{actor_id}-*");
        let (reads, write) = match actor {
            Actor::Ci => (vec![all_of_ci], format!("ci/{workspace}/*")),
            Actor::CiAux => (vec![all_of_ci], format!("ci/{workspace}/aux-*")),
            Actor::Human | Actor::Agent => (vec![all_of_ci, own()], own()),
        };
        Self { reads, writes: vec![write] }
    }

    fn of(&self, access: Access) -> &[String] {
        match access {
            Access::Read => &self.reads,
            Access::Write => &self.writes,
        }
    }

    fn narrow(&self, access: Access, asked: Option<&[Said<String>]>, actor: Actor) -> Result<Vec<String>> {
        let Some(asked) = asked else { return Ok(self.of(access).to_vec()) };
        let check = |said: &Said<String>| {
            self.check_one(access, &said.value, actor).map_err(|error| {
                let placed = Error::new(error.kind(), format!("{}: {}", said.from, error.message()));
                error.hints().iter().fold(placed, |placed, hint| placed.hint(hint.clone()))
            })?;
            Ok(said.value.clone())
        };
        asked.iter().map(check).collect()
    }

    fn check_one(&self, access: Access, name: &str, actor: Actor) -> Result<()> {
        let allowed = self.of(access);
        if allowed.iter().any(|pattern| name.starts_with(pattern.trim_end_matches('*'))) {
            return Ok(());
        }
        let verb = access.verb();
        Err(Error::new(ErrorKind::Spec, format!("`'{}` may not {verb} the cache `{name}`", actor.as_str()))
            .hint(format!("the rule: it may {verb} {}", allowed.join(" and "))))
    }
}

/// What is done with a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written.
    Write,
}

impl Access {
    const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The actor id in the namespace `dev/<actor id>-…`.
fn id_in(name: &str) -> Option<&str> {
    let (id, _) = name.strip_prefix("dev/")?.split_once('-')?;
    id.parse::<ActorId>().is_ok().then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(names: &[&str]) -> Option<Vec<Said<String>>> {
        Some(names.iter().map(|name| Said::flag("ci/x.ncl:5:3", (*name).to_owned())).collect())
    }

    fn decide(wish: &CacheWish, actor: Actor) -> Result<CacheScope> {
        CacheScope::decide(wish, actor, &"ann".parse().unwrap(), &"shop".parse().unwrap())
    }

    #[test]
    fn every_actor_has_its_own_namespaces() {
        for (actor, reads, writes) in [
            (Actor::Ci, &["ci/*"][..], "ci/shop/*"),
            (Actor::CiAux, &["ci/*"], "ci/shop/aux-*"),
            (Actor::Human, &["ci/*", "dev/ann-*"], "dev/ann-*"),
            (Actor::Agent, &["ci/*", "dev/ann-*"], "dev/ann-*"),
        ] {
            let scope = decide(&CacheWish::default(), actor).unwrap();
            assert_eq!(
                (scope.reads, scope.writes),
                (reads.iter().map(ToString::to_string).collect(), vec![writes.into()])
            );
        }
    }

    #[test]
    fn directives_may_only_narrow() {
        for (actor, read, write, fits) in [
            (Actor::Ci, &["ci/shop/deps"][..], &["ci/shop/*"][..], true),
            (Actor::Ci, &["dev/ann-shop/*"], &[], false),
            (Actor::Ci, &["dev/*"], &[], false),
            (Actor::Ci, &[], &["ci/other/*"], false),
            (Actor::Ci, &[], &["ci/*"], false),
            (Actor::Ci, &[], &["ci/shopping/x"], false),
            (Actor::CiAux, &["ci/*"], &["ci/shop/aux-nightly"], true),
            (Actor::CiAux, &[], &["ci/shop/deps"], false),
            (Actor::Human, &["ci/*", "dev/ann-shop/*"], &["dev/ann-shop/x"], true),
            (Actor::Human, &["dev/bob-shop/*"], &[], false),
            (Actor::Human, &["dev/anna-shop/*"], &[], false),
            (Actor::Agent, &[], &["ci/shop/*"], false),
        ] {
            let wish = CacheWish { read: said(read), write: said(write), ..CacheWish::default() };
            match decide(&wish, actor) {
                Ok(scope) => {
                    assert!(fits, "{actor:?} {read:?} {write:?}");
                    assert_eq!(
                        (scope.reads, scope.writes),
                        (
                            read.iter().map(ToString::to_string).collect(),
                            write.iter().map(ToString::to_string).collect()
                        )
                    );
                }
                Err(error) => {
                    assert!(!fits, "{error}");
                    assert!(
                        error.message().starts_with("ci/x.ncl:5:3: `'") && error.hints()[0].contains("may"),
                        "{error:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn before_it_is_known_who_builds_only_what_nobody_may_is_refused() {
        let check = |access, name: &str, actor, id: Option<&str>| {
            let id: Option<ActorId> = id.map(|id| id.parse().unwrap());
            CacheScope::check(access, name, actor, id.as_ref(), &"shop".parse().unwrap())
        };
        for (access, name, actor, id, fits) in [
            (Access::Read, "dev/bob-shop/*", Actor::Human, None, true),
            (Access::Write, "dev/bob-shop/x", Actor::Agent, None, true),
            (Access::Read, "dev/bob-shop/*", Actor::Human, Some("ann"), false),
            (Access::Read, "dev/bob-shop/*", Actor::Ci, None, false),
            (Access::Read, "dev/*", Actor::Human, None, false),
            (Access::Write, "ci/shop/*", Actor::Human, None, false),
            (Access::Write, "ci/shop/x", Actor::Ci, None, true),
        ] {
            let checked = check(access, name, actor, id);
            assert_eq!(checked.is_ok(), fits, "{access:?} {name} {actor:?} {id:?}");
        }
        let error = check(Access::Write, "ci/x", Actor::Human, None).unwrap_err();
        assert_eq!(error.hints(), ["the rule: it may write dev/<actor id>-*"]);
    }

    #[test]
    fn what_is_discarded_is_written_nowhere() {
        let discard = CacheWish { disposition: Disposition::Discard, ..CacheWish::default() };
        assert_eq!(decide(&discard, Actor::Human).unwrap().writes, Vec::<String>::new());
        let forbidden = CacheWish { write: said(&["ci/shop/*"]), ..discard };
        assert!(decide(&forbidden, Actor::Human).is_err(), "it is wrong all the same");
    }

    proptest! {
        #[test]
        fn ci_reads_nothing_of_a_session(name in "(ci|dev)/([a-z0-9_-]{1,8}/){0,2}([a-z0-9_-]{1,8}|\\*)") {
            let wish = CacheWish { read: said(&[name.as_str()]), ..CacheWish::default() };
            for actor in [Actor::Ci, Actor::CiAux] {
                prop_assert_eq!(decide(&wish, actor).is_ok(), name.starts_with("ci/"));
            }
        }
    }
}
