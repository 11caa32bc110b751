//! What of the shared caches is read and written. Only directives speak about it.

use super::sources::Sources;
use crate::inputs::cache_wish::CacheWish;
use crate::inputs::directives::Disposition;
use crate::inputs::origin::{By, Origin};
use crate::inputs::resolve::{Ledger, Said};

/// What holds where nobody narrows it.
const ALL: &str = "all that the actor may";

pub(super) fn cache(sources: &Sources<'_>, ledger: &mut Ledger) -> CacheWish {
    if sources.directives.is_none_or(|said| said.value.registry_provider.is_none()) {
        ledger.note_default("registry_provider", "none");
    }
    let Some(directives) = sources.directives else {
        ledger.note_default("disposition", word(Disposition::default()));
        ledger.note_default("cache.read", ALL);
        ledger.note_default("cache.write", ALL);
        return CacheWish::default();
    };
    if let Some(registry) = &directives.value.registry_provider {
        let options = [&registry.options.host, &registry.options.prefix];
        let words = std::iter::once(registry.kind.as_str()).chain(options.into_iter().flatten().map(String::as_str));
        let place = directives.place("registry_provider");
        ledger.note(Origin::new("registry_provider", words.collect::<Vec<_>>().join(" "), By::Directives, place));
    }
    let policy = &directives.value.cache_policy;
    let path = "cache_policy.disposition";
    match directives.said_unless(&Disposition::default(), path, policy.disposition, word(policy.disposition)) {
        Some(said) => ledger.note(Origin::new("disposition", said.shown, said.by, said.from)),
        None => ledger.note_default("disposition", word(policy.disposition)),
    }
    let mut names = |field: &str, names: &Option<Vec<String>>| -> Option<Vec<Said<String>>> {
        let path = format!("cache_policy.namespaces.{field}");
        let Some(names) = names else {
            ledger.note_default(&format!("cache.{field}"), ALL);
            return None;
        };
        ledger.note(Origin::new(format!("cache.{field}"), names.join(", "), By::Directives, directives.place(&path)));
        let said = |(index, name): (usize, &String)| directives.said(&format!("{path}[{index}]"), name.clone(), name);
        Some(names.iter().enumerate().map(said).collect())
    };
    CacheWish {
        read: names("read", &policy.namespaces.read),
        write: names("write", &policy.namespaces.write),
        disposition: policy.disposition,
    }
}

fn word(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Export => "export",
        Disposition::Discard => "discard",
        Disposition::Rollback => "rollback",
    }
}
