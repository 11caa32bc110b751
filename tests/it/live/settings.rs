//! [`Settings`]: what whoever pays has said.

use std::time::Duration;

use lian_build::env_vars::Environment;
use lian_build::provider::hcloud::{HcloudConfig, Pace};
use rust_decimal::Decimal;

/// The token of the project that is used. Not `HCLOUD_TOKEN`: nobody does this by mistake.
pub(super) const TOKEN: &str = "LIAN_LIVE_HCLOUD_TOKEN";

/// The most that a run may cost, in EUR with tax.
pub(super) const MOST: &str = "LIAN_LIVE_MAX_EUR";

/// The size of the servers.
const SERVER_TYPE: &str = "LIAN_LIVE_SERVER_TYPE";

/// Another address than Hetzner's.
pub(super) const ENDPOINT: &str = "LIAN_LIVE_ENDPOINT";

/// What is handed on as it is.
const HANDED_ON: [&str; 3] = ["LIAN_HCLOUD_LOCATION", "LIAN_HCLOUD_SSH_FROM", "LIAN_HCLOUD_SSH_KEY"];

/// What whoever pays has said.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) config: HcloudConfig,
    pub(super) server_type: String,
    /// `None` where nothing is to be made.
    pub(super) most: Option<Decimal>,
    /// How long a sweep waits for one thing to be gone.
    pub(super) sweep_limit: Duration,
    /// How long after a run that failed there is another sweep: for what was asked for and came late.
    pub(super) late: Duration,
    /// The pause between two looks at the account.
    pub(super) pause: Duration,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// With the variable that is missing or wrong. The token is in no message.
    pub(super) fn from_environment(environment: &Environment) -> Result<Self, String> {
        let text = |name: &str| environment.text(name).map(str::trim).filter(|text| !text.is_empty());
        let token = text(TOKEN).ok_or_else(|| {
            format!("`{TOKEN}` is not set: a token of a Hetzner Cloud project that may read and write. docs/live.md says what is done with it")
        })?;
        let most = text(MOST).map(|text| match text.parse::<Decimal>() {
            Ok(most) if most > Decimal::ZERO => Ok(most),
            _ => Err(format!("`{MOST}` is `{text}`, which is no amount of EUR such as 0.50")),
        });
        // The suite builds nothing, so no program is ever fetched.
        let sum = "0".repeat(64);
        let mut pairs = vec![
            ("HCLOUD_TOKEN", token),
            ("LIAN_BUILDKIT_URL", "http://127.0.0.1:9/buildkit.tar.gz"),
            ("LIAN_BUILDKIT_SHA256", &sum),
        ];
        pairs.extend(text("PATH").map(|path| ("PATH", path)));
        pairs.extend(text(ENDPOINT).map(|url| ("HCLOUD_ENDPOINT", url)));
        pairs.extend(HANDED_ON.iter().filter_map(|name| Some((*name, text(name)?))));
        let config = HcloudConfig::from_environment(&Environment::from_pairs(pairs));
        let config = config.map_err(|error| format!("{error}"))?;
        // Whether a server lives is asked anew each time: the suite switches some off.
        let pace = Pace { alive_for: Duration::ZERO, ..config.pace };
        Ok(Self {
            config: HcloudConfig { pace, ..config },
            server_type: text(SERVER_TYPE).unwrap_or("cax11").to_owned(),
            most: most.transpose()?,
            sweep_limit: Duration::from_secs(180),
            late: Duration::from_secs(60),
            pause: Duration::from_secs(1),
        })
    }
}
