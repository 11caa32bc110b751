//! [`HeldServer`]: what this process holds for one lease, from the first side effect to the verified release.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::config::HcloudConfig;
use super::create::{Created, Creation};
use super::server::{get, was_started};
use super::stock::{self, Offer};
use super::wire::{Pricing, Server};
use super::{firewall, ssh_answer};
use crate::clock::{Clock as _, SystemClock};
use crate::env_vars;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::lease::{CgroupVersion, Endpoint, HourlyPrice, Isolation, LeaseRequest, Made};
use crate::lock_file::LockFile;
use crate::own_machine::{HostKey, UserData};
use crate::provider::Watch;
use crate::provider::host::creating::{self, Creating, NotCreated};
use crate::provider::host::lease_dir::{self, LeaseDir};
use crate::provider::host::runtime_dir::prepare_runtime_dir;
use crate::runner_image::layout::{memory_limit, paths};

/// The directory of this provider's leases in the runtime directory.
pub(super) const DIR: &str = "hcloud";

/// What this process holds for one lease. Each field is set before, or at once when, the thing exists, so a release finds
/// it however far the acquisition came.
#[derive(Debug)]
pub(super) struct HeldServer {
    dir: LeaseDir,
    lock: Option<LockFile>,
    /// The request that creates the server: a task of its own, so that it has an end that is known also when nobody waits
    /// for it any more.
    pub(super) creating: Option<Creating<Created>>,
    /// True from just before the first request goes out: before that there is nothing to release at Hetzner.
    pub(super) asked: bool,
    /// Cancelled by the first release: after it no request that makes something may be sent any more.
    pub(super) releasing: CancellationToken,
    pub(super) endpoint: Option<Endpoint>,
}

impl HeldServer {
    pub(super) fn new(config: &HcloudConfig, lease: &LeaseId) -> Self {
        Self {
            dir: LeaseDir::new(&config.runtime_dir, DIR, lease),
            lock: None,
            creating: None,
            asked: false,
            releasing: CancellationToken::new(),
            endpoint: None,
        }
    }

    /// Makes the runner.
    pub(super) async fn acquire(
        &mut self,
        config: &HcloudConfig,
        api: &Arc<Api>,
        request: &LeaseRequest,
        watch: Watch<'_>,
    ) -> Result<Endpoint> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        let lease = &request.lease_id;
        watch.waiting("Hetzner Cloud to say what it has");
        let offer = Offer::find(api, config, request).await?;
        // That nobody says what it costs is no reason not to build.
        let pricing = stock::pricing(api).await.ok();
        prepare_runtime_dir(&config.runtime_dir)?;
        if self.lock.is_none() {
            self.lock = self.dir.take_lock().await?;
        }
        if self.lock.is_none() {
            return Err(Error::new(ErrorKind::Provider, format!("lease `{lease}` is held by another process")));
        }
        self.dir.create(&config.backend())?;

        watch.waiting("Hetzner Cloud to make the runner's server");
        let created = self.create(config, api, request, &offer).await?;
        let price = pricing.as_ref().and_then(|pricing| offer.price(pricing, &created.location));
        let made = Made { remote_id: created.server.id.to_string(), since: since(&created.server, request), price };
        watch.created(&made).await;
        self.dir.set_creating(false)?;

        let end = Instant::now() + config.pace.boot_limit;
        watch.waiting("the runner's server to start");
        api.wait(created.actions).await.map_err(|failure| failure.into_error("start the runner's server"))?;
        let host = self.wait_for_address(config, api, created.server.id, end).await?;
        watch.waiting("sshd of the runner's server");
        let host_key = self.dir.host_public().await?;
        let keyscan = program(config, "ssh-keyscan");
        let answered = ssh_answer::wait(&keyscan, &host, &host_key, api.pauses(), end, config.pace.boot_limit);
        tokio::select! {
            answered = answered => answered?,
            never = ended(config, api, created.server.id) => return Err(never),
        }
        self.dir.forget_host_private();

        let endpoint = self.endpoint(config, request, &offer, host, host_key);
        self.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    fn endpoint(
        &self,
        config: &HcloudConfig,
        request: &LeaseRequest,
        offer: &Offer,
        host: String,
        host_key: String,
    ) -> Endpoint {
        let mut notes = Vec::new();
        if config.sources.is_empty() {
            notes.push(format!(
                "the runner's SSH port can be reached from everywhere, with the lease's key only: `{}` says from where it may be",
                env_vars::LIAN_HCLOUD_SSH_FROM
            ));
        }
        Endpoint {
            lease_id: request.lease_id.clone(),
            host,
            port: 22,
            user: "root".to_owned(),
            host_key,
            identity_file: self.dir.client_key(),
            session_dir: self.dir.session(),
            paths: paths(),
            isolation: Isolation::Vm,
            shared: false,
            rootless: false,
            memory: memory_limit(&request.lease_id, CgroupVersion::V2, request.tier.build_memory_bytes()),
            effective_memory_bytes: request.tier.memory_bytes(),
            effective_cpu: if offer.server_type.cores > 0 { offer.server_type.cores } else { request.tier.cpu },
            cache_cap_bytes: None,
            architecture: request.architecture.clone(),
            notes,
            warnings: Vec::new(),
        }
    }

