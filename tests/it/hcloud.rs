//! `'hcloud` where the cloud fails: never two servers for one lease, never one that nobody knows of, never the token in what
//! is said. What every provider must do is in `conformance`.

use std::sync::Mutex;

use lian_build::error::{Error, ErrorKind, Result};
use lian_build::lease::{Endpoint, LeaseRequest, Made};
use lian_build::provider::hcloud::{HcloudConfig, HcloudProvider};
use lian_build::provider::{AcquireWatch, ComputeProvider, Liveness, Released};
use lian_simulators::faults::Fault;
use tokio_util::sync::CancellationToken;

use crate::support::{HcloudWorld, wait_until_async};

const SERVERS: &str = "/v1/servers";
const SERVER: &str = "/v1/servers/*";

async fn acquire(provider: &HcloudProvider, request: &LeaseRequest) -> Result<Endpoint> {
    provider.acquire(request, &|_: &str| (), &CancellationToken::new()).await
}

/// Leases a server while `fault` strikes its creation, and gives it back.
async fn lease_through(world: &HcloudWorld, fault: Fault) {
    world.sim().faults().script(fault.on("POST", SERVERS));
    let (provider, request) = (world.provider(), world.request());
    acquire(&provider, &request).await.unwrap();
    assert_eq!(world.names(), [request.lease_id.as_str()]);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    world.assert_empty();
    // Money, not only calls: one server was paid for, and one hour of it.
    let bill = world.sim().bill();
    assert_eq!((bill.servers().count(), bill.hours(), bill.running().count()), (1, 1, 0), "{bill:?}");
}

#[tokio::test]
async fn a_reply_that_is_lost_never_makes_two() {
    for fault in [
        Fault::reply_lost(),
        Fault::dropped(),
        Fault::dropped_after(),
        Fault::reply_lost().times(2),
        Fault::dropped().times(2),
        Fault::rate_limited().times(3),
        Fault::refusal(409, "conflict", "try again"),
        Fault::refusal(502, "bad_gateway", "try again"),
    ] {
        lease_through(&HcloudWorld::new(), fault).await;
    }
}

#[tokio::test]
async fn a_server_of_somebody_elses_under_the_name_is_neither_used_nor_touched() {
    let world = HcloudWorld::new();
    world.sim().faults().script(Fault::collision().on("POST", SERVERS));
    let (provider, request) = (world.provider(), world.request());
    let error = acquire(&provider, &request).await.unwrap_err();
    assert!(error.message().contains("not a runner of this lease"), "{error}");
    let error = provider.release(&request.lease_id).await.unwrap_err();
    assert!(error.message().contains(request.lease_id.as_str()), "{error}");
    assert_eq!(world.names(), [request.lease_id.as_str()]);
    assert!(world.sim().audit().entries().iter().all(|entry| entry.method != "DELETE"));
    assert_eq!(world.sim().bill().servers().count(), 0);
    world.delete(request.lease_id.as_str());
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
}

/// Remembers what is told of a server.
#[derive(Default)]
struct Told(Mutex<Vec<Made>>);

#[async_trait::async_trait]
impl AcquireWatch for Told {
    fn waiting(&self, _what: &str) {}

    async fn created(&self, made: &Made) {
        self.0.lock().unwrap().push(made.clone());
    }
}

#[tokio::test]
async fn where_there_is_none_the_next_location_is_asked_and_its_price_is_told() {
    let world = HcloudWorld::new();
    world.sim().show_sold_out("cax11", "nbg1", true);
    for location in ["fsn1", "hel1"] {
        world.sim().faults().script(Fault::out_of_stock().of_type("cax11").at(location));
    }
    let (provider, request, told) = (world.provider(), world.request(), Told::default());
    provider.acquire(&request, &told, &CancellationToken::new()).await.unwrap();
    // Shown as sold out, so it was asked last, and had one all the same.
    assert_eq!(world.sim().servers()[0].location, "nbg1");
    let made = told.0.into_inner().unwrap().pop().unwrap();
    let price = made.price.unwrap();
    let said = provider.price(&request).await.unwrap().unwrap();
    assert_eq!(price, said, "the simulator's prices are the same everywhere");
    provider.release(&request.lease_id).await.unwrap();
    let bill = world.sim().bill();
    // The bill is net; the price has the tax in it.
    let net: rust_decimal::Decimal = bill.total.to_string().parse().unwrap();
    assert_eq!(price.amount.normalize(), (net * rust_decimal::Decimal::new(119, 2)).normalize(), "{bill:?}");
    world.assert_empty();
}

