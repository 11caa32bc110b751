//! The API over real sockets, with a plain HTTP client.

use serde_json::{Value, json};

use super::*;
use crate::faults::Fault;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJO2pT7m2GqQ2Gv2o0w7j0m2Zl0GJ5Vq2oQ0o0Xw0aB a@b";

/// A caller with the simulator's token.
struct Caller {
    sim: Hcloud,
    token: String,
}

impl Caller {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sim = Hcloud::start(options).await.unwrap();
        let token = sim.token();
        Self { sim, token }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request =
            reqwest::Client::new().request(method, format!("{}{path}", self.sim.url())).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn create(&self, name: &str, more: Value) -> (u16, Value) {
        let mut body = json!({ "name": name, "server_type": "cax11", "image": "debian-12", "location": "fsn1" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call("POST", "/servers", Some(body)).await
    }

    /// Waits for the actions of an answer, as clients do; yields their last states.
    async fn settle(&self, answer: &Value) -> Vec<Value> {
        let mut ended = Vec::new();
        let next = answer["next_actions"].as_array().cloned().unwrap_or_default();
        for action in std::iter::once(&answer["action"]).chain(&next) {
            loop {
                let shown = self.get(&format!("/actions/{}", action["id"])).await["action"].clone();
                if shown["status"] != "running" {
                    ended.push(shown);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        ended
    }
}

#[tokio::test]
async fn a_server_lives_and_is_paid_for() {
    let caller = Caller::new().await;
    caller.call("POST", "/ssh_keys", Some(json!({ "name": "anchor", "public_key": KEY }))).await;
    let labels = json!({ "lian-managed": "1" });
    let wanted = json!({ "labels": labels, "user_data": "#cloud-config\n{}", "ssh_keys": ["anchor"] });
    let (status, created) = caller.create("lb-1", wanted).await;
    assert_eq!(status, 201, "{created}");
    assert_eq!(created["server"]["status"], "initializing");
    assert_eq!(created["root_password"], Value::Null);
    assert!(created["server"].get("datacenter").is_none());
    assert!(caller.settle(&created).await.iter().all(|action| action["status"] == "success"));
    let id = created["server"]["id"].as_u64().unwrap();
    let listed = caller.get("/servers?label_selector=lian-managed%3D%3D1").await;
    assert_eq!(listed["servers"][0]["status"], "running");
    assert_eq!(listed["servers"][0]["image"]["architecture"], "arm");
    assert_eq!(caller.sim.servers()[0].user_data, "#cloud-config\n{}");
    let replaced = caller.call("PUT", &format!("/servers/{id}"), Some(json!({ "labels": { "a": "b" } }))).await;
    assert_eq!(replaced.1["server"]["labels"], json!({ "a": "b" }));

    caller.sim.clock().advance(Duration::from_secs(3601));
    let (status, deleted) = caller.call("DELETE", &format!("/servers/{id}"), None).await;
    assert_eq!((status, &deleted["action"]["status"]), (200, &json!("running")));
    assert_eq!(caller.settle(&deleted).await[0]["status"], "success");
    assert_eq!(caller.call("GET", &format!("/servers/{id}"), None).await.1["error"]["code"], "not_found");
    caller.sim.clock().advance(Duration::from_secs(86_400));
    let bill = caller.sim.bill();
    assert_eq!((bill.hours(), bill.servers_total().to_string()), (2, "0.0192".to_owned()));
    assert_eq!(bill.total.to_string(), "0.0208", "the address costs as well");
    assert_eq!(bill.running().count(), 0);
    assert_eq!(caller.sim.leftovers(), [("ssh_keys", 1), ("images", 0), ("firewalls", 0), ("primary_ips", 0)]);
    assert!(caller.sim.audit().mails().is_empty());
}

#[tokio::test]
async fn what_the_api_refuses_is_refused() {
    let caller = Caller::new().await;
    for (field, more) in [
        ("datacenter", json!({ "datacenter": "fsn1-dc14" })),
        ("server_type", json!({ "server_type": "cax99" })),
        ("location", json!({ "location": "ash" })),
        ("location", json!({ "location": "moon" })),
        ("image", json!({ "image": "windows" })),
        ("image", json!({ "image": 114_690_387 })),
        ("labels", json!({ "labels": { "a": "b c" } })),
        ("user_data", json!({ "user_data": "x".repeat(32 * 1024 + 1) })),
        ("name", json!({ "name": "a_b" })),
        ("ssh_keys", json!({ "ssh_keys": ["nobody"] })),
        ("colour", json!({ "colour": "blue" })),
    ] {
        let (status, answer) = caller.create("lb-1", more).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("invalid_input")), "{field}: {answer}");
        assert_eq!(answer["error"]["details"]["fields"][0]["name"], field);
    }
    assert_eq!(caller.create("lb-1", json!({ "user_data": "x".repeat(32 * 1024) })).await.0, 201);
    let (status, answer) = caller.create("lb-1", json!({})).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("uniqueness_error")));
    assert_eq!(caller.sim.bill().servers().count(), 1);
    assert_eq!(caller.sim.audit().mails().len(), 1, "no key: the password is sent by e-mail");
    for (code, path) in [
        ("invalid_input", "/servers?per_page=51"),
        ("invalid_input", "/servers?label_selector=a%3Eb"),
        ("invalid_input", "/servers?colour=blue"),
        ("not_found", "/servers/1"),
        ("not_found", "/ssh_keys/1"),
        ("not_found", "/nothing"),
        ("deprecated_api_endpoint", "/datacenters"),
        ("deprecated_api_endpoint", "/actions"),
    ] {
        assert_eq!(caller.call("GET", path, None).await.1["error"]["code"], code, "{path}");
    }
}

#[tokio::test]
async fn tokens_have_scopes() {
    let mut caller = Caller::new().await;
    caller.token = caller.sim.token_readonly();
    assert_eq!(caller.get("/servers").await["servers"], json!([]));
    assert_eq!(caller.create("lb-1", json!({})).await.1["error"]["code"], "token_readonly");
    for token in ["", "short", &"x".repeat(64)] {
        caller.token = token.to_owned();
        let (status, answer) = caller.call("GET", "/servers", None).await;
        assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthorized")), "{token}");
    }
}

#[tokio::test]
async fn faults_leave_what_they_say() {
    let caller = Caller::new().await;
    let faults = caller.sim.faults();
    faults.script(Fault::out_of_stock().of_type("cax11").at("fsn1"));
    assert_eq!(caller.create("lb-1", json!({})).await.1["error"]["code"], "resource_unavailable");
    assert_eq!(caller.create("lb-1", json!({ "location": "nbg1" })).await.0, 201);
    faults.heal();
    faults.script(Fault::reply_lost().on("POST", "/v1/servers"));
    assert_eq!(caller.create("lb-2", json!({})).await.0, 504);
    assert_eq!(caller.get("/servers?name=lb-2").await["servers"].as_array().unwrap().len(), 1);
    faults.script(Fault::collision());
    assert_eq!(caller.create("lb-3", json!({})).await.1["error"]["code"], "uniqueness_error");
    assert_eq!(caller.get("/servers?name=lb-3").await["servers"][0]["labels"], json!({}));
    faults.script(Fault::action_fails("server_error", "no luck").on("POST", "/v1/servers"));
    let failed = caller.create("lb-4", json!({})).await.1;
    assert_eq!(caller.settle(&failed).await[0]["error"]["code"], "server_error");
    assert_eq!(caller.sim.bill().of("lb-4").count(), 1, "it is paid for until somebody deletes it");
    let id = failed["server"]["id"].as_u64().unwrap();
    faults.script(Fault::locked().on("DELETE", "/v1/servers/*").times(2));
    for status in [423, 423, 200] {
        assert_eq!(caller.call("DELETE", &format!("/servers/{id}"), None).await.0, status);
    }
    faults.script(Fault::page_size(1));
    let mut names = Vec::new();
    for page in 1..=3 {
        let shown = caller.get(&format!("/servers?page={page}&sort=name:desc")).await;
        assert_eq!(shown["meta"]["pagination"]["last_page"], 3);
        names.extend(shown["servers"].as_array().unwrap().iter().map(|server| server["name"].clone()));
    }
    assert_eq!(names, ["lb-3", "lb-2", "lb-1"]);
}

#[tokio::test]
async fn time_is_the_clocks() {
    let clock = Clock::standing("2026-11-29T12:00:00Z".parse().unwrap());
    let caller = Caller::with(Options {
        clock: clock.clone(),
        create_time: Duration::from_secs(10),
        start_time: Duration::from_secs(5),
        ..Options::default()
    })
    .await;
    let created = caller.create("lb-1", json!({})).await.1;
    let action = |of: &Value| format!("/actions/{}", of["id"]);
    clock.advance(Duration::from_secs(9));
    assert_eq!(caller.get(&action(&created["action"])).await["action"]["status"], "running");
    clock.advance(Duration::from_secs(6));
    assert_eq!(caller.settle(&created).await.len(), 2);
    caller.sim.power_off("lb-1").await.unwrap();
    assert_eq!(caller.get("/servers?name=lb-1").await["servers"][0]["status"], "off");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(caller.sim.bill().hours(), 2, "power is irrelevant");
}

#[tokio::test]
async fn the_limit_is_told_and_refills() {
    let clock = Clock::standing(jiff::Timestamp::UNIX_EPOCH);
    let caller = Caller::with(Options { clock: clock.clone(), request_limit: 3600, ..Options::default() }).await;
    for _ in 0..3 {
        caller.get("/locations").await;
    }
    let response = reqwest::Client::new().get(format!("{}/locations", caller.sim.url())).bearer_auth(&caller.token);
    let headers = response.send().await.unwrap().headers().clone();
    let number = |name: &str| headers[name].to_str().unwrap().parse::<i64>().unwrap();
    assert_eq!((number("RateLimit-Limit"), number("RateLimit-Remaining"), number("RateLimit-Reset")), (3600, 3596, 4));
    let small = Caller::with(Options { clock: clock.clone(), request_limit: 2, ..Options::default() }).await;
    for status in [200, 200, 429] {
        assert_eq!(small.call("GET", "/locations", None).await.0, status);
    }
    clock.advance(Duration::from_secs(1800));
    assert_eq!(small.call("GET", "/locations", None).await.0, 200);
}

#[tokio::test]
async fn keys_firewalls_images_and_addresses_have_their_rules() {
    let caller = Caller::new().await;
    let key = |name: &str| json!({ "name": name, "public_key": KEY });
    let first = caller.call("POST", "/ssh_keys", Some(key("a"))).await;
    assert_eq!(first.0, 201);
    assert_eq!(caller.call("POST", "/ssh_keys", Some(key("a"))).await.1["error"]["code"], "uniqueness_error");
    assert_eq!(caller.call("POST", "/ssh_keys", Some(key("b"))).await.1["error"]["code"], "uniqueness_error");
    assert_eq!(caller.call("DELETE", &format!("/ssh_keys/{}", first.1["ssh_key"]["id"]), None).await.0, 204);

    let rule = json!({ "direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["203.0.113.7/32"] });
    let firewall = caller.call("POST", "/firewalls", Some(json!({ "name": "f", "rules": [rule] }))).await.1;
    let id = firewall["firewall"]["id"].clone();
    let created = caller.create("lb-1", json!({ "firewalls": [{ "firewall": id }] })).await.1;
    assert_eq!(created["server"]["public_net"]["firewalls"][0]["id"], id);
    assert_eq!(caller.call("DELETE", &format!("/firewalls/{id}"), None).await.1["error"]["code"], "resource_in_use");
    caller.settle(&created).await;

    let server = &created["server"]["id"];
    let image = json!({ "type": "snapshot", "labels": { "a": "b" }, "description": "x" });
    caller.sim.faults().script(Fault::slow(3600).on("POST", "/v1/servers/*/actions/create_image"));
    let made = caller.call("POST", &format!("/servers/{server}/actions/create_image"), Some(image)).await.1;
    assert_eq!(caller.call("DELETE", &format!("/servers/{server}"), None).await.1["error"]["code"], "locked");
    caller.sim.clock().advance(Duration::from_secs(3600));
    caller.settle(&made).await;
    let images = caller.get("/images?type=snapshot&architecture=arm&label_selector=a&status=available").await;
    assert_eq!(images["images"][0]["id"], made["image"]["id"]);
    assert_eq!(caller.get("/images?name=debian-12").await["images"].as_array().unwrap().len(), 2);
    let from =
        json!({ "image": made["image"]["id"], "start_after_create": false, "public_net": { "enable_ipv4": false } });
    let second = caller.create("lb-2", from).await.1;
    assert_eq!(second["server"]["public_net"]["ipv4"], Value::Null);
    assert_eq!(second["next_actions"], json!([]));

    let protection = json!({ "delete": true, "rebuild": true });
    caller.call("POST", &format!("/servers/{server}/actions/change_protection"), Some(protection)).await;
    assert_eq!(caller.call("DELETE", &format!("/servers/{server}"), None).await.1["error"]["code"], "protected");

    let address = json!({ "name": "kept", "type": "ipv4", "assignee_type": "server", "location": "fsn1" });
    let kept = caller.call("POST", "/primary_ips", Some(address)).await.1;
    assert_eq!(caller.get("/primary_ips?name=kept").await["primary_ips"][0]["assignee_id"], Value::Null);
    assert_eq!(caller.call("DELETE", &format!("/primary_ips/{}", kept["primary_ip"]["id"]), None).await.0, 204);
}