    /// Creates the server, or finds the one that an earlier request of this lease created.
    async fn create(
        &mut self,
        config: &HcloudConfig,
        api: &Arc<Api>,
        request: &LeaseRequest,
        offer: &Offer,
    ) -> Result<Created> {
        if self.releasing.is_cancelled() {
            let why = format!("lease `{}` is being released", request.lease_id);
            return Err(Error::new(ErrorKind::Provider, why));
        }
        if self.creating.is_none() {
            let body = self.body(config, api, request, offer).await?;
            self.dir.set_creating(true)?;
            self.asked = true;
            crate::failpoint::reach("server-announced");
            let creation = Creation {
                lease: request.lease_id.clone(),
                owner: request.owner.clone(),
                server_type: offer.server_type.name.clone(),
                locations: offer.locations.clone(),
                body,
                pace: config.pace,
                releasing: self.releasing.clone(),
            };
            let (api, request, sources) = (Arc::clone(api), request.clone(), config.sources.clone());
            self.creating = Some(tokio::spawn(async move { create(&api, creation, &request, &sources).await }));
        }
        creating::ended(&mut self.creating, &self.dir, "server").await
    }

    /// The request but for its location. All labels are in it, and no credential.
    async fn body(&self, config: &HcloudConfig, api: &Api, request: &LeaseRequest, offer: &Offer) -> Result<Value> {
        let image = stock::find_image(api, &config.image, &request.architecture).await?;
        let anchor = match &config.ssh_key {
            Some(name) => vec![stock::find_ssh_key(api, name).await?],
            None => Vec::new(),
        };
        let user_data = self.user_data(request).await?.render()?;
        Ok(json!({
            "name": request.lease_id.as_str(),
            "server_type": offer.server_type.name,
            "image": image,
            "ssh_keys": anchor,
            "labels": request.labels().to_map(),
            "user_data": user_data.expose_secret(),
            "public_net": { "enable_ipv4": true, "enable_ipv6": true },
            "start_after_create": true,
        }))
    }

    async fn user_data(&self, request: &LeaseRequest) -> Result<UserData> {
        if !self.dir.has_keys() {
            self.dir.make_keys().await?;
        }
        let private = String::from_utf8(self.dir.host_private().await?)
            .context(ErrorKind::Provider, || "the host key is no text".to_owned())?;
        let others = request.authorized_keys.iter().map(|key| key.as_str().to_owned());
        Ok(UserData {
            lease: request.lease_id.clone(),
            host_key: HostKey { private: private.into(), public: self.dir.host_public().await? },
            client_keys: std::iter::once(self.dir.client_public().await?).chain(others).collect(),
            hard_deadline: request.hard_deadline,
            expires_at: (!request.may_be_kept).then_some(expires_at(request, SystemClock.now())),
            build_memory_bytes: request.tier.build_memory_bytes(),
        })
    }

    /// Waits until the server runs and has an address. It passes through being off; one that stays off after its start has ended
    /// well was switched off, and will not run.
    async fn wait_for_address(&self, config: &HcloudConfig, api: &Api, id: u64, end: Instant) -> Result<String> {
        let (mut pauses, mut off_since) = (api.pauses(), None);
        loop {
            let seen = get(api, id).await.map_err(|failure| failure.into_error("say how the runner's server is"))?;
            let Some(server) = seen else {
                return Err(Error::new(ErrorKind::Provider, "the runner's server is gone before it started"));
            };
            match off_since {
                _ if server.status != "off" => off_since = None,
                // For a while: this look, or the next one, may be from before the start.
                Some(since) if Instant::now() - since >= config.pace.longest_pause * 2 => {
                    let why = "the runner's server switched itself off before it was seen to run";
                    return Err(Error::new(ErrorKind::Provider, why));
                }
                Some(_) => {}
                None => {
                    let was_started = was_started(api, id).await.unwrap_or_else(|failure| {
                        tracing::debug!(%failure, "asking whether a server was started");
                        false
                    });
                    off_since = was_started.then(Instant::now);
                }
            }
            if server.status == "running"
                && let Some(host) = address(&server)
            {
                return Ok(host);
            }
            if Instant::now() >= end {
                return Err(Error::new(
                    ErrorKind::Provider,
                    format!(
                        "the runner's server did not start within {} s: it is `{}`",
                        config.pace.boot_limit.as_secs(),
                        crate::sanitise::line(&server.status)
                    ),
                ));
            }
            api.pause(pauses.next()).await;
        }
    }

