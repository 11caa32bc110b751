//! [`Account`]: the account as it is, asked past the provider: a witness of its own.

use std::time::Duration;

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::settings::Settings;
use crate::support::{LabelMap, block_on, install_tls};

/// How often a request is sent that got no answer, or the answer that there are too many.
const ATTEMPTS: u32 = 8;

/// The account as it is. Its messages hold what was asked, the status and the code, never a text of the API's: those quote tokens.
pub(super) struct Account {
    endpoint: String,
    token: String,
    pub(super) pause: Duration,
    http: reqwest::Client,
    runtime: Option<Runtime>,
}

/// A server, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) labels: LabelMap,
}

impl Drop for Account {
    fn drop(&mut self) {
        // A test's own runtime may be about to end.
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Account {
    pub(super) fn open(settings: &Settings) -> Self {
        install_tls();
        let builder = reqwest::Client::builder().timeout(Duration::from_secs(30));
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let is_here = settings.config.endpoint.starts_with("http://");
        let http = if is_here { builder.no_proxy() } else { builder }.build().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self {
            endpoint: settings.config.endpoint.clone(),
            token: settings.config.token.expose_secret().to_owned(),
            pause: settings.pause,
            http,
            runtime: Some(runtime),
        }
    }

    /// Sends a request, and again while there are too many or nobody answers; the status, and the answer.
    pub(super) fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        block_on(self.runtime.as_ref().unwrap(), async || {
            let mut last = (0, Value::Null);
            for attempt in 0..ATTEMPTS {
                let url = format!("{}{path}", self.endpoint);
                let mut request = self.http.request(method.clone(), url).bearer_auth(&self.token);
                if let Some(body) = body {
                    request = request.json(body);
                }
                if let Ok(answer) = request.send().await {
                    let status = answer.status().as_u16();
                    last = (status, answer.json().await.unwrap_or_default());
                    if status != 429 && status < 500 {
                        break;
                    }
                }
                // What makes something is sent once, unless the answer was that it was not done.
                if *method == Method::POST && last.0 != 429 {
                    break;
                }
                tokio::time::sleep(self.pause * (attempt + 1)).await;
            }
            last
        })
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send(&Method::GET, path, None);
        assert_eq!(status, 200, "GET {path}: {}", code(&answer));
        answer
    }

    /// Everything of a kind that a selector names, from all pages.
    #[track_caller]
    pub(super) fn list(&self, kind: &str, query: &str) -> Vec<Value> {
        let (mut all, mut page) = (Vec::new(), Some(1));
        while let Some(number) = page {
            let answer = self.get(&format!("/{kind}?per_page=50&page={number}&{query}"));
            all.extend(answer[kind].as_array().unwrap().iter().cloned());
            page = answer["meta"]["pagination"]["next_page"].as_u64();
        }
        all
    }

    /// The servers that a selector names.
    #[track_caller]
    pub(super) fn servers(&self, query: &str) -> Vec<Seen> {
        self.list("servers", query).iter().map(seen).collect()
    }

    /// The server of this name.
    #[track_caller]
    pub(super) fn server(&self, name: &str) -> Option<Seen> {
        self.servers(&format!("name={name}")).into_iter().find(|server| server.name == name)
    }

    /// What there is of this kind with this id; `None` when it is gone.
    pub(super) fn find(&self, kind: &str, id: u64) -> Option<Value> {
        let (status, answer) = self.send(&Method::GET, &format!("/{kind}/{id}"), None);
        match status {
            404 => None,
            200 => Some(answer[kind.strip_suffix('s').unwrap()].clone()),
            _ => panic!("GET /{kind}/{id}: {status} {}", code(&answer)),
        }
    }

    /// Makes a server that is not switched on, in the first place that has one.
    pub(super) fn make_server(&self, name: &str, settings: &Settings, labels: &LabelMap) -> Seen {
        let places = match &settings.config.location {
            Some(place) => vec![place.clone()],
            None => self.places(&settings.server_type),
        };
        let mut said = Vec::new();
        for place in &places {
            let keys: Vec<&String> = settings.config.ssh_key.iter().collect();
            let body = json!({ "name": name, "server_type": settings.server_type, "image": "debian-12", "location": place,
                "labels": labels, "ssh_keys": keys, "start_after_create": false });
            let (status, answer) = self.send(&Method::POST, "/servers", Some(&body));
            if status == 201 {
                let id = answer["server"]["id"].as_u64().unwrap();
                return self.wait_until(id, |server| server.status == "off");
            }
            said.push(format!("{place}: {status} {}", code(&answer)));
        }
        panic!("no server `{name}` could be made: {}", said.join(", "))
    }

    /// Where a size is sold.
    fn places(&self, server_type: &str) -> Vec<String> {
        let prices = &self.size(server_type)["prices"];
        prices.as_array().unwrap().iter().map(|price| price["location"].as_str().unwrap().to_owned()).collect()
    }

    /// What the account says of a size.
    pub(super) fn size(&self, server_type: &str) -> Value {
        let found = self.list("server_types", &format!("name={server_type}")).pop();
        found.unwrap_or_else(|| panic!("there is no server type `{server_type}`"))
    }

    /// Takes a server's power away.
    pub(super) fn switch_off(&self, name: &str) {
        let id = self.server(name).unwrap().id;
        let (status, answer) = self.send(&Method::POST, &format!("/servers/{id}/actions/poweroff"), None);
        assert_eq!(status, 201, "{}", code(&answer));
        self.wait_until(id, |server| server.status == "off");
    }

    fn wait_until(&self, id: u64, is_so: impl Fn(&Seen) -> bool) -> Seen {
        for _ in 0..180 {
            let server = seen(&self.find("servers", id).unwrap_or_else(|| panic!("the server {id} is gone")));
            if is_so(&server) {
                return server;
            }
            std::thread::sleep(self.pause);
        }
        panic!("the server {id} does not come to where it should be")
    }
}

fn seen(server: &Value) -> Seen {
    Seen {
        id: server["id"].as_u64().unwrap(),
        name: server["name"].as_str().unwrap().to_owned(),
        status: server["status"].as_str().unwrap().to_owned(),
        labels: labels(server),
    }
}

/// The labels of anything.
pub(super) fn labels(of: &Value) -> LabelMap {
    serde_json::from_value(of["labels"].clone()).unwrap_or_default()
}

/// The code of a refusal.
pub(super) fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("without a code")
}
