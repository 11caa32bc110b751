//! [`Hcloud`]: Hetzner's cloud API as of October 2026, as far as `lian-build` and the clients it is checked with need it.
//!
//! It refuses what the real one refuses, and a little more: a field or a parameter that it does not know is `invalid_input`,
//! so that a typing error in a client is seen. HTTP statuses follow what was seen of the real API; clients branch on codes.

mod action;
mod answer;
mod asked;
pub mod catalog;
mod create;
mod dialect;
mod firewall;
mod image;
mod labels;
mod lifecycle;
mod limit;
mod lists;
mod primary_ip;
mod selector;
mod server;
mod servers;
mod ssh_key;
mod state;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::audit::Audit;
use crate::backend::{Backend, NullBackend, Seed};
use crate::bill::Bill;
use crate::clock::Clock;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::faults::Faults;
use crate::serve::{Listening, serve};

pub use labels::Labels;
pub use server::Status;

/// How a simulator is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 is a free one.
    pub address: SocketAddr,
    /// Its time.
    pub clock: Clock,
    /// What stands behind a server.
    pub backend: Arc<dyn Backend>,
    /// How long a server takes from the request until it is made (`off`), by the clock.
    pub create_time: Duration,
    /// How long it then takes until it is `running`.
    pub start_time: Duration,
    /// The most servers of the project.
    pub server_limit: usize,
    /// Requests an hour, as many of them at once as there are; one more comes each `3600 / limit` seconds.
    pub request_limit: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock: Clock::real(),
            backend: Arc::new(NullBackend::default()),
            create_time: Duration::from_millis(20),
            start_time: Duration::from_millis(20),
            server_limit: usize::MAX,
            request_limit: 3600,
        }
    }
}

/// The project behind the API.
#[derive(Debug)]
pub(crate) struct Cloud {
    core: Core,
    options: Options,
    state: Mutex<state::State>,
    /// Types at locations that are shown as not available; the POST is a fault's to refuse.
    sold_out: Mutex<BTreeSet<(String, String)>>,
}

impl Cloud {
    fn state(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_status(&self, id: u64, status: Status) {
        if let Some(server) = self.state().servers.get_mut(&id) {
            server.status = status;
        }
    }

    /// An action is over.
    fn end(&self, action: u64, error: Option<(String, String)>) {
        let now = self.core.clock.now();
        if let Some(action) = self.state().actions.get_mut(&action) {
            action.end(now, error);
        }
    }

    /// Looks which servers that should run have switched themselves off.
    async fn look(&self) {
        let running: Vec<u64> = self
            .state()
            .servers
            .values()
            .filter(|server| server.status == Status::Running)
            .map(|server| server.id)
            .collect();
        for id in running {
            if !self.core.backend.is_on(&id.to_string()).await {
                let mut state = self.state();
                if let Some(server) = state.servers.get_mut(&id).filter(|server| server.status == Status::Running) {
                    server.status = Status::Off;
                }
            }
        }
    }

    /// A server of somebody else's: nothing stands behind it, and no meter counts it.
    fn plant(&self, name: &str, labels: Labels) -> u64 {
        let mut state = self.state();
        let id = state.new_id();
        let [.., server_type] = catalog::SERVER_TYPES;
        let server = server::Server {
            id,
            name: name.to_owned(),
            labels,
            server_type,
            location: "fsn1",
            image: catalog::system_image(&catalog::SYSTEM_IMAGES[0]),
            status: Status::Off,
            created: self.core.clock.now(),
            ipv4: None,
            primary_ips: [None, None],
            delete_protected: false,
            locked: false,
            seed: Seed::default(),
        };
        state.servers.insert(id, server);
        id
    }

    fn sold_out(&self, server_type: &str, location: &str) -> bool {
        let sold_out = self.sold_out.lock().unwrap_or_else(PoisonError::into_inner);
        sold_out.contains(&(server_type.to_owned(), location.to_owned()))
    }

    /// All servers as they are now.
    fn servers(&self) -> Vec<ServerView> {
        let state = self.state();
        let view = |server: &server::Server| ServerView {
            id: server.id,
            name: server.name.clone(),
            status: server.status,
            labels: server.labels.clone(),
            server_type: server.server_type.name.to_owned(),
            location: server.location.to_owned(),
            ipv4: server.ipv4,
            user_data: server.seed.user_data.clone(),
        };
        state.servers.values().map(view).collect()
    }
}

/// A server, as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerView {
    /// The id.
    pub id: u64,
    /// The name.
    pub name: String,
    /// How far it is.
    pub status: Status,
    /// Its labels as they are now.
    pub labels: Labels,
    /// Its size.
    pub server_type: String,
    /// Where it stands.
    pub location: String,
    /// Its address, when it has one.
    pub ipv4: Option<Ipv4Addr>,
    /// What it was created with.
    pub user_data: String,
}

