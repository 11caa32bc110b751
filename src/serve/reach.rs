//! [`check`]: whether a runner can be handed out as its provider says it is reached. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::lease::{AuthorizedKey, Endpoint};

/// Where callers of a pool come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// From the pool's own machine only.
    ThisMachine,
    /// From anywhere.
    Anywhere,
}

/// Whether callers can reach this, and are led nowhere else: a client takes this address and hands secrets to who answers.
///
/// # Errors
/// With what is wrong with it.
pub fn check(endpoint: &Endpoint, callers: Callers) -> Result<(), String> {
    let host = endpoint.host.as_str();
    match host.parse::<IpAddr>() {
        Ok(address) => check_address(address, callers)?,
        Err(_) if host == "localhost" && callers == Callers::Anywhere => {
            return Err("its address is this machine's own, and callers come from elsewhere".to_owned());
        }
        Err(_) if !is_host_name(host) => return Err("its address is none".to_owned()),
        Err(_) => {}
    }
    if endpoint.port == 0 {
        return Err("its port is 0".to_owned());
    }
    let is_user = (1..=32).contains(&endpoint.user.len())
        && endpoint.user.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        && !endpoint.user.starts_with('-');
    if !is_user {
        return Err("its login user is none".to_owned());
    }
    endpoint.host_key.parse::<AuthorizedKey>().map(drop).map_err(|_| "its host key is none".to_owned())
}

fn check_address(address: IpAddr, callers: Callers) -> Result<(), String> {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_multicast() || is_link_local || is_broadcast {
        return Err(format!("its address, {address}, is no machine's"));
    }
    let is_this_machine = address.is_loopback() || address == IpAddr::V6(Ipv6Addr::LOCALHOST);
    if is_this_machine && callers == Callers::Anywhere {
        return Err(format!("its address, {address}, is this machine's own, and callers come from elsewhere"));
    }
    Ok(())
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

    fn at(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), host_key: KEY.to_owned(), ..Endpoint::nowhere() }
    }

    #[test]
    fn a_loopback_address_is_for_callers_of_this_machine_only() {
        for host in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost", "127.9.9.9"] {
            assert_eq!(check(&at(host), Callers::ThisMachine), Ok(()), "{host}");
            assert!(check(&at(host), Callers::Anywhere).is_err(), "{host}");
        }
        for host in ["192.0.2.7", "10.0.0.7", "2001:db8::7", "runner-7.example.com"] {
            assert_eq!(check(&at(host), Callers::Anywhere), Ok(()), "{host}");
        }
    }

    #[test]
    fn what_is_no_machine_is_not_handed_out() {
        for host in [
            "",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "255.255.255.255",
            "-oProxyCommand=x",
            "a b",
            "a\nb",
            "a..b",
            "x-",
            "ünïcode.example",
        ] {
            assert!(check(&at(host), Callers::ThisMachine).is_err(), "{host}");
        }
        for broken in [
            Endpoint { port: 0, ..at("192.0.2.7") },
            Endpoint { user: "-l".to_owned(), ..at("192.0.2.7") },
            Endpoint { user: "a b".to_owned(), ..at("192.0.2.7") },
            Endpoint { host_key: format!("{KEY}\n{KEY}"), ..at("192.0.2.7") },
            Endpoint { host_key: String::new(), ..at("192.0.2.7") },
        ] {
            assert!(check(&broken, Callers::ThisMachine).is_err(), "{broken:?}");
        }
    }
}
