//! What the token has to be allowed, and where: asked before anything is made, as far as the API says it.

use serde_json::Value;

use super::ProxmoxConfig;
use super::client::Client;
use super::template::Template;
use crate::error::{Error, ErrorKind, Result};

/// On the machines that are made. One of each alternative is enough: releases before 9 have one privilege for all that goes
/// through the guest agent.
const ON_MACHINES: &[&[&str]] = &[
    &["VM.Allocate"],
    &["VM.Audit"],
    &["VM.Config.CPU"],
    &["VM.Config.Memory"],
    &["VM.Config.Disk"],
    &["VM.Config.Options"],
    &["VM.Config.Cloudinit", "VM.Config.Network"],
    &["VM.PowerMgmt"],
    &["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Monitor"],
    &["VM.GuestAgent.FileRead", "VM.GuestAgent.Unrestricted", "VM.Monitor"],
];

const ON_TEMPLATE: &[&[&str]] = &[&["VM.Clone"], &["VM.Audit"]];

const ON_STORAGE: &[&[&str]] = &[&["Datastore.AllocateSpace"]];

/// Names every privilege that is missing, at once.
///
/// # Errors
/// [`ErrorKind::Credentials`] when one is. Where the API does not say what the token may, nothing is.
pub(super) async fn check(client: &Client, config: &ProxmoxConfig, template: &Template) -> Result<()> {
    let machines = config.pool.as_ref().map_or_else(|| "/vms".to_owned(), |pool| format!("/pool/{pool}"));
    let mut places = vec![(machines, ON_MACHINES), (format!("/vms/{}", template.place.vmid), ON_TEMPLATE)];
    if let Some(storage) = config.storage.clone().or_else(|| template.storage()) {
        places.push((format!("/storage/{storage}"), ON_STORAGE));
    }
    let mut missing = Vec::new();
    for (path, wanted) in places {
        if let Ok(answer) = client.get(&["access", "permissions"], &[("path", &path)]).await
            && let Some(has) = answer.get(&path).filter(|has| has.is_object())
        {
            missing.extend(absent(has, wanted).into_iter().map(|privilege| format!("{privilege} on {path}")));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Credentials,
        format!(
            "the token of Proxmox VE has not all privileges that a runner needs: {} is missing",
            missing.join(", ")
        ),
    )
    .hint("docs/proxmox.md has the commands that make a role and give it to the token"))
}

/// What is wanted and not there, with its alternatives.
fn absent(has: &Value, wanted: &[&[&str]]) -> Vec<String> {
    // The value says whether it also holds below: 0 is a privilege, too.
    let is_there = |privilege: &&str| has.get(*privilege).is_some();
    let missing = wanted.iter().filter(|alternatives| !alternatives.iter().any(is_there));
    missing.map(|alternatives| alternatives.join(" or ")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn everything_that_is_missing_is_named() {
        let all: Map<String, Value> =
            ON_MACHINES.iter().map(|alternatives| (alternatives[0].to_owned(), json!(1))).collect();
        assert!(absent(&Value::Object(all.clone()), ON_MACHINES).is_empty());
        let mut old = all.clone();
        old.retain(|privilege, _| !privilege.starts_with("VM.GuestAgent"));
        assert_eq!(absent(&Value::Object(old.clone()), ON_MACHINES).len(), 2);
        old.insert("VM.Monitor".to_owned(), json!(0));
        assert!(absent(&Value::Object(old), ON_MACHINES).is_empty());
        assert_eq!(absent(&json!({ "VM.Audit": 1 }), ON_TEMPLATE), ["VM.Clone"]);
    }
}
