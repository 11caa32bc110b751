//! [`Envelope`]: the one result of a `build`, as it stands on stdout, in events and in records.
//!
//! Fields are only added within `lian-build/result/v1`. A field that has no value is present as `null`, so a reader
//! never has to tell "absent" from "unknown". Holds no secrets; it does not decide anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::error::Error;
use crate::ids::{LeaseId, RunId, Workspace};
use crate::lease::Isolation;
use crate::plan::SizingSource;
use crate::record::Metrics;

/// The format's name and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SchemaName {
    /// Version 1.
    #[default]
    #[serde(rename = "lian-build/result/v1")]
    ResultV1,
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// The format's name and version.
    pub schema: SchemaName,
    /// The command that was run: `build`.
    pub command: String,
    /// The run, a UUID v7.
    pub run_id: RunId,
    /// What was built; `null` when the run was refused before that was known.
    pub workspace: Option<Workspace>,
    /// How the run ended; `null` only in events sent while it goes on.
    pub status: Option<Status>,
    /// The exit code of the process; `null` only in events sent while it goes on.
    pub exit_code: Option<u8>,
    /// The image; `null` when none was made.
    pub image: Option<Image>,
    /// Results that were written on the caller's machine, as paths or descriptions.
    pub outputs: Vec<String>,
    /// The size that was chosen and why; `null` when the run ended before that.
    pub sizing: Option<SizingInfo>,
    /// The attempts, in order, each added when it ended.
    pub attempts: Vec<Attempt>,
    /// What was read from and written to remote caches.
    pub cache: CacheInfo,
    /// What the user should know although the run went on.
    pub warnings: Vec<String>,
    /// What went wrong; `null` for `succeeded` and `up_to_date`.
    pub error: Option<ErrorInfo>,
}

impl Envelope {
    /// The envelope of a run that has just begun: nothing is known but its names.
    pub fn new(command: impl Into<String>, run_id: RunId, workspace: Option<Workspace>) -> Self {
        Self {
            schema: SchemaName::ResultV1,
            command: command.into(),
            run_id,
            workspace,
            status: None,
            exit_code: None,
            image: None,
            outputs: Vec::new(),
            sizing: None,
            attempts: Vec::new(),
            cache: CacheInfo::default(),
            warnings: Vec::new(),
            error: None,
        }
    }

    /// Ends the run without an error: exit code 0.
    pub fn succeed(&mut self, status: Status) {
        self.status = Some(status);
        self.exit_code = Some(crate::exit::SUCCESS);
        self.error = None;
    }

