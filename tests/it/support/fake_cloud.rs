//! [`FakeCloud`]: a cloud in memory. Names are unique, every server made is billed, and its API can be told to fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lian_build::provider::RunnerStatus;
use tokio::sync::Notify;

/// Labels as the cloud stores them.
pub(crate) type LabelMap = BTreeMap<String, String>;

/// What goes wrong. Each is used up by the requests it spoils.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server is made, and the reply is lost.
    CreateReplyLost,
    /// The server is made, and then said to have failed.
    CreateFailsAfterMaking,
    /// Nothing is made; the reply is a server error.
    CreateFails,
    /// The server is made and does not start until [`FakeCloud::start`].
    CreateIsSlow,
    /// A server that is there is not shown yet.
    GetIsStale,
    /// Nothing is destroyed; the reply is a server error.
    DeleteFails,
    /// The reply says that it is destroyed, and it is not.
    DeleteIsOnlySaid,
    /// The server is destroyed, and the reply is lost.
    DeleteReplyLost,
    /// The list cannot be had.
    ListFails,
    /// What is left over cannot be tidied away.
    TidyFails,
    /// Labels cannot be changed just now.
    UpdateFails,
}

/// Why a request has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// There is one of that name.
    NameTaken,
    /// There is none of that name.
    NotFound,
    /// Nobody knows whether it was done.
    Unknown,
    /// It was not done, or it failed, with the cloud's word.
    Failed(&'static str),
}

/// A server as the cloud has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) id: u64,
    pub(crate) labels: LabelMap,
    pub(crate) status: RunnerStatus,
}

/// A cloud in memory, shared by all providers that are opened on it.
#[derive(Debug, Default)]
pub(crate) struct FakeCloud {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    servers: BTreeMap<String, Server>,
    bill: Vec<String>,
    faults: Vec<(Fault, usize)>,
    deletes: Vec<String>,
}

impl State {
    /// Whether this fault is scripted for now; uses one of it up.
    fn strikes(&mut self, fault: Fault) -> bool {
        let Some((_, times)) = self.faults.iter_mut().find(|(scripted, times)| *scripted == fault && *times > 0) else {
            return false;
        };
        *times -= 1;
        true
    }
}

/// What a test does to the cloud, and sees of it, from outside.
impl FakeCloud {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `times` requests of that kind go wrong.
    pub(crate) fn script(&self, fault: Fault, times: usize) {
        self.state().faults.push((fault, times));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.state().faults.clear();
    }

    /// Puts a server there that no provider of ours asked for.
    pub(crate) fn plant(&self, name: &str, labels: LabelMap) {
        let mut state = self.state();
        let id = state.bill.len() as u64;
        state.servers.insert(name.to_owned(), Server { id, labels, status: RunnerStatus::Running });
    }

    /// Takes away what was planted.
    pub(crate) fn uproot(&self, name: &str) {
        self.state().servers.remove(name);
    }

    /// The power goes.
    pub(crate) fn power_off(&self, name: &str) {
        if let Some(server) = self.state().servers.get_mut(name) {
            server.status = RunnerStatus::Stopped;
        }
        self.changed.notify_waiters();
    }

    /// A slow server starts at last.
    pub(crate) fn start(&self, name: &str) {
        if let Some(server) = self.state().servers.get_mut(name) {
            server.status = RunnerStatus::Running;
        }
        self.changed.notify_waiters();
    }

    /// The server of that name, as it really is.
    pub(crate) fn look(&self, name: &str) -> Option<Server> {
        self.state().servers.get(name).cloned()
    }

    /// The names of all servers there are.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().servers.keys().cloned().collect()
    }

    /// The names of all servers that were ever asked for and made: each is paid for.
    pub(crate) fn bill(&self) -> Vec<String> {
        self.state().bill.clone()
    }

    /// The names that DELETE was asked for, in order, whatever came of it.
    pub(crate) fn deletes(&self) -> Vec<String> {
        self.state().deletes.clone()
    }
}

/// The API.
impl FakeCloud {
    /// `POST /servers`: its id.
    pub(crate) fn create(&self, name: &str, labels: LabelMap) -> Result<u64, ApiError> {
        let mut state = self.state();
        if state.strikes(Fault::CreateFails) {
            return Err(ApiError::Unknown);
        }
        if state.servers.contains_key(name) {
            return Err(ApiError::NameTaken);
        }
        state.bill.push(name.to_owned());
        let id = state.bill.len() as u64;
        let status = if state.strikes(Fault::CreateIsSlow) { RunnerStatus::Starting } else { RunnerStatus::Running };
        state.servers.insert(name.to_owned(), Server { id, labels, status });
        if state.strikes(Fault::CreateReplyLost) {
            Err(ApiError::Unknown)
        } else if state.strikes(Fault::CreateFailsAfterMaking) {
            Err(ApiError::Failed("the server could not be started"))
        } else {
            Ok(id)
        }
    }

    /// `GET /servers?name=…`
    pub(crate) fn get(&self, name: &str) -> Option<Server> {
        let mut state = self.state();
        if state.strikes(Fault::GetIsStale) { None } else { state.servers.get(name).cloned() }
    }

    /// What a provider does at the end of a sweep.
    pub(crate) fn tidy(&self) -> Result<(), ApiError> {
        if self.state().strikes(Fault::TidyFails) { Err(ApiError::Unknown) } else { Ok(()) }
    }

    /// `DELETE /servers/…`
    pub(crate) fn delete(&self, name: &str) -> Result<(), ApiError> {
        let mut state = self.state();
        state.deletes.push(name.to_owned());
        if state.strikes(Fault::DeleteFails) {
            return Err(ApiError::Unknown);
        }
        if state.strikes(Fault::DeleteIsOnlySaid) {
            return Ok(());
        }
        state.servers.remove(name).ok_or(ApiError::NotFound)?;
        let lost = state.strikes(Fault::DeleteReplyLost);
        drop(state);
        self.changed.notify_waiters();
        if lost { Err(ApiError::Unknown) } else { Ok(()) }
    }

    /// `GET /servers`
    pub(crate) fn list(&self) -> Result<BTreeMap<String, Server>, ApiError> {
        let mut state = self.state();
        if state.strikes(Fault::ListFails) { Err(ApiError::Unknown) } else { Ok(state.servers.clone()) }
    }

    /// `PUT /servers/…`: one label.
    pub(crate) fn set_label(&self, name: &str, key: &str, value: String) -> Result<(), ApiError> {
        let mut state = self.state();
        if state.strikes(Fault::UpdateFails) {
            return Err(ApiError::Failed("labels cannot be changed now"));
        }
        let server = state.servers.get_mut(name).ok_or(ApiError::NotFound)?;
        server.labels.insert(key.to_owned(), value);
        Ok(())
    }

    /// Waits until the server does not start any more.
    pub(crate) async fn started(&self, name: &str) -> Option<Server> {
        loop {
            let changed = self.changed.notified();
            match self.look(name) {
                Some(server) if server.status == RunnerStatus::Starting => changed.await,
                server => return server,
            }
        }
    }
}