#[tokio::test]
async fn where_there_is_none_anywhere_every_answer_is_named() {
    let world = HcloudWorld::new();
    world.sim().faults().script(Fault::out_of_stock());
    let (provider, request) = (world.provider(), world.request());
    let error = acquire(&provider, &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCapacity);
    for place in ["`cax11@fsn1`: resource_unavailable", "`cax11@nbg1`: resource_", "`cax11@hel1`: resource_"] {
        assert!(error.message().contains(place), "{place} in {error}");
    }
    assert_eq!(world.sim().audit().of("POST", SERVERS).len(), 3, "each was asked once");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::AlreadyGone);
    // The limit of the project is no location's.
    world.sim().faults().heal();
    world.sim().faults().script(Fault::refusal(403, "resource_limit_exceeded", "no").on("POST", SERVERS));
    let request = world.request();
    let error = acquire(&provider, &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCapacity);
    assert!(error.hints().join("").contains("runners gc"), "{error:?}");
    provider.release(&request.lease_id).await.unwrap();
    world.assert_empty();
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_paid() {
    let world = HcloudWorld::new();
    let provider = world.provider();
    let check = async |config: HcloudConfig, request: LeaseRequest| -> Error {
        HcloudProvider::new(config).check(&request).await.unwrap_err()
    };
    provider.check(&world.request()).await.unwrap();
    let other = LeaseRequest { architecture: "amd64".to_owned(), ..world.request() };
    let error = check(world.config(&[]), other).await;
    assert!(error.message().contains("`cax11` is `arm64`, and `amd64` is built for"), "{error}");
    let mut unknown = world.request();
    unknown.tier.name = "cax99".to_owned();
    assert!(check(world.config(&[]), unknown).await.message().contains("no server type `cax99`"));
    let error = check(world.config(&[("LIAN_HCLOUD_LOCATION", "ash")]), world.request()).await;
    assert!(error.message().contains("not sold in the location `ash`"), "{error}");
    let error = check(world.config(&[("LIAN_HCLOUD_IMAGE", "no-such")]), world.request()).await;
    assert!(error.message().contains("no image `no-such`"), "{error}");
    let error = check(world.config(&[("LIAN_HCLOUD_SSH_KEY", "no-such")]), world.request()).await;
    assert!(error.message().contains("SSH key `no-such`"), "{error}");
    let error = check(world.config(&[("HCLOUD_TOKEN", "not-the-token")]), world.request()).await;
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(world.sim().audit().of("POST", SERVERS).is_empty());
}

#[tokio::test]
async fn the_token_is_never_repeated_whatever_is_answered() {
    let world = HcloudWorld::new();
    world.sim().faults().script(Fault::rate_limited().always());
    let (provider, request) = (world.provider(), world.request());
    let mut said = format!("{provider:?}");
    for error in [
        provider.check(&request).await.unwrap_err(),
        acquire(&provider, &request).await.unwrap_err(),
        provider.list().await.unwrap_err(),
        provider.liveness(&request.lease_id).await.unwrap_err(),
        provider.renew(&request.lease_id, request.expires_at).await.unwrap_err(),
        provider.price(&request).await.unwrap_err(),
    ] {
        assert!(error.message().contains("rate_limit_exceeded"), "{error}");
        said.push_str(&format!("{error:?}"));
    }
    let quoted = world
        .sim()
        .audit()
        .entries()
        .iter()
        .any(|entry| entry.answer.as_ref().is_some_and(|answer| answer.body.contains(&world.sim().token()[..8])));
    assert!(quoted, "the simulator quotes it, as Hetzner does");
    assert!(!said.contains(&world.sim().token()[..8]), "{said}");
    world.sim().faults().heal();
    provider.release(&request.lease_id).await.unwrap();
}

#[tokio::test]
async fn a_deletion_is_repeated_until_the_server_is_not_found() {
    for fault in [
        Fault::locked().times(3),
        Fault::refusal(409, "conflict", "x").times(2),
        Fault::refusal(503, "service_error", "x").times(3),
        Fault::reply_lost().times(2),
        Fault::dropped().times(2),
        Fault::action_fails("server_error", "it broke").times(2),
    ] {
        let world = HcloudWorld::new();
        let (provider, request) = (world.provider(), world.request());
        acquire(&provider, &request).await.unwrap();
        world.sim().faults().script(fault.clone().on("DELETE", SERVER));
        assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed, "{fault:?}");
        world.assert_empty();
    }
}

