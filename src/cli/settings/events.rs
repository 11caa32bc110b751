//! Where lifecycle events go.

use secrecy::SecretString;

use super::sources::{Sources, variable_text};
use crate::env_vars;
use crate::error::Result;
use crate::events::{NatsConfig, SubjectPrefix};
use crate::inputs::resolve::{Candidates, Ledger, Said};

/// The NATS servers, with the login that belongs to them. A login is used for the address it was given for, and for no
/// other: directives may name a server, but not have the caller's login sent to it.
pub(super) fn nats(
    sources: &Sources<'_>,
    ledger: &mut Ledger,
    warnings: &mut Vec<String>,
) -> Result<Option<NatsConfig>> {
    let seed = || sources.environment.text(env_vars::NATS_NKEY_SEED).map(|seed| SecretString::from(seed.to_owned()));
    let shown = |config: &Option<NatsConfig>| config.as_ref().map_or("none".to_owned(), ToString::to_string);
    let flag = match &sources.args.nats_url {
        Some(url) => Some(NatsConfig::new(url, seed())?),
        None => None,
    };
    let directives = match sources.directives.and_then(|said| Some((said, said.value.nats_events.as_ref()?))) {
        Some((said, events)) if !events.enabled => Some(said.said("nats_events.enabled", None, shown(&None))),
        Some((said, events)) => match &events.url {
            Some(url) => {
                let path = "nats_events.url";
                let config = NatsConfig::new(url, None).map_err(|error| said.refuse(path, &error))?;
                let config = Some(config);
                let shown = shown(&config);
                Some(said.said(path, config, shown))
            }
            None => None,
        },
        None => None,
    };
    let variable = match variable_text(env_vars::NATS_URL, sources.environment)? {
        // One that loses need not be a good one.
        Some(url) => match NatsConfig::new(&url, seed()) {
            Err(_) if flag.is_some() || directives.is_some() => None,
            config => Some(config?),
        },
        None => None,
    };
    let is_of_directives = flag.is_none() && directives.is_some();
    let candidates = Candidates {
        flag: flag.map(|config| {
            let shown = config.to_string();
            Said::by_flag("--nats-url", Some(config), shown)
        }),
        directives,
        variable: variable.clone().map(|config| {
            let shown = config.to_string();
            Said::by_variable(env_vars::NATS_URL, Some(config), shown)
        }),
    };
    let picked = ledger.pick_by("nats_url", candidates, |one, other| match (one, other) {
        (Some(one), Some(other)) => one.has_servers_of(other),
        (one, other) => one.is_none() && other.is_none(),
    })?;
    let Some(picked) = picked else {
        ledger.note_default("nats_url", "none");
        return Ok(None);
    };
    Ok(match picked {
        Some(config) if is_of_directives => Some(with_login(config, variable, seed().is_some(), warnings)),
        picked => picked,
    })
}

/// The servers that directives name, with the caller's login when they are the caller's own.
fn with_login(
    config: NatsConfig,
    callers: Option<NatsConfig>,
    has_seed: bool,
    warnings: &mut Vec<String>,
) -> NatsConfig {
    match callers {
        Some(callers) if callers.has_servers_of(&config) => callers,
        callers => {
            if has_seed || callers.is_some_and(|callers| callers.has_login()) {
                warnings.push(format!(
                    "events go to {config}, which the directives name, without a login: `{}` and `{}` are for another server",
                    env_vars::NATS_URL,
                    env_vars::NATS_NKEY_SEED
                ));
            }
            config
        }
    }
}

/// First tokens of event subjects.
pub(super) fn subject_prefix(sources: &Sources<'_>, ledger: &mut Ledger) -> Result<SubjectPrefix> {
    let candidates = sources.text(
        ("--nats-subject-prefix", sources.args.nats_subject_prefix.as_ref()),
        ("nats_events.subject_prefix", |directives| {
            directives.nats_events.as_ref()?.subject_prefix.as_ref().map(ToString::to_string)
        }),
        Some(env_vars::NATS_SUBJECT_PREFIX),
    )?;
    match ledger.pick("nats_subject_prefix", candidates)? {
        Some(prefix) => prefix.parse(),
        None => {
            ledger.note_default("nats_subject_prefix", SubjectPrefix::default().to_string());
            Ok(SubjectPrefix::default())
        }
    }
}
