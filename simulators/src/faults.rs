//! [`Faults`]: what goes wrong on demand. A [`Fault`] says what happens, to which calls, and how often.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::call::{Call, Refusal, Subject};

/// What happens to a call that is struck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Nothing is done, and this is answered.
    Refuse(Refusal),
    /// It is done, and this is answered instead of the result: the reply was lost on its way.
    LoseReply(Refusal),
    /// The connection is closed without an answer.
    Drop {
        /// Whether the call was done before.
        done: bool,
    },
    /// No answer comes until [`Faults::let_go`].
    Hold {
        /// Whether the call was done before.
        done: bool,
    },
    /// The action that the call starts takes so much longer, by the simulator's clock.
    Slow {
        /// By how many seconds.
        seconds: u64,
    },
    /// The action that the call starts ends with this error.
    ActionFails {
        /// The action's error code.
        code: String,
        /// Its text.
        message: String,
    },
    /// Somebody else takes the name, or the id, just before.
    Collide,
    /// A list comes in pages of at most this size, whatever is asked for.
    PageSize {
        /// Entries a page.
        size: usize,
    },
}

impl Effect {
    /// Whether the call's real answer does not arrive: there can be one such effect a call.
    fn replaces_answer(&self) -> bool {
        matches!(self, Self::Refuse(_) | Self::LoseReply(_) | Self::Drop { .. })
    }
}

/// What goes wrong, where, and how often. Without a condition it strikes every call; without `times`, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub effect: Effect,
    /// Only calls with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls on this path, without the query. A segment `*` stands for any one segment, a last `**` for any rest.
    #[serde(default)]
    pub path: Option<String>,
    /// Only calls about this server type.
    #[serde(default)]
    pub server_type: Option<String>,
    /// Only calls about this location, or node.
    #[serde(default)]
    pub location: Option<String>,
    /// So many calls that it could strike pass first.
    #[serde(default)]
    pub after: u32,
    /// How many calls it strikes; `null` for all of them.
    #[serde(default = "once")]
    pub times: Option<u32>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde's default has the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

impl Fault {
    /// This effect on the next call, whichever it is.
    pub fn new(effect: Effect) -> Self {
        Self { effect, method: None, path: None, server_type: None, location: None, after: 0, times: once() }
    }

    /// Nothing is done, and this is answered.
    pub fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::new(Effect::Refuse(Refusal::new(status, code, message)))
    }

    /// It is done, and the reply is a server error.
    pub fn reply_lost() -> Self {
        Self::new(Effect::LoseReply(Refusal::new(504, "timeout", "the upstream server did not answer in time")))
    }

    /// The connection is closed before anything is done.
    pub fn dropped() -> Self {
        Self::new(Effect::Drop { done: false })
    }

    /// It is done, and then the connection is closed without an answer.
    pub fn dropped_after() -> Self {
        Self::new(Effect::Drop { done: true })
    }

    /// Nothing is done until [`Faults::let_go`].
    pub fn held() -> Self {
        Self::new(Effect::Hold { done: false })
    }

    /// It is done, and the answer comes after [`Faults::let_go`].
    pub fn held_after() -> Self {
        Self::new(Effect::Hold { done: true })
    }

    /// The action it starts takes so much longer.
    pub fn slow(seconds: u64) -> Self {
        Self::new(Effect::Slow { seconds })
    }

    /// The action it starts ends with this error.
    pub fn action_fails(code: &str, message: &str) -> Self {
        Self::new(Effect::ActionFails { code: code.to_owned(), message: message.to_owned() })
    }

    /// Somebody else takes the name, or the id, of the next server just before it is made.
    pub fn collision() -> Self {
        Self::new(Effect::Collide).on("POST", "/**")
    }

    /// Every list comes in pages of one.
    pub fn page_size(size: usize) -> Self {
        Self::new(Effect::PageSize { size }).on("GET", "/**").always()
    }

    /// Nothing is left in stock, until the fault is taken away: everywhere, or of the type and location that are named.
    pub fn out_of_stock() -> Self {
        Self::refusal(412, "resource_unavailable", "error during placement").on("POST", "/**/servers").always()
    }

    /// Something else is being done to it.
    pub fn locked() -> Self {
        Self::refusal(423, "locked", "server is locked")
    }

    /// Too many requests: the limit that is told, and a message that quotes the caller's token.
    pub fn rate_limited() -> Self {
        let message = "Limit of '3600' requests per hour for token '{token}' reached.";
        let refusal = Refusal::new(429, "rate_limit_exceeded", message)
            .header("RateLimit-Limit", "3600")
            .header("RateLimit-Remaining", "0")
            .header("RateLimit-Reset", "{now}");
        Self::new(Effect::Refuse(refusal))
    }

    /// Only calls with this method on this path: [`Self::path`] says how paths match.
    #[must_use]
    pub fn on(mut self, method: &str, path: &str) -> Self {
        self.method = Some(method.to_owned());
        self.path = Some(path.to_owned());
        self
    }

    /// Only calls about this server type.
    #[must_use]
    pub fn of_type(mut self, server_type: &str) -> Self {
        self.server_type = Some(server_type.to_owned());
        self
    }

    /// Only calls about this location, or node.
    #[must_use]
    pub fn at(mut self, location: &str) -> Self {
        self.location = Some(location.to_owned());
        self
    }

    /// The first `calls` that it could strike pass.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.after = calls;
        self
    }

    /// Strikes so many calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes every call, until it is taken away.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    fn matches(&self, call: &Call, subject: &Subject) -> bool {
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|wanted| is == Some(wanted));
        same(&self.method, Some(call.method.as_str()))
            && self.path.as_deref().is_none_or(|pattern| path_matches(pattern, call.path()))
            && same(&self.server_type, subject.server_type.as_deref())
            && same(&self.location, subject.location.as_deref())
    }
}

