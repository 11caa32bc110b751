//! What the cloud has to offer: locations, server types with their prices, and system images.
//!
//! The shapes are the API's. Prices are of the right size and order, and not today's.

use serde_json::{Value, json};

use crate::money::Money;

/// Per cent of tax between net and gross.
pub const VAT: u32 = 19;
/// One started hour of a primary IPv4, net.
pub const IPV4_HOURLY: &str = "0.0008";
const IPV4_MONTHLY: &str = "0.50";
/// Since when everything here is there.
const CREATED: &str = "2023-06-13T06:00:00Z";

/// A place.
#[derive(Debug, Clone, Copy)]
pub struct Location {
    /// The id.
    pub id: u64,
    /// The name: `fsn1`.
    pub name: &'static str,
    country: &'static str,
    city: &'static str,
    zone: &'static str,
}

/// The places.
pub const LOCATIONS: [Location; 4] = [
    Location { id: 1, name: "fsn1", country: "DE", city: "Falkenstein", zone: "eu-central" },
    Location { id: 2, name: "nbg1", country: "DE", city: "Nuremberg", zone: "eu-central" },
    Location { id: 3, name: "hel1", country: "FI", city: "Helsinki", zone: "eu-central" },
    Location { id: 4, name: "ash", country: "US", city: "Ashburn, VA", zone: "us-east" },
];

const EUROPE: &[&str] = &["fsn1", "nbg1", "hel1"];
const AMERICA: &[&str] = &["ash"];

/// A size.
#[derive(Debug, Clone, Copy)]
pub struct ServerType {
    /// The id.
    pub id: u64,
    /// The name: `cax11`.
    pub name: &'static str,
    /// Virtual CPUs.
    pub cores: u32,
    /// Memory, in GB of 2^30 bytes.
    pub memory_gb: u32,
    /// Disk, in GB.
    pub disk_gb: u32,
    /// `arm` or `x86`.
    pub architecture: &'static str,
    category: &'static str,
    /// Where there is any.
    pub locations: &'static [&'static str],
    hourly: &'static str,
    monthly: &'static str,
}

#[expect(clippy::too_many_arguments, reason = "the columns of the table below")]
const fn size(
    id: u64,
    name: &'static str,
    cores: u32,
    memory_gb: u32,
    disk_gb: u32,
    architecture: &'static str,
    category: &'static str,
    locations: &'static [&'static str],
    hourly: &'static str,
    monthly: &'static str,
) -> ServerType {
    ServerType { id, name, cores, memory_gb, disk_gb, architecture, category, locations, hourly, monthly }
}

/// The sizes.
pub const SERVER_TYPES: [ServerType; 16] = [
    size(22, "cpx11", 2, 2, 40, "x86", "Shared vCPU", AMERICA, "0.0079", "4.99"),
    size(23, "cpx21", 3, 4, 80, "x86", "Shared vCPU", AMERICA, "0.0151", "9.49"),
    size(24, "cpx31", 4, 8, 160, "x86", "Shared vCPU", AMERICA, "0.0271", "16.99"),
    size(25, "cpx41", 8, 16, 240, "x86", "Shared vCPU", AMERICA, "0.0503", "31.49"),
    size(45, "cax11", 2, 4, 40, "arm", "Cost-Optimized", EUROPE, "0.0096", "5.99"),
    size(93, "cax21", 4, 8, 80, "arm", "Cost-Optimized", EUROPE, "0.0168", "10.49"),
    size(94, "cax31", 8, 16, 160, "arm", "Cost-Optimized", EUROPE, "0.0336", "20.99"),
    size(95, "cax41", 16, 32, 320, "arm", "Cost-Optimized", EUROPE, "0.0656", "40.99"),
    size(108, "cpx22", 2, 4, 80, "x86", "Regular Performance", EUROPE, "0.0288", "17.99"),
    size(109, "cpx32", 4, 8, 160, "x86", "Regular Performance", EUROPE, "0.0568", "35.49"),
    size(110, "cpx42", 8, 16, 320, "x86", "Regular Performance", EUROPE, "0.1112", "69.49"),
    size(112, "cpx62", 16, 32, 640, "x86", "Regular Performance", EUROPE, "0.2232", "139.49"),
    size(114, "cx23", 2, 4, 40, "x86", "Cost-Optimized", EUROPE, "0.0056", "3.49"),
    size(115, "cx33", 4, 8, 80, "x86", "Cost-Optimized", EUROPE, "0.0088", "5.49"),
    size(116, "cx43", 8, 16, 160, "x86", "Cost-Optimized", EUROPE, "0.0152", "9.49"),
    size(117, "cx53", 16, 32, 320, "x86", "Cost-Optimized", EUROPE, "0.0280", "17.49"),
];

/// The system images: id, name, flavour, version, architecture.
pub(super) const SYSTEM_IMAGES: [(u64, &str, &str, &str, &str); 6] = [
    (114_690_387, "debian-12", "debian", "12", "x86"),
    (114_690_389, "debian-12", "debian", "12", "arm"),
    (161_547_269, "ubuntu-24.04", "ubuntu", "24.04", "x86"),
    (161_547_270, "ubuntu-24.04", "ubuntu", "24.04", "arm"),
    (310_557_660, "debian-13", "debian", "13", "x86"),
    (310_557_661, "debian-13", "debian", "13", "arm"),
];