    /// Removes what this machine has of the lease, once its server is gone.
    ///
    /// # Errors
    /// `ReleaseUnconfirmed` naming what is left.
    pub(super) async fn forget(&mut self, config: &HcloudConfig) -> Result<()> {
        self.endpoint = None;
        if self.lock.is_some() {
            // Before the lock goes: what could not be removed must not be called removed by the next attempt.
            self.dir.remove().await?;
        }
        if let Some(lock) = self.lock.take() {
            lock.remove();
        }
        lease_dir::remove_parent(&config.runtime_dir, DIR);
        Ok(())
    }
}

/// Returns when the server does not run any more: then nobody will ever answer, however long it is asked.
async fn ended(config: &HcloudConfig, api: &Api, id: u64) -> Error {
    loop {
        tokio::time::sleep(config.pace.longest_pause * 2).await;
        match get(api, id).await {
            Ok(Some(server)) if server.status == "off" => {
                let why = "the runner's server switched itself off before it answered on SSH";
                return Error::new(ErrorKind::Provider, why);
            }
            Ok(None) => {
                return Error::new(ErrorKind::Provider, "the runner's server is gone before it answered on SSH");
            }
            Ok(Some(_)) => {}
            // It says nothing about the server.
            Err(failure) => tracing::debug!(%failure, "looking at a server that starts"),
        }
    }
}

/// The firewall first, where one is wanted: the server is never there without it.
async fn create(
    api: &Api,
    mut creation: Creation,
    request: &LeaseRequest,
    sources: &[String],
) -> Result<Created, NotCreated> {
    if !sources.is_empty() {
        let made = firewall::make(api, request, sources).await;
        let id = made.map_err(|failure| NotCreated::Unknown(failure.into_error("make the runner's firewall")))?;
        if let Some(body) = creation.body.as_object_mut() {
            body.insert("firewalls".to_owned(), json!([{ "firewall": id }]));
        }
        crate::failpoint::reach("firewall-made");
    }
    if creation.releasing.is_cancelled() {
        let why = format!("lease `{}` is being released", creation.lease);
        return Err(NotCreated::Unknown(Error::new(ErrorKind::Provider, why)));
    }
    creation.create(api).await
}

/// The address that is reached from here: the host's own IPv4 address, else the first of its IPv6 network.
fn address(server: &Server) -> Option<String> {
    let net = &server.public_net;
    if let Some(ipv4) = net.ipv4.as_ref().and_then(|address| address.ip.parse::<std::net::Ipv4Addr>().ok()) {
        return Some(ipv4.to_string());
    }
    let network = net.ipv6.as_ref()?.ip.split('/').next()?.parse::<std::net::Ipv6Addr>().ok()?;
    Some(std::net::Ipv6Addr::from_bits(network.to_bits() | 1).to_string())
}

/// Since when it is billed: by Hetzner's clock, where it says so.
fn since(server: &Server, request: &LeaseRequest) -> Timestamp {
    server.created.as_deref().and_then(|text| text.parse().ok()).unwrap_or(request.created_at)
}

/// The soft deadline at the start: a lease that waited long for its turn must not be over before it stands.
fn expires_at(request: &LeaseRequest, now: Timestamp) -> Timestamp {
    let ahead = request.expires_at.duration_since(request.created_at);
    let from_now = now.checked_add(ahead).unwrap_or(request.expires_at);
    from_now.max(request.expires_at).min(request.hard_deadline)
}

/// A program of this machine, by its path where it is found.
fn program(config: &HcloudConfig, name: &str) -> std::path::PathBuf {
    let found = config.program_dirs.iter().map(|dir| dir.join(name)).find(|path| env_vars::is_executable(path));
    found.unwrap_or_else(|| name.into())
}

/// What an hour of a listed server costs.
pub(super) fn price_of(server: &Server, pricing: &Pricing) -> Option<HourlyPrice> {
    stock::price(server.server_type.as_ref()?, pricing, &server.location.as_ref()?.name)
}

/// When a listed server was made.
pub(super) fn created(server: &Server) -> Option<Timestamp> {
    server.created.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(net: Value) -> Server {
        serde_json::from_value(json!({ "id": 1, "name": "x", "public_net": net })).unwrap()
    }

    #[test]
    fn the_address_is_the_hosts_own() {
        let both = json!({ "ipv4": { "ip": "192.0.2.7" }, "ipv6": { "ip": "2001:db8:1:2::/64" } });
        assert_eq!(address(&server(both)).as_deref(), Some("192.0.2.7"));
        let six = json!({ "ipv4": null, "ipv6": { "ip": "2001:db8:1:2::/64" } });
        assert_eq!(address(&server(six)).as_deref(), Some("2001:db8:1:2::1"));
        assert_eq!(address(&server(json!({ "ipv4": { "ip": "-oProxyCommand=id" } }))), None);
        assert_eq!(address(&server(Value::Null)), None);
    }
}
