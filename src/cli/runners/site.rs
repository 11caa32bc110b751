//! [`Site`]: what every command on runners needs: whom to ask, what is on record, and whose runners are ours.

use std::sync::Arc;

use crate::cli::services;
use crate::cli::settings::text_or_env;
use crate::custody::Timing;
use crate::env_vars::{self, Environment};
use crate::error::{Error, Result};
use crate::ids::RunId;
use crate::inputs::{project_owner, workspace};
use crate::lease::{Journal, OwnerId};
use crate::provider::{ComputeProvider, ProviderConfig, choice};
use crate::report::runners::OwnerInfo;
use crate::run::Services;

/// Whom to ask, what is on record, and whose runners are ours.
pub(super) struct Site {
    pub(super) services: Services,
    pub(super) journal: Journal,
    pub(super) timing: Timing,
    pub(super) providers: Vec<Arc<dyn ComputeProvider>>,
    /// The one provider that is asked, when one was named: then it must answer.
    pub(super) named: Option<&'static str>,
    pub(super) owner: OwnerInfo,
    /// Of providers that cannot even be opened.
    pub(super) warnings: Vec<String>,
}

impl Site {
    /// Opens the named provider, or every one that the environment says where to find. Asks nobody yet.
    ///
    /// # Errors
    /// `Usage` for a provider that is not known and a workspace's name that is not valid; whatever keeps a named one from being opened.
    pub(super) async fn open(provider: Option<&str>, owner: Option<&str>, environment: Environment) -> Result<Self> {
        let named = match provider {
            Some(said) => Some(choice::named(said)?.name()),
            None => None,
        };
        let services = services(environment)?;
        let mut site = Self {
            owner: find_owner(owner, &services.environment).await?,
            journal: Journal::new(&services.dirs.state),
            timing: Timing::default(),
            providers: Vec::new(),
            named,
            warnings: Vec::new(),
            services,
        };
        let names: Vec<&str> =
            named.map_or_else(|| choice::at_hand(&site.services.environment).collect(), |one| vec![one]);
        for name in names {
            let (environment, dirs) = (&site.services.environment, &site.services.dirs);
            match ProviderConfig::from_environment(name, environment, dirs).and_then(|config| config.open()) {
                Ok(provider) => site.providers.push(provider),
                Err(error) if named.is_some() => return Err(error),
                Err(error) => site.warnings.push(cannot_be_asked(name, &error)),
            }
        }
        Ok(site)
    }
}

/// What is said of a provider that nobody named.
pub(super) fn cannot_be_asked(name: &str, error: &Error) -> String {
    format!("the provider `{name}` cannot be asked, so its runners are not known: {error}")
}

/// As a build of the current directory finds it.
async fn find_owner(said: Option<&str>, environment: &Environment) -> Result<OwnerInfo> {
    let directory = std::env::current_dir().unwrap_or_default();
    let directory = tokio::fs::canonicalize(&directory).await.unwrap_or(directory);
    let workspace = match text_or_env(None, "--workspace", env_vars::BUILDKIT_WORKSPACE, environment)? {
        Some((name, _)) => Some(name.parse()?),
        None => workspace::default_name(environment, &directory).await.ok().map(|(workspace, _)| workspace),
    };
    let found = match workspace {
        Some(workspace) => Some(project_owner::find(said, environment, &directory, &workspace).await),
        None => project_owner::configured(said, environment),
    };
    // An owner that no runner has.
    let nobody = || (OwnerId::derive(&RunId::new().to_string()), "nothing here names a project".to_owned());
    let (id, from) = found.unwrap_or_else(nobody);
    Ok(OwnerInfo { id, from })
}