#[tokio::test]
async fn a_server_that_stays_is_said_to_stay() {
    let world = HcloudWorld::new();
    let mut config = world.config(&[]);
    config.pace.delete_limit = std::time::Duration::from_millis(300);
    let (provider, request) = (HcloudProvider::new(config), world.request());
    acquire(&provider, &request).await.unwrap();
    world.sim().faults().script(Fault::locked().on("DELETE", SERVER).always());
    let error = provider.release(&request.lease_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    assert!(error.message().contains("locked") && error.message().contains(request.lease_id.as_str()), "{error}");
    assert!(error.hints().join("").contains("hcloud server delete"), "{error:?}");
    world.sim().faults().heal();
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    world.assert_empty();
}

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let world = HcloudWorld::new();
    let (provider, requests) = (world.provider(), [world.request(), world.request(), world.request()]);
    for request in &requests {
        acquire(&provider, request).await.unwrap();
    }
    world.sim().plant("somebody-elses", std::collections::BTreeMap::new());
    world.sim().faults().script(Fault::page_size(1));
    let mut listed: Vec<String> = provider.list().await.unwrap().into_iter().map(|listed| listed.name).collect();
    listed.sort();
    let mut expected: Vec<String> = requests.iter().map(|request| request.lease_id.to_string()).collect();
    expected.sort();
    assert_eq!(listed, expected);
    let cost = provider.list().await.unwrap()[0].cost.clone().unwrap();
    assert_eq!((cost.billed_hours, cost.currency.as_str()), (1, "EUR"));
    for request in &requests {
        provider.release(&request.lease_id).await.unwrap();
    }
    assert_eq!(world.names(), ["somebody-elses"]);
}

#[tokio::test]
async fn a_host_key_that_does_not_match_is_never_logged_in_to() {
    let world = HcloudWorld::with_other_host_keys();
    let mut config = world.config(&[]);
    config.pace.boot_limit = std::time::Duration::from_secs(2);
    let (provider, request) = (HcloudProvider::new(config), world.request());
    let error = acquire(&provider, &request).await.unwrap_err();
    assert!(error.message().contains("nobody logged in"), "{error}");
    let log = world.backend.log();
    assert!(log.contains("Connection"), "somebody asked for the key: {log}");
    for word in ["Accepted", "Postponed", "userauth", "Failed", "root"] {
        assert!(!log.contains(word), "{word} in {log}");
    }
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    world.assert_empty();
}

#[tokio::test]
async fn a_server_that_switches_itself_off_at_its_start_is_not_waited_for() {
    // None of them ever answers with the right key, and there would be an hour for it.
    let world = HcloudWorld::with_other_host_keys();
    let mut config = world.config(&[]);
    config.pace.boot_limit = std::time::Duration::from_secs(3600);
    let (provider, request) = (HcloudProvider::new(config), world.request());
    let switch_off = async {
        wait_until_async("it is asked for its key", || world.backend.log().contains("Connection")).await;
        world.backend.end(&world.sim().servers()[0].id.to_string());
    };
    let (acquired, ()) = tokio::join!(acquire(&provider, &request), switch_off);
    let error = acquired.unwrap_err();
    assert!(error.message().contains("switched itself off"), "{error}");
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    world.assert_empty();
}

#[tokio::test]
async fn a_server_that_was_never_seen_to_run_is_not_waited_for() {
    // Also one whose request got no answer: nothing is known of it but what the API tells of its id.
    for fault in [None, Some(Fault::dropped_after().on("POST", SERVERS))] {
        let world = HcloudWorld::with_servers_that_end_at_once();
        let mut config = world.config(&[]);
        config.pace.boot_limit = std::time::Duration::from_secs(3600);
        let (provider, request) = (HcloudProvider::new(config), world.request());
        fault.into_iter().for_each(|fault| world.sim().faults().script(fault));
        let error = acquire(&provider, &request).await.unwrap_err();
        assert!(error.message().contains("before it was seen to run"), "{error}");
        assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
        world.assert_empty();
    }
}