    /// Ends the run with `error`, which decides status and exit code.
    pub fn fail(&mut self, error: &Error) {
        let code = crate::exit::code(error.kind());
        self.status = Some(Status::of_exit_code(code));
        self.exit_code = Some(code);
        self.error = Some(ErrorInfo::from(error));
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Built.
    Succeeded,
    /// Nothing had to be built.
    UpToDate,
    /// Exit codes 1, 3, 5, 6, 7.
    Failed,
    /// Exit codes 2, 4, 8: nothing was attempted, or the answer was no.
    Refused,
    /// Ended by a signal, after the release.
    Cancelled,
}

impl Status {
    /// The status that belongs to an exit code; 0 is [`Status::Succeeded`].
    pub const fn of_exit_code(code: u8) -> Self {
        match code {
            crate::exit::SUCCESS => Self::Succeeded,
            crate::exit::USAGE | crate::exit::NO_CAPACITY | crate::exit::CREDENTIALS => Self::Refused,
            129.. => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// The image that a run made or found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// The names it has, with tags.
    pub references: Vec<String>,
    /// `sha256:…`; read back from the registry when it was pushed.
    pub digest: String,
    /// `linux/arm64`, say.
    pub platform: String,
    /// True when it is in the registry.
    pub pushed: bool,
}

/// The size that was chosen and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizingInfo {
    /// What decided.
    pub source: SizingSource,
    /// The tier's name.
    pub runner_type: String,
    /// CPUs.
    #[serde(serialize_with = "number")]
    pub cpu: f64,
    /// Memory in GB (2^30).
    #[serde(serialize_with = "number")]
    pub memory_gb: f64,
    /// Disk in GB.
    #[serde(serialize_with = "number")]
    pub disk_gb: f64,
    /// Minutes that one attempt may take.
    #[serde(serialize_with = "number")]
    pub time_budget_min: f64,
    /// Why, in words.
    pub reason: String,
}

/// One solve on one lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// The provider's name: `local`.
    pub provider: String,
    /// How far the runner was apart from the machine it stood on.
    pub isolation: Isolation,
    /// The lease.
    pub lease_id: LeaseId,
    /// The tier's name.
    pub runner_type: String,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// How long its parts took.
    pub seconds: Seconds,
    /// Bytes of context that were sent.
    pub bytes_synced: u64,
    /// What BuildKit had to do.
    pub steps: Steps,
    /// What was used; `null` when nothing could be measured.
    pub metrics: Option<Metrics>,
    /// What it cost; `null` where nothing is billed or the price is not known.
    pub cost: Option<Cost>,
    /// How memory ran out; `null` when it did not.
    pub oom: Option<Oom>,
    /// True when the runner is verified gone.
    pub released: bool,
    /// Until when the runner was left standing after a failure, in UTC as in RFC 3339; `null` when it was not.
    #[serde(default)]
    pub kept_until: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Built.
    Succeeded,
    /// The build itself failed.
    Failed,
    /// Memory ran out.
    Oom,
    /// The runner or the way to it was lost.
    Lost,
    /// The time budget was used up.
    TimedOut,
    /// Ended by a signal.
    Cancelled,
}

impl Outcome {
    /// The word that stands in envelopes and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Oom => "oom",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Succeeded, Self::Failed, Self::Oom, Self::Lost, Self::TimedOut, Self::Cancelled]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

/// How long the parts of an attempt took, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Seconds {
    /// Until the runner answered.
    #[serde(serialize_with = "number")]
    pub lease: f64,
    /// Sending the context.
    #[serde(serialize_with = "number")]
    pub sync: f64,
    /// BuildKit's work, to the result being where it belongs.
    #[serde(serialize_with = "number")]
    pub solve: f64,
    /// Until the runner was verified gone.
    #[serde(serialize_with = "number")]
    pub release: f64,
}

impl Seconds {
    /// All parts together.
    pub fn total(&self) -> f64 {
        self.lease + self.sync + self.solve + self.release
    }
}

/// How many steps there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Steps {
    /// All of them.
    pub total: u64,
    /// Those that came from a cache.
    pub cached: u64,
}

/// What an attempt cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// A decimal number as text, so that no digit is lost.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Hours that are billed for it: each that was begun.
    pub billed_hours: u32,
    /// Seconds that the runner was there, from its creation to its verified end.
    #[serde(default)]
    pub used_seconds: u64,
}

/// How sure it is that memory ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OomVerdict {
    /// The kernel or BuildKit says so.
    Proven,
    /// Memory pressure near 100 % without progress.
    Stalled,
    /// A step was killed and no counter could be read.
    Suspected,
}

/// How memory ran out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Oom {
    /// How sure it is.
    pub verdict: OomVerdict,
    /// The step; `null` when it is not known.
    pub step: Option<String>,
    /// The process that was killed; `null` when it is not known.
    pub victim: Option<String>,
    /// What was seen, one fact each.
    pub evidence: Vec<String>,
}

/// What was read from and written to remote caches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CacheInfo {
    /// References that were read.
    pub imported: Vec<String>,
    /// References that were written.
    pub exported: Vec<String>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorInfo {
    /// The kind, one word: see the table of exit codes.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// What to do, one line each.
    pub hints: Vec<String>,
    /// The step that failed; `null` when none did.
    pub step: Option<String>,
    /// The last lines that step printed.
    pub log_tail: Vec<String>,
    /// The Dockerfile around it; `>>>` marks its line.
    pub excerpt: Vec<String>,
    /// The file with the full log; `null` when there is none.
    pub log: Option<String>,
}

impl From<&Error> for ErrorInfo {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind().as_str().to_owned(),
            message: error.message(),
            hints: error.hints().to_vec(),
            step: None,
            log_tail: Vec::new(),
            excerpt: Vec::new(),
            log: None,
        }
    }
}

