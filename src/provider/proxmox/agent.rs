//! What the guest agent says, which is the word of the machine itself: it is read as input, and nothing more.

use std::net::IpAddr;

use serde_json::Value;

use crate::lease::AuthorizedKey;

/// The addresses at which the machine may be reached, those of its first network card (`mac`) before others. None that only
/// the machine itself, or its nearest neighbours, could reach.
pub(super) fn addresses(data: &Value, mac: Option<&str>) -> Vec<IpAddr> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut found: Vec<(bool, IpAddr)> = Vec::new();
    for interface in data.get("result").and_then(Value::as_array).into_iter().flatten() {
        let is_first = mac.is_some_and(|mac| text(interface, "hardware-address").eq_ignore_ascii_case(mac));
        let addresses = interface.get("ip-addresses").and_then(Value::as_array).into_iter().flatten();
        let parsed = addresses.filter_map(|address| text(address, "ip-address").parse::<IpAddr>().ok());
        found.extend(parsed.filter(is_reachable).map(|address| (is_first, address)));
    }
    if found.iter().any(|(is_first, _)| *is_first) {
        // What stands on other cards is for bridges of the guest's own.
        found.retain(|(is_first, _)| *is_first);
    }
    // IPv4 first: a network has it where it has anything.
    found.sort_by_key(|(_, address)| address.is_ipv6());
    found.into_iter().map(|(_, address)| address).take(8).collect()
}

fn is_reachable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_broadcast())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local())
        }
    }
}

/// The host key in a file that was read, as `known_hosts` writes it; `None` for anything that is not one key.
pub(super) fn host_key(data: &Value) -> Option<String> {
    let text = data.get("content").and_then(Value::as_str)?;
    let key: AuthorizedKey = text.trim().parse().ok()?;
    key.as_str().starts_with("ssh-ed25519 ").then(|| key.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn interface(mac: &str, addresses: &[&str]) -> Value {
        let addresses: Vec<Value> = addresses.iter().map(|address| json!({ "ip-address": address })).collect();
        json!({ "name": "x", "hardware-address": mac, "ip-addresses": addresses })
    }

    #[test]
    fn the_first_cards_addresses_are_the_machines() {
        let data = json!({ "result": [
            interface("00:00:00:00:00:00", &["127.0.0.1", "::1"]),
            interface("02:42:aa:bb:cc:dd", &["172.17.0.1"]),
            interface("BC:24:11:00:00:01", &["fe80::1", "2001:db8::7", "192.0.2.7", "not one", "-oProxyCommand=x"]),
        ]});
        let found = addresses(&data, Some("bc:24:11:00:00:01"));
        assert_eq!(found, ["192.0.2.7".parse::<IpAddr>().unwrap(), "2001:db8::7".parse().unwrap()]);
        assert_eq!(addresses(&data, None).len(), 3);
        assert!(addresses(&json!({ "result": "x" }), None).is_empty());
    }

    #[test]
    fn only_one_whole_key_is_a_host_key() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
        assert_eq!(host_key(&json!({ "content": format!("{key} root@debian\n") })).as_deref(), Some(key));
        for bad in
            ["", "ssh-ed25519 AAAA", &format!("{key}\n{key}"), &format!("@cert-authority {key}"), "* ssh-ed25519 AAAA"]
        {
            assert_eq!(host_key(&json!({ "content": bad })), None, "{bad}");
        }
        assert_eq!(host_key(&json!({})), None);
    }
}