/// By id or name.
pub(super) fn location(id_or_name: &str) -> Option<Location> {
    LOCATIONS.into_iter().find(|location| location.name == id_or_name || location.id.to_string() == id_or_name)
}

/// By id or name.
pub fn server_type(id_or_name: &str) -> Option<ServerType> {
    SERVER_TYPES.into_iter().find(|size| size.name == id_or_name || size.id.to_string() == id_or_name)
}

/// An amount that is written in this file.
#[expect(clippy::expect_used, reason = "a constant of this file; a test reads them all")]
fn written(text: &str) -> Money {
    text.parse().expect("an amount")
}

/// An amount with and without tax.
fn price(net: &str) -> Value {
    let net = written(net);
    json!({ "net": net.long(), "gross": net.plus_percent(VAT).long() })
}

/// The price of a primary IPv4's started hour, net.
pub(super) fn ipv4_hourly() -> Money {
    written(IPV4_HOURLY)
}

impl Location {
    /// As the API shows it.
    pub(super) fn json(self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": format!("{} DC Park 1", self.city),
            "country": self.country,
            "city": self.city,
            "latitude": 50.0,
            "longitude": 12.0,
            "network_zone": self.zone,
        })
    }
}

impl ServerType {
    /// The price of a started hour, net.
    pub fn hourly(&self) -> Money {
        written(self.hourly)
    }

    /// As the API shows it; `available` says of a location whether there are some in stock.
    pub(super) fn json(&self, available: impl Fn(&str) -> bool) -> Value {
        let places = self.locations.iter().filter_map(|name| location(name));
        let locations: Vec<Value> = places
            .map(|place| {
                let stock = available(place.name);
                json!({ "id": place.id, "name": place.name, "deprecation": null, "available": stock, "recommended": stock })
            })
            .collect();
        let prices = self.locations.iter().map(|name| self.prices(name)).collect::<Vec<_>>();
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.name.to_uppercase(),
            "category": self.category,
            "cores": self.cores,
            "memory": self.memory_gb,
            "disk": self.disk_gb,
            "deprecated": false,
            "deprecation": null,
            "storage_type": "local",
            "cpu_type": "shared",
            "architecture": self.architecture,
            "prices": prices,
            "locations": locations,
        })
    }

    fn prices(&self, location: &str) -> Value {
        json!({
            "location": location,
            "price_hourly": price(self.hourly),
            "price_monthly": price(self.monthly),
            "included_traffic": 21_990_232_555_520_u64,
            "price_per_tb_traffic": price("1.00"),
        })
    }
}

/// A system image as the API shows it.
pub(super) fn system_image(&(id, name, flavor, version, architecture): &(u64, &str, &str, &str, &str)) -> Value {
    json!({
        "id": id,
        "type": "system",
        "status": "available",
        "name": name,
        "description": format!("{flavor} {version}"),
        "image_size": null,
        "disk_size": 5,
        "created": CREATED,
        "created_from": null,
        "bound_to": null,
        "os_flavor": flavor,
        "os_version": version,
        "architecture": architecture,
        "rapid_deploy": true,
        "protection": { "delete": false },
        "deprecated": null,
        "deleted": null,
        "labels": {},
    })
}

/// All prices.
pub(super) fn pricing() -> Value {
    let types: Vec<Value> = SERVER_TYPES
        .iter()
        .map(|size| {
            let prices: Vec<Value> = size.locations.iter().map(|name| size.prices(name)).collect();
            json!({ "id": size.id, "name": size.name, "prices": prices })
        })
        .collect();
    let ips: Vec<Value> = LOCATIONS
        .iter()
        .map(|place| {
            json!({ "location": place.name, "price_hourly": price(IPV4_HOURLY), "price_monthly": price(IPV4_MONTHLY) })
        })
        .collect();
    json!({ "pricing": {
        "currency": "EUR",
        "vat_rate": format!("{VAT}.000000"),
        "image": { "price_per_gb_month": price("0.0110") },
        "volume": { "price_per_gb_month": price("0.0440") },
        "server_backup": { "percentage": "20.0000000000" },
        "floating_ips": [],
        "load_balancer_types": [],
        "primary_ips": [{ "type": "ipv4", "prices": ips }],
        "server_types": types,
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_amount_can_be_read_and_every_place_is_there() {
        for size in SERVER_TYPES {
            let shown = size.json(|place| place != "fsn1");
            let places = shown["locations"].as_array().unwrap();
            assert_eq!(places.len(), size.locations.len());
            assert!(places.iter().all(|place| place["available"] == (place["name"] != "fsn1")));
            assert_eq!(shown["prices"].as_array().unwrap().len(), places.len());
        }
        let cax11 = server_type("45").unwrap();
        assert_eq!(cax11.prices("fsn1")["price_hourly"]["net"], "0.0096000000000000");
        assert_eq!(cax11.prices("fsn1")["price_hourly"]["gross"], "0.0114240000000000");
        assert_eq!(pricing()["pricing"]["currency"], "EUR");
    }
}