/// Writes whole numbers without a fraction (`4`, not `4.0`): they are read by people too.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers below 2^53 are cast")]
fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Signal};
    use serde_json::json;

    fn full() -> Envelope {
        let run_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let mut envelope = Envelope::new("build", run_id, Some("my-app".parse().unwrap()));
        envelope.sizing = Some(SizingInfo {
            source: SizingSource::P95,
            runner_type: "cax21".to_owned(),
            cpu: 4.0,
            memory_gb: 0.5,
            disk_gb: 40.0,
            time_budget_min: 60.0,
            reason: "past runs".to_owned(),
        });
        envelope.attempts.push(Attempt {
            number: 1,
            provider: "local".to_owned(),
            isolation: Isolation::None,
            lease_id: "lb-01890a5dac96774bbcceb302099a8057".parse().unwrap(),
            runner_type: "cax11".to_owned(),
            outcome: Outcome::Oom,
            seconds: Seconds { lease: 1.0, sync: 0.25, solve: 3.0, release: 0.0 },
            bytes_synced: 12,
            steps: Steps { total: 7, cached: 2 },
            metrics: Some(Metrics { cpu_p95: 1.5, mem_p95: 2.5, mem_peak: 3.5 }),
            cost: Some(Cost {
                amount: "0.01".to_owned(),
                currency: "EUR".to_owned(),
                billed_hours: 1,
                used_seconds: 240,
            }),
            oom: Some(Oom {
                verdict: OomVerdict::Proven,
                step: None,
                victim: Some("rustc".to_owned()),
                evidence: vec!["oom_kill grew by 1".to_owned()],
            }),
            released: true,
            kept_until: None,
        });
        envelope
    }

    #[test]
    fn the_format_is_the_designed_one() {
        let mut envelope = full();
        envelope.fail(&Error::new(ErrorKind::OutOfMemory, "memory ran out").hint("take `cax21`"));
        assert_eq!(
            serde_json::to_value(&envelope).unwrap(),
            json!({
                "schema": "lian-build/result/v1", "command": "build",
                "run_id": "01890a5d-ac96-774b-bcce-b302099a8057", "workspace": "my-app",
                "status": "failed", "exit_code": 3, "image": null, "outputs": [],
                "sizing": { "source": "p95", "runner_type": "cax21", "cpu": 4, "memory_gb": 0.5, "disk_gb": 40,
                    "time_budget_min": 60, "reason": "past runs" },
                "attempts": [{ "number": 1, "provider": "local", "isolation": "none",
                    "lease_id": "lb-01890a5dac96774bbcceb302099a8057", "runner_type": "cax11", "outcome": "oom",
                    "seconds": { "lease": 1, "sync": 0.25, "solve": 3, "release": 0 }, "bytes_synced": 12,
                    "steps": { "total": 7, "cached": 2 },
                    "metrics": { "cpu_p95": 1.5, "mem_p95": 2.5, "mem_peak": 3.5 },
                    "cost": { "amount": "0.01", "currency": "EUR", "billed_hours": 1, "used_seconds": 240 },
                    "oom": { "verdict": "proven", "step": null, "victim": "rustc",
                        "evidence": ["oom_kill grew by 1"] },
                    "released": true, "kept_until": null }],
                "cache": { "imported": [], "exported": [] }, "warnings": [],
                "error": { "kind": "out_of_memory", "message": "memory ran out", "hints": ["take `cax21`"],
                    "step": null, "log_tail": [], "excerpt": [], "log": null },
            })
        );
    }

    #[test]
    fn what_is_written_is_read_and_what_is_added_later_is_passed_over() {
        let mut value = serde_json::to_value(full()).unwrap();
        assert_eq!(serde_json::from_value::<Envelope>(value.clone()).unwrap(), full());
        value["added_later"] = json!({});
        value["attempts"][0]["added_later"] = json!(1);
        assert_eq!(serde_json::from_value::<Envelope>(value.clone()).unwrap(), full());
        value["schema"] = json!("lian-build/result/v2");
        assert!(serde_json::from_value::<Envelope>(value).is_err());
    }

    #[test]
    fn the_status_follows_the_exit_code() {
        for (kind, status) in [
            (ErrorKind::Build, Status::Failed),
            (ErrorKind::Usage, Status::Refused),
            (ErrorKind::OutOfMemory, Status::Failed),
            (ErrorKind::NoCapacity, Status::Refused),
            (ErrorKind::OverPolicy, Status::Refused),
            (ErrorKind::State, Status::Failed),
            (ErrorKind::TimeBudget, Status::Failed),
            (ErrorKind::ReleaseUnconfirmed, Status::Failed),
            (ErrorKind::Credentials, Status::Refused),
            (ErrorKind::Cancelled(Signal::Sighup), Status::Cancelled),
            (ErrorKind::Cancelled(Signal::Sigterm), Status::Cancelled),
        ] {
            let mut envelope = full();
            envelope.fail(&Error::new(kind, "x"));
            assert_eq!((envelope.status, envelope.exit_code), (Some(status), Some(crate::exit::code(kind))));
        }
        let mut envelope = full();
        envelope.succeed(Status::UpToDate);
        assert_eq!((envelope.status, envelope.exit_code, envelope.error), (Some(Status::UpToDate), Some(0), None));
    }
}