/// A running simulator. It ends when this is dropped, and so do its servers.
#[derive(Debug)]
pub struct Hcloud {
    cloud: Arc<Cloud>,
    listening: Listening,
}

impl Hcloud {
    /// Starts one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(options: Options) -> Result<Self> {
        let core = Core::new(options.clock.clone(), Arc::clone(&options.backend));
        let address = options.address;
        let cloud =
            Arc::new(Cloud { core: core.clone(), options, state: Mutex::default(), sold_out: Mutex::default() });
        let listening =
            serve(core, Arc::new(dialect::HcloudDialect(Arc::clone(&cloud))), router(&cloud), address, None).await?;
        Ok(Self { cloud, listening })
    }

    /// The API's base: `http://127.0.0.1:PORT/v1`.
    pub fn url(&self) -> String {
        format!("{}/v1", self.listening.origin())
    }

    /// Scheme, address and port.
    pub fn origin(&self) -> String {
        self.listening.origin()
    }

    /// The token that may do everything.
    pub fn token(&self) -> String {
        limit::TOKEN.repeat(2)
    }

    /// The token that may only read.
    pub fn token_readonly(&self) -> String {
        limit::TOKEN_READONLY.repeat(2)
    }

    /// What every simulator has.
    pub fn core(&self) -> &Core {
        &self.cloud.core
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.cloud.core.faults
    }

    /// Its time.
    pub fn clock(&self) -> &Clock {
        &self.cloud.core.clock
    }

    /// Every request.
    pub fn audit(&self) -> &Audit {
        &self.cloud.core.audit
    }

    /// What is owed now, net.
    pub fn bill(&self) -> Bill {
        self.cloud.core.bill()
    }

    /// All servers as they are now.
    pub fn servers(&self) -> Vec<ServerView> {
        self.cloud.servers()
    }

    /// How many SSH keys, snapshots, firewalls and primary IPs there are: what leaks beside servers.
    pub fn leftovers(&self) -> [(&'static str, usize); 4] {
        let state = self.cloud.state();
        [
            ("ssh_keys", state.ssh_keys.len()),
            ("images", state.snapshots.len()),
            ("firewalls", state.firewalls.len()),
            ("primary_ips", state.primary_ips.len()),
        ]
    }

    /// Puts a server there that is somebody else's, switched off: nothing stands behind it, and the bill does not name it.
    /// Yields its id.
    pub fn plant(&self, name: &str, labels: Labels) -> u64 {
        self.cloud.plant(name, labels)
    }

    /// Shows a type as not available at a location, or as available again. A request for it is a fault's to refuse.
    pub fn show_sold_out(&self, server_type: &str, location: &str, sold_out: bool) {
        let mut set = self.cloud.sold_out.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (server_type.to_owned(), location.to_owned());
        if sold_out {
            set.insert(pair)
        } else {
            set.remove(&pair)
        };
    }

    /// A server switches itself off: it is paid for all the same.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn power_off(&self, name: &str) -> Result<()> {
        let id =
            self.cloud.state().server_named(name).ok_or_else(|| Error::new(format!("there is no server {name}")))?;
        self.cloud.core.backend.stop(&id.to_string()).await
    }
}

/// The whole API below `/v1`.
fn router(cloud: &Arc<Cloud>) -> Router {
    let calls = servers::routes()
        .merge(action::routes())
        .merge(ssh_key::routes())
        .merge(image::routes())
        .merge(firewall::routes())
        .merge(primary_ip::routes())
        .merge(lists::routes());
    let guard = Arc::clone(cloud);
    Router::new()
        .nest("/v1", calls)
        .fallback(async || answer::not_found("endpoint", "").into_response())
        .layer(middleware::from_fn(move |request: Request, next: Next| limit::guard(Arc::clone(&guard), request, next)))
        .with_state(Arc::clone(cloud))
}

/// What every answer carries.
fn with_headers(mut response: Response, headers: &[(&'static str, String)]) -> Response {
    for (name, value) in headers {
        if let Ok(value) = axum::http::HeaderValue::try_from(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