#[tokio::test]
async fn no_credential_is_near_the_machine() {
    let world = HcloudWorld::new();
    let (provider, request) = (world.provider(), world.request());
    let endpoint = acquire(&provider, &request).await.unwrap();
    let user_data = world.sim().servers()[0].user_data.clone();
    assert!(!user_data.contains(&world.sim().token()[..8]));
    let private = std::fs::read_to_string(&endpoint.identity_file).unwrap();
    // The last full line: the first ones are the format's, and the public half.
    let secret = private.lines().rev().nth(2).unwrap();
    assert!(!user_data.contains(secret), "the caller's private key");
    assert!(user_data.len() < 24 << 10, "{}", user_data.len());
    // The host's own is not needed here any more.
    assert!(!endpoint.identity_file.with_file_name("host_key").exists());
    assert_eq!(world.sim().audit().mails().len(), 1, "without a key of the project a password is sent");
    provider.release(&request.lease_id).await.unwrap();
    world.assert_empty();
}

#[tokio::test]
async fn a_firewall_comes_and_goes_with_the_lease() {
    let world = HcloudWorld::new();
    let config = world.config(&[("LIAN_HCLOUD_SSH_FROM", "203.0.113.7")]);
    let (provider, request) = (HcloudProvider::new(config.clone()), world.request());
    let endpoint = acquire(&provider, &request).await.unwrap();
    assert!(endpoint.notes.is_empty(), "{:?}", endpoint.notes);
    let created = world.sim().audit().of("POST", "/v1/firewalls");
    assert!(created[0].body.contains("203.0.113.7/32") && created[0].body.contains(request.lease_id.as_str()));
    assert!(world.sim().leftovers().contains(&("firewalls", 1)));
    provider.release(&request.lease_id).await.unwrap();
    world.assert_empty();

    // Without a server: the process died in between, and its reply was lost as well.
    let request = world.request();
    world.sim().faults().script(Fault::reply_lost().on("POST", "/v1/firewalls"));
    world.sim().faults().script(Fault::out_of_stock());
    acquire(&provider, &request).await.unwrap_err();
    assert!(world.sim().leftovers().contains(&("firewalls", 1)));
    HcloudProvider::new(config).release(&request.lease_id).await.unwrap();
    assert!(world.sim().leftovers().contains(&("firewalls", 0)));
    provider.release(&request.lease_id).await.unwrap();
    world.assert_empty();
}

#[tokio::test]
async fn a_renewal_keeps_every_other_label() {
    let world = HcloudWorld::new();
    let (provider, request) = (world.provider(), world.request());
    acquire(&provider, &request).await.unwrap();
    let before = world.sim().servers()[0].labels.clone();
    let later = request.expires_at + jiff::SignedDuration::from_mins(5);
    provider.renew(&request.lease_id, later).await.unwrap();
    let mut expected = before;
    expected.insert("lian-expires".to_owned(), later.as_second().to_string());
    assert_eq!(world.sim().servers()[0].labels, expected);
    assert_eq!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
    provider.release(&request.lease_id).await.unwrap();
}

#[tokio::test]
async fn another_token_proves_nothing_about_a_lease() {
    let world = HcloudWorld::new();
    let (provider, request) = (world.provider(), world.request());
    acquire(&provider, &request).await.unwrap();
    let other = HcloudWorld::new();
    let elsewhere = HcloudConfig { runtime_dir: world.runtime_dir(), ..other.config(&[]) };
    let error = HcloudProvider::new(elsewhere).release(&request.lease_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleaseUnconfirmed);
    assert_eq!(provider.release(&request.lease_id).await.unwrap(), Released::Destroyed);
    world.assert_empty();
}

#[tokio::test]
async fn whoever_watches_does_not_use_up_the_limit_on_requests() {
    let world = HcloudWorld::new();
    let mut config = world.config(&[]);
    config.pace.alive_for = std::time::Duration::from_secs(3600);
    let (provider, request) = (HcloudProvider::new(config), world.request());
    acquire(&provider, &request).await.unwrap();
    let asked = || world.sim().audit().entries().len();
    assert_eq!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
    let before = asked();
    for _ in 0..20 {
        assert_eq!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Alive);
    }
    assert_eq!(asked(), before);
    provider.release(&request.lease_id).await.unwrap();
    assert!(matches!(provider.liveness(&request.lease_id).await.unwrap(), Liveness::Dead(_)));
}
