//! [`SshKey`]: a public key that servers can be created with.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cloud;
use super::answer::{Answer, ApiError, answer, invalid, no_content, not_found, not_unique};
use super::asked::Asked;
use super::labels::{Labels, check};

/// The kinds of keys that are taken.
const KINDS: [&str; 5] =
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// A public key that servers can be created with.
#[derive(Debug, Clone)]
pub(super) struct SshKey {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) public_key: String,
    fingerprint: String,
    labels: Labels,
    created: Timestamp,
}

impl SshKey {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "public_key": self.public_key,
            "labels": self.labels,
            "created": self.created,
        })
    }
}

/// The MD5 fingerprint of a public key, as the API tells it, or why it is none.
fn fingerprint(public_key: &str) -> Result<String, String> {
    let mut words = public_key.split_whitespace();
    let (kind, data) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let bytes = STANDARD.decode(data).map_err(|_| "is no public key".to_owned())?;
    // The key says its kind itself, after the length of that.
    let inner = bytes.get(4..4 + kind.len());
    if !KINDS.contains(&kind) || inner != Some(kind.as_bytes()) || public_key.trim_end().contains('\n') {
        return Err("is no public key".to_owned());
    }
    Ok(Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/ssh_keys", get(list).post(create))
        .route("/ssh_keys/{id}", get(one).put(update).delete(delete))
}

async fn list(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    asked.only(&["name", "fingerprint", "label_selector"])?;
    let (name, fingerprint, selector) = (asked.value("name"), asked.value("fingerprint"), asked.selector()?);
    let state = cloud.state();
    let shown = state.ssh_keys.values().filter(|key| {
        name.is_none_or(|name| key.name == name)
            && fingerprint.is_none_or(|fingerprint| key.fingerprint == fingerprint)
            && selector.selects(&key.labels)
    });
    asked.page("ssh_keys", shown.map(SshKey::json).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    public_key: String,
    #[serde(default)]
    labels: Option<Labels>,
}

async fn create(State(cloud): State<Arc<Cloud>>, asked: Asked) -> Answer {
    let wanted: Create = asked.body()?;
    if wanted.name.is_empty() {
        return Err(invalid("name", "must not be empty"));
    }
    let labels = wanted.labels.unwrap_or_default();
    check(&labels).map_err(|why| invalid("labels", why))?;
    let fingerprint = fingerprint(&wanted.public_key).map_err(|why| invalid("public_key", why))?;
    let mut state = cloud.state();
    if state.ssh_keys.values().any(|key| key.name == wanted.name) {
        return Err(not_unique("name", "SSH key name is already used"));
    }
    if state.ssh_keys.values().any(|key| key.fingerprint == fingerprint) {
        return Err(not_unique("public_key", "SSH key with the same fingerprint already exists"));
    }
    let id = state.new_id();
    let created = cloud.core.clock.now();
    let key = SshKey { id, name: wanted.name, public_key: wanted.public_key, fingerprint, labels, created };
    let shown = key.json();
    state.ssh_keys.insert(id, key);
    answer(201, &json!({ "ssh_key": shown }))
}

fn known(cloud: &Cloud, id: &str) -> Result<u64, ApiError> {
    let number = id.parse().ok().filter(|id| cloud.state().ssh_keys.contains_key(id));
    number.ok_or_else(|| not_found("ssh_key", id))
}

async fn one(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let id = known(&cloud, &id)?;
    let shown = cloud.state().ssh_keys.get(&id).map(SshKey::json);
    answer(200, &json!({ "ssh_key": shown }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    name: Option<String>,
    labels: Option<Labels>,
}

async fn update(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>, asked: Asked) -> Answer {
    let id = known(&cloud, &id)?;
    let wanted: Update = asked.body()?;
    if let Some(labels) = &wanted.labels {
        check(labels).map_err(|why| invalid("labels", why))?;
    }
    let mut state = cloud.state();
    if state.ssh_keys.values().any(|key| key.id != id && Some(&key.name) == wanted.name.as_ref()) {
        return Err(not_unique("name", "SSH key name is already used"));
    }
    let Some(key) = state.ssh_keys.get_mut(&id) else { return Err(not_found("ssh_key", &id.to_string())) };
    key.name = wanted.name.unwrap_or_else(|| key.name.clone());
    key.labels = wanted.labels.unwrap_or_else(|| key.labels.clone());
    answer(200, &json!({ "ssh_key": key.json() }))
}

async fn delete(State(cloud): State<Arc<Cloud>>, Path(id): Path<String>) -> Answer {
    let id = known(&cloud, &id)?;
    cloud.state().ssh_keys.remove(&id);
    no_content()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJO2pT7m2GqQ2Gv2o0w7j0m2Zl0GJ5Vq2oQ0o0Xw0aB a@b";

    #[test]
    fn a_key_has_a_fingerprint_and_anything_else_is_none() {
        assert_eq!(fingerprint(KEY).unwrap().len(), 47);
        for text in ["", "ssh-ed25519", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIFJO", "ssh-dss AAAAB3NzaC1kc3M=", "a b c"] {
            assert!(fingerprint(text).is_err(), "{text}");
        }
    }
}