/// Whether the path is one that the pattern means. `**` stands for any number of segments, `*` for one.
fn path_matches(pattern: &str, path: &str) -> bool {
    fn rest(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**", after @ ..], _) => {
                (0..=path.len()).any(|skipped| rest(after, path.get(skipped..).unwrap_or_default()))
            }
            (["*", after @ ..], [_, path @ ..]) => rest(after, path),
            ([first, after @ ..], [segment, path @ ..]) => first == segment && rest(after, path),
            _ => false,
        }
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    rest(&pattern, &path)
}

/// The effects that strike one call; an extension of the request that the simulator gets.
#[derive(Debug, Clone, Default)]
pub struct Struck(pub Vec<Effect>);

impl Struck {
    /// By how many seconds the action takes longer.
    pub fn slow_seconds(&self) -> u64 {
        let seconds = |effect: &Effect| if let Effect::Slow { seconds } = effect { *seconds } else { 0 };
        self.0.iter().map(seconds).sum()
    }

    /// The code and text with which the action ends instead of a success.
    pub fn action_error(&self) -> Option<(String, String)> {
        self.0.iter().find_map(|effect| match effect {
            Effect::ActionFails { code, message } => Some((code.clone(), message.clone())),
            _ => None,
        })
    }

    /// Whether somebody else takes the name first.
    pub fn collides(&self) -> bool {
        self.0.contains(&Effect::Collide)
    }

    /// The most entries that a page has.
    pub fn page_size(&self) -> Option<usize> {
        let size = |effect: &Effect| if let Effect::PageSize { size } = effect { Some(*size) } else { None };
        self.0.iter().find_map(size)
    }
}

/// The faults that are scripted, and the calls that are held.
#[derive(Debug)]
pub struct Faults {
    scripted: Mutex<Vec<Fault>>,
    held: watch::Sender<usize>,
    /// Counts how often all were let go.
    let_go: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { scripted: Mutex::default(), held: watch::Sender::new(0), let_go: watch::Sender::new(0) }
    }
}

