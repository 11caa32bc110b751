//! Keeping a server's disk as a snapshot that later servers start from.

use serde_json::{Value, json};

use super::api::Api;
use super::failure::Failure;
use super::server::{find, is_of, not_ours};
use super::wire::{Action, CreatedImage, Image, MaybeAction};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaseId;
use crate::runner_image::Release;

/// The label that says which lease's server a snapshot was made from: how one is found whose request got no answer.
const FROM: &str = "lian-image-from";

/// The most of a hash that a label holds.
const HASH: usize = 32;

/// Switches the lease's server off and keeps its disk under `description`; yields the snapshot's id.
///
/// # Errors
/// `Provider` when it is not ours, or cannot be kept. Then no snapshot is left.
pub(super) async fn make(api: &Api, lease: &LeaseId, description: &str, release: &Release) -> Result<u64> {
    let doing = |failure: Failure| failure.into_error("keep the server's disk as a snapshot");
    let server = find(api, lease).await.map_err(doing)?;
    let server = server.ok_or_else(|| Error::new(ErrorKind::Provider, format!("the server `{lease}` is gone")))?;
    is_of(&server, lease).map_err(|why| not_ours(lease, &why))?;
    let path = |action: &str| format!("/servers/{}/actions/{action}", server.id);
    let off: MaybeAction = api.post(&path("poweroff"), &json!({})).await.map_err(doing)?;
    api.wait(off.action).await.map_err(doing)?;
    let labels = json!({
        "lian-image": "runner",
        "lian-image-recipe": release.recipe.get(..HASH).unwrap_or(&release.recipe),
        "lian-image-buildkit": release.buildkit,
        FROM: lease.as_str(),
    });
    let body = json!({ "type": "snapshot", "description": description, "labels": labels });
    let (image, action): (Image, Option<Action>) = match api.post::<CreatedImage>(&path("create_image"), &body).await {
        Ok(created) => (created.image, created.action),
        Err(failure) if failure.is_unknown() => {
            (made(api, lease).await.map_err(doing)?.ok_or_else(|| doing(failure))?, None)
        }
        Err(failure) => return Err(doing(failure)),
    };
    let ended = match action {
        Some(action) => api.wait([action]).await,
        None => available(api, image.id).await,
    };
    if let Err(failure) = ended {
        // Half of one would be paid for, and of no use.
        let left = api.delete::<Value>(&format!("/images/{}", image.id)).await;
        let error = doing(failure);
        return Err(match left {
            Err(left) if !left.is_not_found() => {
                error.hint(format!("the snapshot {} may be left: `hcloud image delete {}`", image.id, image.id))
            }
            _ => error,
        });
    }
    Ok(image.id)
}

/// The snapshot of this lease's server.
async fn made(api: &Api, lease: &LeaseId) -> Result<Option<Image>, Failure> {
    let selector = format!("{FROM}=={lease}");
    let query = [("type", "snapshot"), ("label_selector", selector.as_str())];
    Ok(api.list::<Image>("/images", "images", &query).await?.pop())
}

/// Waits until it can be used.
async fn available(api: &Api, id: u64) -> Result<(), Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        image: Image,
    }
    let mut pauses = api.pauses();
    loop {
        let answer: Answer = api.get(&format!("/images/{id}"), &[]).await?;
        if answer.image.status != "creating" {
            return Ok(());
        }
        api.pause(pauses.next()).await;
    }
}
