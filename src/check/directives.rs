//! What directives mean: who may build what, with whom, and under which names.

use super::meaning::Meaning;
use super::part::Part;
use crate::error::Result;
use crate::events::NatsConfig;
use crate::ids::{Actor, ActorId, Workspace};
use crate::inputs::directives::select::name_faults;
use crate::inputs::directives::{BuildKindTag, ComputeProviderRef, image_name};
use crate::inputs::nickel::Rule;
use crate::inputs::secret::SecretId;
use crate::inputs::ssh_agent::SshId;
use crate::plan::{Access, CacheScope};
use crate::provider::choice;

impl Meaning<'_> {
    /// One record of directives, or several with names.
    pub(super) fn of_directives(&mut self, file: &Part<'_>) {
        if !file.is_array() {
            return self.of_one(file);
        }
        let all = file.elements();
        let names: Vec<_> = all.iter().map(|one| one.field("name")).collect();
        let said: Vec<Option<String>> = names
            .iter()
            // A name that is wrong is there, and like no other.
            .map(|name| name.said().or_else(|| (!name.is_absent()).then(|| name.path().to_owned())))
            .collect();
        for (number, error) in name_faults(&said.iter().map(Option::as_deref).collect::<Vec<_>>()) {
            let place = match (all.get(number), names.get(number)) {
                (Some(one), Some(name)) if name.is_absent() => one,
                (_, Some(name)) => name,
                _ => file,
            };
            self.refuse(place.path(), Rule::Reference, &error);
        }
        for one in &all {
            self.of_one(one);
        }
    }

    fn of_one(&mut self, directives: &Part<'_>) {
        for image in directives.at("artifact.image").elements() {
            self.each(&image, |image: String| image_name::check(&image));
        }
        let kind = directives.at("artifact.kind");
        self.each(&kind, BuildKindTag::check);
        for id in directives.at("artifact.secrets").elements() {
            self.each(&id, |id: String| SecretId::parse(&id).map(drop));
        }
        for id in directives.at("artifact.ssh").elements() {
            self.each(&id, |id: String| SshId::parse(&id).map(drop));
        }
        self.each(&directives.at("nats_events.url"), |url: String| NatsConfig::new(&url, None).map(drop));
        self.size("`runner_override`", &directives.field("runner_override"));
        self.providers(&directives.field("compute_provider"));
        self.namespaces(directives);
        self.built(directives);
        self.outputs(directives);
    }

    /// Keeps `part` to a rule about it alone, when it says something.
    fn each<T: serde::de::DeserializeOwned>(&mut self, part: &Part<'_>, rule: impl Fn(T) -> Result<()>) {
        if let Some(Err(error)) = part.said().map(rule) {
            self.refuse(part.path(), Rule::Reference, &error);
        }
    }

    /// Some provider has to be part of this version: others are passed over.
    fn providers(&mut self, candidates: &Part<'_>) {
        if !candidates.is_sound() {
            return;
        }
        let unknown: Vec<_> = candidates
            .elements()
            .into_iter()
            .map(|one| {
                let provider: Option<ComputeProviderRef> = one.said();
                let tier: Option<String> = one.at("options.runner_type").said();
                let error = provider.and_then(|provider| choice::named(provider.name()).err());
                (one, error.or_else(|| self.no_such_tier(tier?)))
            })
            .collect();
        if unknown.iter().all(|(_, error)| error.is_some()) {
            for (one, error) in unknown {
                error.iter().for_each(|error| self.refuse(one.path(), Rule::Reference, error));
            }
        }
    }

    /// What the actor may not read or write.
    fn namespaces(&mut self, directives: &Part<'_>) {
        let policy = directives.field("cache_policy");
        let id = policy.field("actor_id");
        let workspace: Option<Workspace> = directives.field("workspace").said();
        let (Some(actor), true) = (policy.field("actor").said::<Actor>(), id.is_sound()) else { return };
        let id: Option<ActorId> = id.said();
        for (field, access) in [("read", Access::Read), ("write", Access::Write)] {
            // What may be read is the same for every workspace.
            let of_any = || (access == Access::Read).then(|| Workspace::normalise("any")).flatten();
            let Some(workspace) = workspace.clone().or_else(of_any) else { continue };
            for namespace in policy.field("namespaces").field(field).elements() {
                let Some(name) = namespace.said::<String>() else { continue };
                match CacheScope::check(access, &name, actor, id.as_ref(), &workspace) {
                    Err(error) => self.refuse(namespace.path(), Rule::Together, &error),
                    Ok(()) if id.is_none() => {
                        if let Some(owner) = CacheScope::owner(&name) {
                            self.warn(format!(
                                "`{}`: `{name}` is for the actor id `{owner}` only; say `actor_id`, or anybody else is refused",
                                namespace.path()
                            ));
                        }
                    }
                    Ok(()) => {}
                }
            }
        }
    }
}