impl Faults {
    fn locked(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.scripted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more fault, after those that are there.
    pub fn script(&self, fault: Fault) {
        self.locked().push(fault);
    }

    /// What is scripted and not used up.
    pub fn scripted(&self) -> Vec<Fault> {
        self.locked().clone()
    }

    /// Nothing goes wrong any more, and whatever is held goes on.
    pub fn heal(&self) {
        self.locked().clear();
        self.let_go();
    }

    /// All calls that are held go on.
    pub fn let_go(&self) {
        self.let_go.send_modify(|count| *count += 1);
    }

    /// Waits until at least so many calls are held.
    pub async fn wait_held(&self, calls: usize) {
        // The sender is ours: it cannot be gone.
        let _ = self.held.subscribe().wait_for(|held| *held >= calls).await;
    }

    /// Holds the caller until all are let go.
    pub(crate) async fn hold(&self) {
        let mut let_go = self.let_go.subscribe();
        self.held.send_modify(|held| *held += 1);
        let _ = let_go.changed().await;
        self.held.send_modify(|held| *held -= 1);
    }

    /// The effects that strike this call; uses them up.
    pub(crate) fn take(&self, call: &Call, subject: &Subject) -> Vec<Effect> {
        let mut taken: Vec<Effect> = Vec::new();
        let mut scripted = self.locked();
        for fault in scripted.iter_mut().filter(|fault| fault.matches(call, subject)) {
            if fault.effect.replaces_answer() && taken.iter().any(Effect::replaces_answer) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                if *times == 0 {
                    continue;
                }
                *times -= 1;
            }
            taken.push(fault.effect.clone());
        }
        scripted.retain(|fault| fault.times != Some(0));
        taken
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};

    use super::*;

    fn call(method: Method, uri: &str) -> Call {
        Call { method, uri: uri.parse().unwrap(), headers: HeaderMap::new(), body: Vec::new() }
    }

    fn subject(server_type: &str, location: &str) -> Subject {
        Subject { server_type: Some(server_type.to_owned()), location: Some(location.to_owned()) }
    }

    #[test]
    fn paths_match_by_segment() {
        for (pattern, path, matches) in [
            ("/v1/servers", "/v1/servers", true),
            ("/v1/servers", "/v1/servers/7", false),
            ("/v1/servers/*", "/v1/servers/7", true),
            ("/v1/servers/*", "/v1/servers", false),
            ("/v1/servers/**", "/v1/servers/7/actions", true),
            ("/**", "/v1/servers", true),
            ("/**/servers", "/v1/servers", true),
            ("/**/servers", "/v1/ssh_keys", false),
        ] {
            assert_eq!(path_matches(pattern, path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn a_fault_strikes_so_often_and_only_what_it_names() {
        let faults = Faults::default();
        faults.script(Fault::locked().on("DELETE", "/v1/servers/*").after(1).times(2));
        faults.script(Fault::out_of_stock().of_type("cax11").at("fsn1"));
        let any = Subject::default();
        let delete = call(Method::DELETE, "/v1/servers/7");
        let struck: Vec<usize> = (0..4).map(|_| faults.take(&delete, &any).len()).collect();
        assert_eq!(struck, [0, 1, 1, 0]);
        let create = call(Method::POST, "/v1/servers");
        assert_eq!(faults.take(&create, &subject("cax11", "fsn1")).len(), 1);
        assert_eq!(faults.take(&create, &subject("cax11", "fsn1")).len(), 1);
        assert!(faults.take(&create, &subject("cax11", "nbg1")).is_empty());
        assert!(faults.take(&create, &any).is_empty());
        faults.heal();
        assert!(faults.take(&create, &subject("cax11", "fsn1")).is_empty());
    }

    #[test]
    fn one_effect_a_call_takes_the_answers_place() {
        let faults = Faults::default();
        faults.script(Fault::locked());
        faults.script(Fault::reply_lost());
        faults.script(Fault::slow(9));
        let any = Subject::default();
        let delete = call(Method::DELETE, "/v1/servers/7");
        let first = Struck(faults.take(&delete, &any));
        assert_eq!((first.0.len(), first.slow_seconds()), (2, 9));
        assert!(matches!(faults.take(&delete, &any)[..], [Effect::LoseReply(_)]));
    }

    #[test]
    fn scripts_are_json() {
        let fault = Fault::rate_limited().on("POST", "/v1/servers").at("fsn1").times(3);
        let json = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&json).unwrap(), fault);
        let short = r#"{ "effect": { "kind": "refuse", "status": 503, "code": "unavailable" } }"#;
        assert_eq!(serde_json::from_str::<Fault>(short).unwrap(), Fault::refusal(503, "unavailable", ""));
    }
}
