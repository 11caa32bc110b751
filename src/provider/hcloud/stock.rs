//! [`Offer`]: what a tier is at Hetzner: a server type, where it can be had, and what it costs there.

use rust_decimal::Decimal;

use super::api::Api;
use super::config::{DEFAULT_IMAGE, HcloudConfig};
use super::wire::{Image, LocationPrice, Pricing, ServerType, SshKey};
use crate::env_vars;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{HourlyPrice, LeaseRequest};
use crate::sanitise;

/// A server type, as far as it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) server_type: ServerType,
    /// Where it is to be asked for, in order. Never empty.
    pub(super) locations: Vec<String>,
}

impl Offer {
    /// Looks for the request's server type.
    ///
    /// # Errors
    /// `NoCapacity` when there is none of the name, architecture and memory, or not in the location that was said.
    pub(super) async fn find(api: &Api, config: &HcloudConfig, request: &LeaseRequest) -> Result<Self> {
        let name = request.tier.name.as_str();
        let server_type = find_type(api, name).await?;
        check(&server_type, request)?;
        let locations = locations(&server_type, config.location.as_deref())?;
        Ok(Self { server_type, locations })
    }

    /// What an hour of it costs in a location, with an IPv4 address: with taxes, as it is billed.
    pub(super) fn price(&self, pricing: &Pricing, location: &str) -> Option<HourlyPrice> {
        price(&self.server_type, pricing, location)
    }
}

/// The server type of this name.
///
/// # Errors
/// `NoCapacity` when there is none.
pub(super) async fn find_type(api: &Api, name: &str) -> Result<ServerType> {
    let types: Vec<ServerType> = api
        .list("/server_types", "server_types", &[("name", name)])
        .await
        .map_err(|failure| failure.into_error(&format!("say what the server type `{}` is", sanitise::line(name))))?;
    types.into_iter().find(|found| found.name == name).ok_or_else(|| {
        no_capacity(format!("Hetzner Cloud has no server type `{}`", sanitise::line(name)))
            .hint("the tiers of `hcloud` are its server types: `cax21` (arm64) or `cpx32` (amd64), say")
    })
}

/// What an hour of a server of this type costs in a location, with an IPv4 address.
pub(super) fn price(server_type: &ServerType, pricing: &Pricing, location: &str) -> Option<HourlyPrice> {
    let server = hourly(&server_type.prices, location, &pricing.currency)?;
    let addresses = pricing.primary_ips.iter().find(|prices| prices.kind == "ipv4");
    let address = addresses.and_then(|prices| hourly(&prices.prices, location, &pricing.currency));
    let amount = server.amount.checked_add(address.map_or(Decimal::ZERO, |price| price.amount))?;
    Some(HourlyPrice { amount, ..server })
}

fn hourly(prices: &[LocationPrice], location: &str, currency: &str) -> Option<HourlyPrice> {
    let price = prices.iter().find(|price| price.location == location)?;
    HourlyPrice::parse(&price.price_hourly.as_ref()?.gross, currency)
}

/// What everything costs in this project's currency.
///
/// # Errors
/// When the API does not say.
pub(super) async fn pricing(api: &Api) -> Result<Pricing> {
    #[derive(serde::Deserialize)]
    struct Answer {
        pricing: Pricing,
    }
    let answer: Answer =
        api.get("/pricing", &[]).await.map_err(|failure| failure.into_error("say what its servers cost"))?;
    Ok(answer.pricing)
}

/// The architecture as OCI names it.
pub(super) fn oci_architecture(theirs: &str) -> &str {
    match theirs {
        "arm" => "arm64",
        "x86" => "amd64",
        other => other,
    }
}

fn check(server_type: &ServerType, request: &LeaseRequest) -> Result<()> {
    let (name, wanted) = (&server_type.name, request.architecture.as_str());
    let its = oci_architecture(&server_type.architecture);
    if its != wanted {
        return Err(no_capacity(format!(
            "the server type `{name}` is `{}`, and `{wanted}` is built for",
            sanitise::line(its)
        ))
        .hint(match wanted {
            "arm64" => "the types with ARM processors are named `cax…`",
            _ => "the types with x86 processors are named `cpx…`, `cx…` and `ccx…`",
        }));
    }
    if server_type.memory > 0.0 && server_type.memory + 0.01 < request.tier.memory_gb {
        return Err(no_capacity(format!(
            "the server type `{name}` has {} GB, and the tier of that name says {} GB",
            server_type.memory, request.tier.memory_gb
        ))
        .hint("correct the tiers file"));
    }
    Ok(())
}

/// Where the type is to be asked for: where it was said, else everywhere, first where it is said to be in stock.
fn locations(server_type: &ServerType, said: Option<&str>) -> Result<Vec<String>> {
    let mut all: Vec<(u8, String)> = server_type
        .locations
        .iter()
        .map(|location| {
            let is_going = location.deprecation.as_ref().is_some_and(|going| going.unavailable_after.is_some());
            let rank = match (location.available, location.recommended) {
                _ if is_going => 3,
                (Some(false), _) => 2,
                (_, Some(true)) => 0,
                _ => 1,
            };
            (rank, location.name.clone())
        })
        .collect();
    if all.is_empty() {
        // An API that does not say it: where there is a price it is sold.
        all = server_type.prices.iter().map(|price| (1, price.location.clone())).collect();
    }
    all.retain(|(_, name)| !name.is_empty());
    all.sort_by_key(|(rank, _)| *rank);
    let all: Vec<String> = all.into_iter().map(|(_, name)| name).collect();
    let name = &server_type.name;
    match said {
        Some(said) if all.iter().any(|location| location == said) => Ok(vec![said.to_owned()]),
        Some(said) => {
            Err(no_capacity(format!("the server type `{name}` is not sold in the location `{}`", sanitise::line(said)))
                .hint(format!("it is sold in {}", sanitise::line(&all.join(", ")))))
        }
        None if all.is_empty() => Err(no_capacity(format!("the server type `{name}` is not sold anywhere"))),
        None => Ok(all),
    }
}

/// The id of the image that machines of this architecture are made from.
///
/// # Errors
/// `NoCapacity` when there is none.
pub(super) async fn find_image(api: &Api, image: &str, architecture: &str) -> Result<u64> {
    let doing = || format!("say whether it has the image `{}`", sanitise::line(image));
    let theirs = if architecture == "arm64" { "arm" } else { "x86" };
    let found: Vec<Image> = if image.bytes().all(|byte| byte.is_ascii_digit()) {
        #[derive(serde::Deserialize)]
        struct Answer {
            image: Image,
        }
        match api.get::<Answer>(&format!("/images/{image}"), &[]).await {
            Ok(answer) => vec![answer.image],
            Err(failure) if failure.is_not_found() => Vec::new(),
            Err(failure) => return Err(failure.into_error(&doing())),
        }
    } else {
        // The same name stands for one image of each architecture.
        let query = [("name", image), ("architecture", theirs), ("status", "available")];
        let mut found: Vec<Image> =
            api.list("/images", "images", &query).await.map_err(|failure| failure.into_error(&doing()))?;
        if found.is_empty() {
            // A snapshot has no name but a description.
            let query = [("type", "snapshot"), ("architecture", theirs), ("status", "available")];
            found = api.list("/images", "images", &query).await.map_err(|failure| failure.into_error(&doing()))?;
            found.retain(|found| found.description.as_deref() == Some(image));
        }
        found
    };
    let is_of = |found: &&Image| found.architecture.as_deref().is_none_or(|its| its == theirs);
    // The newest of several snapshots.
    if let Some(image) = found.iter().filter(is_of).max_by_key(|found| found.id) {
        return Ok(image.id);
    }
    let error = no_capacity(format!(
        "Hetzner Cloud has no image `{}` for `{architecture}` in this project",
        sanitise::line(image)
    ));
    Err(if image == DEFAULT_IMAGE {
        error
    } else {
        error.hint(format!(
            "`lian-build runners image --provider hcloud` makes one; without `{}` it is `{DEFAULT_IMAGE}`",
            env_vars::LIAN_HCLOUD_IMAGE
        ))
    })
}

/// The id of the project's key whose only purpose is that no password is sent by mail.
///
/// # Errors
/// `Usage` when there is none of that name.
pub(super) async fn find_ssh_key(api: &Api, name: &str) -> Result<u64> {
    let found: Vec<SshKey> = api
        .list("/ssh_keys", "ssh_keys", &[("name", name)])
        .await
        .map_err(|failure| failure.into_error("say whether it has the SSH key"))?;
    found.first().map(|key| key.id).ok_or_else(|| {
        Error::usage(format!(
            "`{}` names the SSH key `{}`, which the project does not have",
            env_vars::LIAN_HCLOUD_SSH_KEY,
            sanitise::line(name)
        ))
    })
}

fn no_capacity(message: String) -> Error {
    Error::new(ErrorKind::NoCapacity, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cax11() -> ServerType {
        serde_json::from_value(serde_json::json!({
            "name": "cax11", "cores": 2, "memory": 4.0, "architecture": "arm",
            "prices": [
                { "location": "fsn1", "price_hourly": { "net": "0.0060", "gross": "0.0071400000" } },
                { "location": "hel1", "price_hourly": { "net": "0.0060", "gross": "0.0075" } },
            ],
            "locations": [
                { "name": "fsn1", "available": false, "recommended": true },
                { "name": "nbg1", "available": true, "recommended": false },
                { "name": "hel1", "available": true, "recommended": true },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_type_is_asked_for_first_where_it_is_said_to_be() {
        assert_eq!(locations(&cax11(), None).unwrap(), ["hel1", "nbg1", "fsn1"]);
        // The hint is old: where it was said it is asked for all the same.
        assert_eq!(locations(&cax11(), Some("fsn1")).unwrap(), ["fsn1"]);
        let error = locations(&cax11(), Some("ash")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCapacity);
        assert!(error.hints().join("").contains("hel1, nbg1, fsn1"), "{error:?}");
        let silent = ServerType { locations: Vec::new(), ..cax11() };
        assert_eq!(locations(&silent, None).unwrap(), ["fsn1", "hel1"]);
    }

    #[test]
    fn a_price_is_of_its_location_and_with_the_address() {
        let pricing: Pricing = serde_json::from_value(serde_json::json!({
            "currency": "EUR",
            "primary_ips": [
                { "type": "ipv6", "prices": [] },
                { "type": "ipv4", "prices": [{ "location": "fsn1", "price_hourly": { "gross": "0.0009" } }] },
            ],
        }))
        .unwrap();
        let amount =
            |location: &str| price(&cax11(), &pricing, location).map(|price| price.amount.normalize().to_string());
        assert_eq!(amount("fsn1").as_deref(), Some("0.00804"));
        assert_eq!(amount("hel1").as_deref(), Some("0.0075"));
        assert_eq!(amount("nbg1"), None);
        let unsaid = Pricing { currency: String::new(), primary_ips: Vec::new() };
        assert_eq!(price(&cax11(), &unsaid, "fsn1"), None, "an amount of nobody knows what");
    }
}
